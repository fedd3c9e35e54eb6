import Foundation
import Logging
import Metadata
import Model
import Store
import Testing
import Wire

@testable import Control

@Suite("What the record says to the metadata service")
struct ControlMetadataTests {
    private func base64(_ text: String) -> Base64Bytes { Base64Bytes(base64: Data(text.utf8).base64EncodedString()) }

    private func discovered(_ control: ControlPlane) async throws -> MachineID { try await agent(control).machine }

    private func agent(_ control: ControlPlane) async throws -> HelloReply {
        let reply = try await boot(control)
        try await control.record(inventory(), of: reply.machine, wantsProof: false)
        return reply
    }

    /// Takes an installation to where the system starts for the first time.
    private func install(_ control: ControlPlane, _ agent: HelloReply, _ request: InstallRequest) async throws -> Model.Operation {
        let id = agent.machine
        let operation = try await control.order(.install(request), on: id.rawValue, by: "test")
        _ = try await control.task(for: agent.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
        for step in InstallTests.order {
            _ = try await control.report(
                StepReport(
                    operation: operation.id, generation: operation.generation, step: step, kind: .succeeded,
                    evidence: step == .chooseDisk ? ["serial": "D1"] : [:]), of: id, wantsProof: false)
        }
        return operation
    }

    private func callHome(_ control: ControlPlane, _ operation: Model.Operation) async throws {
        let vendor = String(
            decoding: try #require(try await control.vendorData(of: operation.machine, base: testBase, wantsProof: false)), as: UTF8.self)
        let start = try #require(vendor.firstRange(of: "/call-home/\(operation.id)/")).upperBound
        let proof = vendor[start...].prefix(64)
        try await control.callHome(operation: operation.id, proof: String(proof), hostKeys: [], evidence: [:])
    }

    @Test("user-data of an installation is read until its system is up, and the call home with it")
    func untilReady() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let agent = try await agent(control)
            let id = agent.machine
            #expect(try await control.userData(of: id, wantsProof: false) == nil)
            let operation = try await install(control, agent, InstallRequest(image: "debian-12", sshKeys: [publicKey], userData: base64("#!/bin/sh")))
            for _ in 0..<2 { #expect(try await control.userData(of: id, wantsProof: false) == Array("#!/bin/sh".utf8)) }
            try await callHome(control, operation)
            #expect(try await control.userData(of: id, wantsProof: false) == nil)
            #expect(try await control.vendorData(of: id, base: testBase, wantsProof: false) == nil)
            #expect(control.snapshot.machines[id]?.installed?.sshKeys == [publicKey])
        }
    }

    @Test("user-data that may be read once is read once, and its reading is an event")
    func once() async throws {
        let store = MemoryStore()
        let control = try await open(store)
        try await running(control) { control in
            let id = try await discovered(control)
            let patch = MachinePatch(userData: UserDataPatch(content: base64("secret"), access: .once))
            let machine = try await control.update(machine: id.rawValue, with: patch, expecting: nil, by: "test").value
            #expect(machine.desired.userData?.byteCount == 6)
            #expect(machine.desired.userData?.digest.hasPrefix("sha256:2bb80d53") == true)
            #expect(try await control.userData(of: id, wantsProof: false) == Array("secret".utf8))
            #expect(try await control.userData(of: id, wantsProof: false) == nil)
            let events = try await control.records.all(Event.self).map(\.value)
            #expect(events.contains { $0.kind == "machine.user-data-read" && $0.machine == id })
            #expect(!events.contains { "\($0)".contains("secret") })
        }
    }

    @Test("tags, keys and network are checked when they are set")
    func patches() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let id = try await discovered(control).rawValue
            func update(_ patch: MachinePatch) async throws -> Machine {
                try await control.update(machine: id, with: patch, expecting: nil, by: "test").value
            }
            #expect(try await update(MachinePatch(tags: ["role": "web", "a:b": "ü"])).desired.tags.count == 2)
            #expect(try await update(MachinePatch(tags: ["role": nil])).desired.tags == ["a:b": "ü"])
            for (key, value) in [("a/b", "x"), ("", "x"), ("..", "x"), ("a b", "x"), ("k", "a\nb"), ("k", String(repeating: "x", count: 257))] {
                await #expect(throws: Problem.self, "\(key)") { _ = try await update(MachinePatch(tags: [key: value])) }
            }
            await #expect(throws: Problem.self) { _ = try await update(MachinePatch(sshKeys: ["not a key"])) }
            #expect(try await update(MachinePatch(sshKeys: [publicKey])).desired.sshKeys == [publicKey])
            let network = NetworkConfig(ethernets: [EthernetLink(name: "eth0", mac: testMAC, addressing: LinkAddressing(dhcp: true))])
            #expect(try await update(MachinePatch(network: network)).desired.network == network)
            var other = network
            other.ethernets[0].mac = MACAddress(value: 0x0200_0000_0009)
            await #expect(throws: Problem.self) { _ = try await update(MachinePatch(network: other)) }
            #expect(try await update(MachinePatch(network: NetworkConfig())).desired.network == nil)
        }
    }

    @Test("a machine's record of before it had tags is read")
    func oldRecords() throws {
        var text = String(decoding: try RecordCoding.encode(try machine()), as: UTF8.self)
        text = text.replacing(#""desired":{"labels":{},"sshKeys":[],"tags":{}}"#, with: #""desired":{"labels":{"a":"b"}}"#)
        let read = try RecordCoding.decode(Machine.self, from: Array(text.utf8))
        #expect(read.desired.labels == ["a": "b"] && read.desired.tags.isEmpty)
    }

    @Test("a raw configuration is read once with its nonce, and only by the MAC address that it is for")
    func rawConfig() async throws {
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock)
        try await running(control) { control in
            let id = try await discovered(control)
            _ = try await control.update(
                machine: id.rawValue, with: MachinePatch(userData: UserDataPatch(content: base64("{\"ignition\":{}}"))), expecting: nil, by: "test")
            func nonce() -> String { String(control.rawConfigURL(for: testMAC).split(separator: "/").last ?? "") }
            let first = nonce()
            await #expect(throws: Problem.self) {
                _ = try await control.rawConfig(nonce: first, of: id, mac: MACAddress(value: 1), wantsProof: false)
            }
            #expect(try await control.rawConfig(nonce: first, of: id, mac: testMAC, wantsProof: false) == Array("{\"ignition\":{}}".utf8))
            await #expect(throws: Problem.self) { _ = try await control.rawConfig(nonce: first, of: id, mac: testMAC, wantsProof: false) }
            let second = nonce()
            clock.advance(.seconds(901))
            await #expect(throws: Problem.self) { _ = try await control.rawConfig(nonce: second, of: id, mac: testMAC, wantsProof: false) }
            // A nonce of the agent's is not one of a configuration's, nor the other way round.
            let agent = control.nonces.make(for: testMAC, now: control.now)
            await #expect(throws: Problem.self) { _ = try await control.rawConfig(nonce: agent, of: id, mac: testMAC, wantsProof: false) }
            let request = hello(nonce: nonce(), key: String(repeating: "b", count: 64))
            await #expect(throws: Problem.self) { _ = try await control.hello(request, from: testSender, wantsProof: false) }
        }
    }

    @Test("each data source's drive holds what an unmodified cloud-init needs", arguments: DataSource.allCases)
    func drives(_ source: DataSource) async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let placement = Placement(region: "lab", zone: "a", prefix: try #require(IPv4Prefix("10.77.0.1/24")))
            let id = try await discovered(control)
            let port = EthernetLink(
                name: "eth0", mac: testMAC, addressing: LinkAddressing(addresses: [try #require(IPv4Prefix("10.77.0.20/24"))]))
            _ = try await control.update(
                machine: id.rawValue, with: MachinePatch(network: NetworkConfig(ethernets: [port])), expecting: nil, by: "test")
            let request = InstallRequest(
                image: "debian-12", hostname: "web-1", sshKeys: [publicKey], userData: base64("#cloud-config\n{secret: yes}\n"), dataSource: source)
            let operation = try await control.order(.install(request), on: id.rawValue, by: "test")
            let volume = try await control.seed(of: operation.id, base: testBase, placement: placement, wantsProof: false)
            let text = String(decoding: volume.bytes, as: UTF8.self)
            let secrets = try await control.records.store.get(SeedSecrets.key(operation.id)).map {
                try RecordCoding.decode(SeedSecrets.self, from: $0)
            }
            let keys = try #require(secrets?.keys)
            let key = keys.instance
            #expect(text.contains(source == .configDrive ? "CONFIG-2" : "CIDATA"))
            // What goes over the wire is not on the disk, and the key is only where it is used.
            #expect(text.contains("{secret: yes}") == (source == .noCloud || source == .configDrive))
            let seedKey = keys.seed
            let written = text.split { !($0.isLetter || $0.isNumber || "+/=".contains($0)) }
                .compactMap { Data(base64Encoded: String($0)) }.map { String(decoding: $0, as: UTF8.self) }.joined()
            #expect(written.contains("http://169.254.169.254/k/\(seedKey)/nocloud/") == (source == .noCloudHTTP))
            #expect(written.contains("http://169.254.169.254/k/\(seedKey)\"") == (source == .ec2))
            #expect(text.contains(key + "\n") && !(text + written).contains("/k/\(key)"))
            #expect(try await control.seed(of: operation.id, base: testBase, placement: placement, wantsProof: false).digest == volume.digest)
            #expect(control.snapshot.machines[id].map { !"\($0)".contains(key) } == true)
        }
    }

    @Test("what fetches host certificates is in the vendor-data, beside the call home, where the configuration says so", arguments: [true, false])
    func hostCertificates(_ wanted: Bool) async throws {
        let clock = ManualClock()
        let control = try await ControlPlane.open(
            store: MemoryStore(), images: OneImage(),
            environment: ControlEnvironment(now: { clock.now }, logger: Logger(label: "test"), bringsHostCertificates: wanted))
        try await running(control) { control in
            let id = try await discovered(control)
            let operation = try await control.order(.install(InstallRequest(image: "debian-12")), on: id.rawValue, by: "test")
            let bytes = try #require(try await control.vendorData(of: id, base: testBase, wantsProof: false))
            let text = String(decoding: bytes, as: UTF8.self)
            #expect(text.contains("#cloud-config\nphone_home:\n  url: \(testBase)/call-home/\(operation.id)/"))
            #expect(text.hasPrefix("Content-Type: multipart/mixed; boundary=\"hostler\"\n"))
            #expect(text.split(separator: "Content-Type: text/x-shellscript").count == (wanted ? 3 : 2))
            #expect(text.contains("systemctl start --no-block hostler-call-home.service"))
            #expect(text.contains("hostler-host-certificates.timer") == wanted)
            // On the drive as over the wire.
            let volume = try await control.seed(of: operation.id, base: testBase, wantsProof: false)
            #expect(String(decoding: volume.bytes, as: UTF8.self).contains(text))
        }
    }

    @Test(
        "where first-boot data is fetched, the call home stands in a file of root's, and only the system that was meant calls so",
        arguments: [DataSource.ec2, .noCloudHTTP])
    func callsHomeFromItsDisk(_ source: DataSource) async throws {
        let clock = ManualClock()
        let control = try await ControlPlane.open(
            store: MemoryStore(), images: OneImage(),
            environment: ControlEnvironment(now: { clock.now }, logger: Logger(label: "test"), bringsHostCertificates: true))
        try await running(control) { control in
            let agent = try await agent(control)
            let operation = try await install(control, agent, InstallRequest(image: "debian-12", dataSource: source))
            let text = String(decoding: try await control.seed(of: operation.id, base: testBase, wantsProof: false).bytes, as: UTF8.self)
            // Whatever becomes of the certificates, the machine is started again.
            #expect(text.contains("umask 077 && echo ") && text.contains(" | base64 -d | sh || true; } && sync && systemctl reboot --force"))
            let words = text.split { !($0.isLetter || $0.isNumber || "+/=".contains($0)) }
            let settings = try #require(
                words.compactMap { Data(base64Encoded: String($0)) }.map { String(decoding: $0, as: UTF8.self) }.first {
                    $0.hasPrefix("datasource_list")
                })
            let url = try #require(settings.split(separator: "\"").first { $0.hasPrefix("\(testBase)/call-home/\(operation.id)/") })
            let proof = String(try #require(url.split(separator: "/").last))
            // What repeats the call home is put there before the restart, and begins after it.
            let scripts = words.compactMap { Data(base64Encoded: String($0)) }.map { String(decoding: $0, as: UTF8.self) }
            let delivery = try #require(scripts.first { $0.contains("systemctl enable -q hostler-call-home.service") })
            #expect(delivery.contains("SERVERS='10.77.0.1:8080'") && !delivery.contains("systemctl start"))
            await #expect(throws: Problem.self) {
                try await control.callHome(operation: operation.id, proof: proof, hostKeys: [], evidence: ["instance-id": "\(operation.id)-seed"])
            }
            for _ in 0..<2 {
                try await control.callHome(operation: operation.id, proof: proof, hostKeys: [], evidence: ["instance-id": operation.id.rawValue])
            }
            #expect(try await control.operation(operation.id).value.state == .succeeded)
        }
    }

    @Test("a config drive takes no network-config of cloud-init's")
    func configDriveNetwork() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let id = try await discovered(control)
            let request = InstallRequest(image: "debian-12", networkConfig: "version: 2\n", dataSource: .configDrive)
            await #expect(throws: Problem.self) { _ = try await control.order(.install(request), on: id.rawValue, by: "test") }
        }
    }

    private var publicKey: String { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHoyvYMdWsXKNFJIMZDJi9SbC0fFJ0oKs1bJGhYjVuNq ada" }
}
