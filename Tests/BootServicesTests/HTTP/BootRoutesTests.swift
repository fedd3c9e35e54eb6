import Control
import Foundation
import Logging
import Model
import NIOCore
import NIOHTTP1
import NetBoot
import Store
import Testing
import Wire

@testable import BootServices

@Suite("Boot routes")
struct BootRoutesTests {
    private let folder: TemporaryFolder
    private static let mac = MACAddress(value: 0x5254_0078_0001)
    private let digest = String(repeating: "ab", count: 32)

    init() throws {
        folder = try TemporaryFolder()
        try folder.write("vmlinuz", Data("kernel".utf8))
        try folder.write("secret", Data("not to be served".utf8))
    }

    private func routes(
        policy: DiscoveryPolicy = .discover, store: any StateStore = MemoryStore(), neighbour: MACAddress? = BootRoutesTests.mac,
        logger: Logger = Logger(label: "test")
    ) async throws -> BootRoutes {
        let prefix = try #require(IPv4Prefix("10.78.0.1/24"))
        var network = BootNetwork(name: "test", interface: "eth0", address: prefix)
        network.router = try address("10.78.0.254")
        network.chosenPolicy = policy
        let mac = try #require(MACAddress("52:54:00:78:00:01"))
        let leases = LeaseTable()
        leases.set(
            DHCPLease(
                address: try address("10.78.0.50"), client: .mac(mac), mac: mac, grantedMilliseconds: 0, expiresMilliseconds: .max, state: .bound))
        return BootRoutes(
            network: network, control: try await openControl(store), files: BootFilePaths(boot: folder.path, blobs: folder.path),
            leases: leases, logger: logger
        ) { _ in neighbour }
    }

    private func request(_ method: HTTPMethod, _ target: String, body: String = "", bearer: String? = nil) -> BootRequest {
        let (path, query) = FormText.split(target)
        return BootRequest(
            method: method, path: path, query: query,
            headers: HTTPHeaders(bearer.map { [("authorization", "Bearer \($0)")] } ?? []), body: Array(body.utf8),
            remote: try? SocketAddress(ipAddress: "10.78.0.50", port: 1234), frameSource: Self.mac)
    }

    private func text(_ reply: BootReply) -> (status: Int, text: String) {
        guard case .bytes(let status, _, let bytes) = reply else { return (0, "") }
        return (Int(status.code), String(decoding: bytes, as: UTF8.self))
    }

    @Test("a machine that nobody knows boots the agent, with a nonce and its address")
    func agentScript() async throws {
        let reply = text(try await routes().respond(to: request(.GET, "/boot/script?mac=52:54:00:78:00:01&platform=bios")))
        #expect(reply.status == 200)
        #expect(reply.text.hasPrefix("#!ipxe"))
        #expect(reply.text.contains("http://10.78.0.1:8080/boot/vmlinuz"))
        #expect(reply.text.contains("hostler.nonce="))
        #expect(reply.text.contains("hostler.ip=10.78.0.50"))
        #expect(reply.text.contains("hostler.gateway=10.78.0.254"))
    }

    @Test("a nonce goes to the address that its machine's lease is for, and to no other")
    func otherAddress() async throws {
        let reply = text(try await routes().respond(to: request(.GET, "/boot/script?mac=52:54:00:78:00:02")))
        #expect(reply.status == 200)
        #expect(!reply.text.contains("hostler.nonce="))
        #expect(reply.text.contains("is not the one that was given to"))
    }

    @Test(
        "behind a router a nonce goes where the lease says, by the router's port only",
        arguments: [("02:00:5e:00:53:01", true), ("02:00:5e:00:53:66", false), (nil, false)] as [(String?, Bool)])
    func routerPort(frame: String?, isGiven: Bool) async throws {
        var network = BootNetwork(name: "test", interface: "eth0", address: try #require(IPv4Prefix("10.78.0.1/24")))
        var subnet = BootNetwork.Subnet(prefix: try #require(IPv4Prefix("10.79.0.0/24")))
        subnet.routerPorts = [try #require(MACAddress("02:00:5e:00:53:01"))]
        network.subnets = [subnet]
        let leases = LeaseTable()
        leases.set(
            DHCPLease(
                address: try address("10.79.0.50"), client: .mac(Self.mac), mac: Self.mac, grantedMilliseconds: 0, expiresMilliseconds: .max,
                state: .bound))
        let routes = BootRoutes(
            network: network, control: try await openControl(MemoryStore()), files: BootFilePaths(boot: folder.path, blobs: folder.path),
            leases: leases, logger: Logger(label: "test")
        ) { _ in nil }
        var request = request(.GET, "/boot/script?mac=\(Self.mac)")
        request.remote = try SocketAddress(ipAddress: "10.79.0.50", port: 1234)
        request.frameSource = frame.flatMap(MACAddress.init)
        #expect(text(await routes.respond(to: request)).text.contains("hostler.nonce=") == isGiven)
    }

    @Test("a nonce goes to no machine whose frames tell of another MAC address, nor is its hello heard")
    func otherNeighbour() async throws {
        let routes = try await routes(neighbour: MACAddress("52:54:00:78:00:66"))
        let reply = text(await routes.respond(to: request(.GET, "/boot/script?mac=52:54:00:78:00:01")))
        #expect(reply.status == 200)
        #expect(!reply.text.contains("hostler.nonce="))
        let hello = HelloRequest(
            nonce: "n", sessionKey: "k", mac: try #require(MACAddress("52:54:00:78:00:01")), macs: [], uuid: nil, serial: nil, firmware: .bios,
            version: "1")
        let body = String(decoding: try JSONEncoder().encode(hello), as: UTF8.self)
        let refused = text(await routes.respond(to: request(.POST, "/agent/v1/hello", body: body)))
        #expect(refused.status == 503 && refused.text.contains("hello-unproved"))
    }

    @Test("an unknown machine that is not taken in goes on with its own boot order, and asks no more", arguments: [DiscoveryPolicy.watch, .known])
    func left(policy: DiscoveryPolicy) async throws {
        let routes = try await routes(policy: policy)
        for (platform, status) in [("bios", 0), ("efi", 1)] {
            let reply = text(await routes.respond(to: request(.GET, "/boot/script?mac=52:54:00:78:00:01&platform=\(platform)")))
            #expect(reply.status == 200 && reply.text.hasSuffix("exit \(status)\n"))
            for word in ["hostler.nonce=", "vmlinuz", "retry", "sleep", "chain"] { #expect(!reply.text.contains(word), "\(word)") }
        }
    }

    @Test("an unknown machine whose disks are to be looked at gets a little time in the agent, and two tries")
    func inspected() async throws {
        let routes = try await routes(policy: .inspectEmpty)
        let target = "/boot/script?mac=52:54:00:78:00:01&platform=bios"
        for _ in 0..<2 {
            let reply = text(await routes.respond(to: request(.GET, target)))
            #expect(reply.text.contains("hostler.nonce=") && reply.text.contains("hostler.patience=900") && reply.text.contains("raid=noautodetect"))
        }
        #expect(text(await routes.respond(to: request(.GET, target))).text.hasSuffix("exit 0\n"))
        // A network that takes in whatever comes has patience for ever.
        let patient = text(try await self.routes().respond(to: request(.GET, target)))
        #expect(patient.text.contains("hostler.nonce=") && !patient.text.contains("hostler.patience"))
    }

    @Test(
        "where the agent cannot be loaded, the firmware of a machine that nobody knows goes on with its own boot order",
        arguments: [("bios", 0), ("efi", 1)])
    func agentNotLoaded(platform: String, status: Int) async throws {
        let target = "/boot/script?mac=52:54:00:78:00:01&platform=\(platform)"
        let script = text(await (try routes(policy: .inspectEmpty)).respond(to: request(.GET, target))).text
        #expect(script.contains("hostler.nonce=") && script.hasSuffix("\nexit \(status)\n"))
        for word in ["goto retry", "sleep", "chain"] { #expect(!script.contains(word), "\(word)") }
        // A network that takes in whatever comes waits for the server to come back.
        #expect(text(try await routes().respond(to: request(.GET, target))).text.hasSuffix("|| goto retry\n"))
    }

    @Test("a machine whose disks nobody has looked at is not kept by its second boot either, unless a person has work for it")
    func secondBoot() async throws {
        let routes = try await routes(policy: .inspectEmpty)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await routes.control.run() }
            defer { tasks.cancelAll() }
            try await secondBoot(routes)
        }
    }

    private func secondBoot(_ routes: BootRoutes) async throws {
        let target = "/boot/script?mac=52:54:00:78:00:01&platform=bios"
        func script() async -> String { text(await routes.respond(to: request(.GET, target))).text }
        func isKept(_ script: String) -> Bool { !script.contains("hostler.patience=900") && script.hasSuffix("|| goto retry\n") }
        func hello() async throws -> HelloReply {
            let nonce = try #require(await script().split(separator: " ").first { $0.hasPrefix("hostler.nonce=") }).dropFirst(14)
            let hello = HelloRequest(
                nonce: String(nonce), sessionKey: String(repeating: "a", count: 64), mac: Self.mac, macs: [Self.mac], uuid: nil, serial: nil,
                firmware: .bios, version: "1")
            let body = String(decoding: try JSONEncoder().encode(hello), as: UTF8.self)
            let reply = text(await routes.respond(to: request(.POST, "/agent/v1/hello", body: body)))
            return try JSONDecoder().decode(HelloReply.self, from: Data(reply.text.utf8))
        }
        let machine = try await hello().machine
        let inspection = try #require(routes.control.snapshot.machines[machine]?.openOperation)
        let second = await script()
        #expect(second.contains("hostler.nonce=") && !isKept(second) && second.hasSuffix("exit 0\n"))
        _ = try await routes.control.cancel(inspection, by: "alice")
        let third = await script()
        #expect(third.contains("hostler.nonce=") && !isKept(third))
        let wanted = try await routes.control.start(.inspect, on: machine.rawValue, by: "alice")
        #expect(isKept(await script()), "a person waits for it")
        _ = try await routes.control.cancel(wanted.id, by: "alice")
        #expect(await !isKept(script()))
        let session = try await hello().session
        let facts = String(decoding: try JSONEncoder().encode(Inventory()), as: UTF8.self)
        guard case .bytes(let status, _, _) = await routes.respond(to: request(.POST, "/agent/v1/inventory", body: facts, bearer: session))
        else {
            Issue.record("no answer")
            return
        }
        #expect(status == .noContent)
        #expect(isKept(await script()), "its disks were looked at, and hold nothing")
    }

    @Test("an unknown machine is not kept for what the wire does not show; a try that it did not begin is none of its own")
    func unproved() async throws {
        let routes = try await routes(policy: .inspectEmpty, neighbour: MACAddress("52:54:00:78:00:66"))
        for _ in 0..<3 {
            let reply = text(await routes.respond(to: request(.GET, "/boot/script?mac=52:54:00:78:00:01&platform=bios")))
            #expect(reply.text.hasSuffix("exit 0\n") && !reply.text.contains("hostler.nonce="))
        }
        if case .agent = routes.control.boots(Self.mac, policy: .inspectEmpty).verdict {} else { Issue.record("others used up its tries") }
    }

    @Test("a script needs a MAC address", arguments: ["/boot/script", "/boot/script?mac=", "/boot/script?mac=x", "/boot/script?="])
    func noMAC(target: String) async throws {
        #expect(text(try await routes().respond(to: request(.GET, target))).status == 400)
    }

    @Test("of the boot folder, what machines boot is served and nothing else")
    func bootFolder() async throws {
        let routes = try await routes()
        guard case .file(let path, _, _) = await routes.respond(to: request(.GET, "/boot/vmlinuz")) else {
            Issue.record("no kernel")
            return
        }
        #expect(path == folder.path + "/vmlinuz")
        for target in ["/boot/secret", "/boot/..", "/boot/%2e%2e", "/boot/../secret", "/boot", "/", "/images/blobs/..", "//"] {
            #expect(text(await routes.respond(to: request(.GET, target))).status == 404, "\(target)")
        }
    }

    @Test("an image's file is given to nobody without its capability")
    func blobs() async throws {
        let routes = try await routes()
        for end in ["", "/", "/x", "/op-aaaaaaaa." + String(repeating: "0", count: 64)] {
            let reply = text(await routes.respond(to: request(.GET, "/images/blobs/sha256:\(digest)" + end)))
            #expect(reply.status == 403 && reply.text.contains("image-capability"), "\(end)")
        }
        #expect(text(await routes.respond(to: request(.GET, "/images/blobs/sha256:../../../etc"))).status == 404)
        #expect(text(await routes.respond(to: request(.PUT, "/images/blobs/sha256:\(digest)"))).status == 404)
    }

    @Test("without a session no agent is heard and no seed is given")
    func noSession() async throws {
        let routes = try await routes()
        for verb in ["inventory", "task", "report", "log", "nothing"] {
            for bearer in [nil, "", "wrong"] {
                #expect(text(await routes.respond(to: request(.POST, "/agent/v1/\(verb)", body: "{}", bearer: bearer))).status == 401)
            }
        }
        #expect(text(await routes.respond(to: request(.GET, "/seeds/op-aaaa"))).status == 401)
        #expect(text(await routes.respond(to: request(.POST, "/agent/v1/hello", body: "{"))).status == 400)
    }

    @Test("no log gets the proof of a call home")
    func logged() {
        #expect(request(.POST, "/call-home/op-xxxx/secret").loggedPath == "/call-home/op-xxxx/…")
        #expect(request(.POST, "//call-home//op-xxxx//secret/more").loggedPath == "/call-home/op-xxxx/…")
        #expect(request(.GET, "/boot/vmlinuz").loggedPath == "/boot/vmlinuz")
    }

    @Test(
        "a call home of an operation that nobody knows is refused, whatever its form says",
        arguments: ["", "=", "&&==", "hostname=%", "pub_key_rsa=x"])
    func callHome(form: String) async throws {
        let status = text(try await routes().respond(to: request(.POST, "/call-home/op-xxxx/x", body: form))).status
        #expect((400..<500).contains(status))
    }

    @Test("a call home that is repeated is refused without its code, and read only where it has its form")
    func repeatedCallHome() async throws {
        let routes = try await routes()
        let digits = String(repeating: "0a", count: 32)
        let text = "hostler-call-home 1\noperation op-xxxx\nnonce \(digits)\ncode \(digits)\n"
        for (path, body, status) in [
            ("/call-home/op-xxxx", text, 403), ("/call-home/op-yyyy", text, 404), ("/call-home/op-xxxx", "", 400),
            ("/call-home/op-xxxx", String(repeating: "\n", count: 60_000), 400), ("/call-home/op-xxxx", "hostname=x&pub_key_rsa=y", 400),
        ] {
            let reply = self.text(await routes.respond(to: request(.POST, path, body: body)))
            #expect(reply.status == status && !reply.text.contains("acknowledged"))
        }
        #expect(self.text(await routes.respond(to: request(.GET, "/call-home/op-xxxx"))).status == 404)
    }

    @Test("an agent is shown that this is its server only where its session is bound to, and only of a session that is there")
    func proves() async throws {
        let routes = try await routes()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await routes.control.run() }
            defer { tasks.cancelAll() }
            func json(_ value: some Encodable) throws -> String { String(decoding: try JSONEncoder().encode(value), as: UTF8.self) }
            let hello = HelloRequest(
                nonce: routes.control.nonces.make(for: Self.mac, now: routes.control.now), sessionKey: String(repeating: "a", count: 64),
                mac: Self.mac,
                macs: [], uuid: nil, serial: nil, firmware: .bios, version: "1")
            let greeted = text(await routes.respond(to: request(.POST, "/agent/v1/hello", body: try json(hello))))
            #expect(greeted.status == 200)
            let machine = try JSONDecoder().decode(HelloReply.self, from: Data(greeted.text.utf8)).machine
            func ask(_ question: ServerQuestion, remote: String = "10.78.0.50", frame: MACAddress? = Self.mac) async throws -> (
                status: Int, text: String
            ) {
                var asked = request(.POST, "/agent/v1/prove", body: try json(question))
                asked.remote = try SocketAddress(ipAddress: remote, port: 1234)
                asked.frameSource = frame
                return text(await routes.respond(to: asked))
            }
            let question = ServerQuestion(machine: machine, challenge: String(repeating: "0a", count: 32))
            let answer = try await ask(question)
            #expect(answer.status == 200)
            #expect(try JSONDecoder().decode(ServerProof.self, from: Data(answer.text.utf8)).code.utf8.count == 64)
            #expect(try await ask(question, remote: "10.78.0.51").status == 401)
            #expect(try await ask(question, frame: MACAddress(value: 0x5254_0078_0066)).status != 200)
            #expect(try await ask(question, frame: nil).status != 200)
            let unknown = ServerQuestion(machine: MachineID(unchecked: "m-test99"), challenge: question.challenge)
            #expect(try await ask(unknown).status == 401)
            for challenge in ["", "0a", String(repeating: "zz", count: 32), String(repeating: "0a", count: 40_000)] {
                #expect(try await ask(ServerQuestion(machine: machine, challenge: challenge)).status >= 400)
            }
        }
    }
}
