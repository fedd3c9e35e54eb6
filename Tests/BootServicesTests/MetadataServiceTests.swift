import Control
import Glibc
import Logging
import Metadata
import Model
import NIOPosix
import NetBoot
import OCI
import Store
import Synchronization
import Testing
import Wire

@testable import BootServices

@Suite("The metadata service", .serialized, .timeLimit(.minutes(1)))
struct MetadataServiceTests {
    @Test("answers a machine with a token, and refuses what EC2 refuses, with its status")
    func tokens() async throws {
        try await MetadataRack.with { rack in
            let client = try RawClient(from: "127.0.0.2", port: rack.port)
            #expect(client.get("/latest/meta-data/instance-id").status == 401)
            let token = client.put("/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: 60"])
            #expect(token.status == 200 && token.headers.contains("X-aws-ec2-metadata-token-ttl-seconds: 60"))
            let fields = ["X-aws-ec2-metadata-token: \(token.body)"]
            #expect(client.get("/latest/meta-data/local-ipv4", fields).body == "127.0.0.2")
            #expect(client.get("/latest/meta-data/mac", fields).body == MetadataRack.mac(2).description)
            #expect(client.get("/latest/user-data", fields).status == 403)
            #expect(client.get("/latest/meta-data/nothing", fields).status == 404)
            #expect(client.get("/latest/meta-data/", fields + ["X-Forwarded-For: 10.0.0.9"]).status == 403)
            #expect(client.send("DELETE", "/latest/meta-data/", fields).status == 405)
            #expect(client.put("/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: 0"]).status == 400)
            // The same token at another machine.
            let other = try RawClient(from: "127.0.0.3", port: rack.port)
            #expect(other.get("/latest/meta-data/local-ipv4", fields).status == 401)
            #expect(other.get("/../../etc/shadow", fields).status == 400)
        }
    }

    @Test("gives user-data for the machine's key alone, and tells in an event who wanted it without")
    func secrets() async throws {
        try await MetadataRack.with { rack in
            let id = try rack.machine(2).id
            let patch = MachinePatch(userData: UserDataPatch(content: Base64Bytes(base64: "c2VjcmV0"), access: .always))
            _ = try await rack.control.update(machine: id.rawValue, with: patch, expecting: nil, by: "test")
            let client = try RawClient(from: "127.0.0.2", port: rack.port)
            let token = client.put("/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: 60"]).body
            #expect(client.get("/latest/user-data", ["X-aws-ec2-metadata-token: \(token)"]).status == 403)
            #expect(client.get("/k/\(String(repeating: "0", count: 64))/latest/user-data").status == 403)
            let key = try await rack.key(2)
            #expect(client.get("/k/\(key)/latest/user-data").body == "secret")
            #expect(client.get("/k/\(key)/openstack/latest/user_data").body == "secret")
            // The key is no other machine's.
            let other = try RawClient(from: "127.0.0.3", port: rack.port)
            #expect(other.get("/k/\(key)/latest/user-data").status == 403)
            let event = try await rack.event("metadata.secret-refused")
            #expect(event.machine == id && event.evidence["source"] == "127.0.0.2" && !"\(event)".contains(key))
        }
    }

    @Test("gives no secret to a machine that has not proved what it booted, where its network asks for proof")
    func attestation() async throws {
        try await MetadataRack.with(attested: true) { rack in
            let id = try rack.machine(2).id
            let patch = MachinePatch(userData: UserDataPatch(content: Base64Bytes(base64: "c2VjcmV0"), access: .always))
            _ = try await rack.control.update(machine: id.rawValue, with: patch, expecting: nil, by: "test")
            let client = try RawClient(from: "127.0.0.2", port: rack.port)
            let key = "/k/" + (try await rack.key(2))
            let paths = [
                "/latest/user-data", "/nocloud/user-data", "/nocloud/vendor-data", "/openstack/latest/user_data",
                "/openstack/latest/vendor_data.json", "/hostler/v1/user-data",
            ]
            for path in paths {
                let answer = client.get(key + path)
                #expect(answer.status == 403 && !answer.body.contains("secret"), "\(path)")
            }
            let nonce = try #require(rack.control.rawConfigURL(for: MetadataRack.mac(2)).split(separator: "/").last)
            #expect(client.get("/hostler/v1/config/\(nonce)").status == 403)
            // What is no secret it may know.
            #expect(client.get(key + "/latest/meta-data/instance-id").status == 200)
            let event = try await rack.event("metadata.secret-refused")
            #expect(event.machine == id && event.evidence["code"] == "attestation-missing")
        }
    }

    @Test("refuses an address that is another machine's, and tells of it once")
    func impostors() async throws {
        try await MetadataRack.with { rack in
            // The machine 3 speaks from the address that was leased to machine 2.
            rack.neighbours.withLock { $0["127.0.0.2"] = MetadataRack.mac(3) }
            for _ in 0..<5 {
                let client = try RawClient(from: "127.0.0.2", port: rack.port)
                #expect(client.put("/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: 60"]).status == 403)
            }
            let event = try await rack.event("metadata.impostor")
            #expect(event.evidence["mac"] == MetadataRack.mac(3).description && event.evidence["rightful-mac"] == MetadataRack.mac(2).description)
            let stranger = try RawClient(from: "127.0.0.99", port: rack.port)
            #expect(stranger.get("/latest/meta-data/").status == 403)
            #expect(rack.service.counters["refused-impostor"] == 5 && rack.service.counters["refused-stranger"] == 1)
            #expect(rack.service.counters["events"] == 2)
        }
    }

    @Test("a token ends when its machine's connection turns out to be another's")
    func addressChangesHands() async throws {
        try await MetadataRack.with { rack in
            let client = try RawClient(from: "127.0.0.2", port: rack.port)
            let token = client.put("/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: 60"]).body
            rack.neighbours.withLock { $0["127.0.0.2"] = MetadataRack.mac(3) }
            // Any change of the record makes every connection look again.
            _ = try await rack.control.update(
                machine: rack.machine(3).id.rawValue, with: MachinePatch(tags: ["a": "b"]), expecting: nil, by: "test")
            #expect(client.get("/latest/meta-data/mac", ["X-aws-ec2-metadata-token: \(token)"]).status == 403)
        }
    }

    @Test("limits how often a machine asks and how many connections it has")
    func limits() async throws {
        var settings = MetadataSettings()
        settings.requestsPerSecond = 5
        settings.connectionsPerMachine = 2
        try await MetadataRack.with(settings) { rack in
            let client = try RawClient(from: "127.0.0.2", port: rack.port)
            let statuses = (0..<30).map { _ in client.get("/latest/meta-data/").status }
            #expect(statuses.filter { $0 == 503 }.count >= 15 && statuses.contains(401))
            #expect(try RawClient(from: "127.0.0.3", port: rack.port).get("/latest/meta-data/").status == 401)
            let second = try RawClient(from: "127.0.0.2", port: rack.port)
            _ = second.get("/latest/meta-data/")
            #expect(try RawClient(from: "127.0.0.2", port: rack.port).get("/latest/meta-data/").status == 0)
        }
    }

    @Test(
        "hears only what is HTTP, and closes on the rest",
        arguments: [
            String(repeating: "A", count: 20_000),
            "GET / HTTP/1.1\r\nHost: 169.254.169.254\r\nX: " + String(repeating: "b", count: 9000) + "\r\n\r\n",
            "\u{16}\u{3}\u{1}\r\n\r\n", "GET /%2e%2e/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
        ])
    func garbage(_ text: String) async throws {
        try await MetadataRack.with { rack in
            let client = try RawClient(from: "127.0.0.2", port: rack.port)
            #expect(client.raw(text).status == 400)
        }
    }

    @Test("closes what is idle or says half a request, and answers others meanwhile")
    func idle() async throws {
        var settings = MetadataSettings()
        settings.connectionsPerMachine = 300
        try await MetadataRack.with(settings, patience: .milliseconds(300)) { rack in
            let idle = try (0..<200).map { _ in try RawClient(from: "127.0.0.2", port: rack.port) }
            for (index, client) in idle.enumerated() where index.isMultiple(of: 2) { client.begin("GET", "/latest/meta-data/ HTTP/1.1\r\nX:") }
            let half = try RawClient(from: "127.0.0.2", port: rack.port)
            half.write("GET /latest")
            #expect(try RawClient(from: "127.0.0.3", port: rack.port).get("/latest/meta-data/").status == 401)
            #expect(half.readUntil("\n").isEmpty)
            for client in idle where !client.readUntil("\r\n\r\n").isEmpty { _ = client.readUntil("\u{0}") }
            #expect(rack.service.counters["idle-closed"] >= 100)
        }
    }

    @Test("tells a watcher of a changed tag within a second, and ends when the machine is wiped")
    func watch() async throws {
        try await MetadataRack.with { rack in
            let id = try rack.machine(2).id
            let client = try RawClient(from: "127.0.0.2", port: rack.port)
            let key = try await rack.key(2)
            client.begin("GET", "/k/\(key)/hostler/v1/self?watch=true")
            #expect(client.readUntil("\r\n\r\n").contains("text/event-stream"))
            #expect(client.readUntil("\n\n").contains("\"tags\":{}"))
            let began = ContinuousClock.now
            _ = try await rack.control.update(machine: id.rawValue, with: MachinePatch(tags: ["role": "web"]), expecting: nil, by: "test")
            #expect(client.readUntil("\n\n").contains("\"tags\":{\"role\":\"web\"}"))
            #expect(ContinuousClock.now - began < .seconds(1))
            let end = rack.control.now + .seconds(3600)
            _ = try await rack.control.update(
                machine: id.rawValue, with: MachinePatch(lease: LeasePatch(endsAt: end)), expecting: nil, by: "test")
            #expect(client.readUntil("\n\n").contains("\"endsAt\":\"\(end)\",\"endedAt\":null"))
            let wipe = OperationRequest.wipe(WipeRequest())
            let lost = try await rack.control.consequence(of: .operation(wipe), on: id.rawValue)
            _ = try await rack.control.start(wipe, on: id.rawValue, by: "test", agreement: lost.confirmation)
            #expect(client.readUntil("\n\n").isEmpty)
            #expect(try RawClient(from: "127.0.0.2", port: rack.port).get("/k/\(key)/latest/meta-data/").status == 403)
        }
    }
}
