import ArgumentParser
import BootServices
import Control
import Foundation
import Model
import NetBoot
import Testing
import Wire

@testable import API
@testable import hostler

@Suite("Options of the server and of what talks to it", .serialized) struct ServerOptionsTests {
    @Test("an address with a typo is an error, not a network without that address")
    func router() throws {
        let words = ["--interface", "eth0", "--address", "10.0.0.2/24", "--router"]
        #expect(try ServeCommand.parse(words + ["10.0.0.254"]).network("eth0").router == IPv4Address(value: 0x0a00_00fe))
        for typo in ["10.0.0", "10.0.0.256", "10.0.0.254 ", "router"] {
            let command = try ServeCommand.parse(words + [typo])
            #expect(throws: ValidationError.self) { try command.network("eth0") }
        }
    }

    @Test("networks behind relays, routes, time servers and the MTU come from the file")
    func file() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "hostler-\(UInt64.random(in: 0 ... .max)).yaml").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try """
        networks:
        - interface: eno2
          address: 10.20.0.1/24
          dns: [10.20.0.254]
          ntp: [10.20.0.253]
          mtu: 9000
          routes: [{to: 10.30.0.0/16, via: 10.20.0.252}]
          subnets:
          - prefix: 10.30.0.0/24
            ranges: [10.30.0.100-10.30.0.200]
            router: 10.30.0.1
          - prefix: 10.31.0.0/24
            dns: [10.31.0.1]
        """.write(toFile: path, atomically: true, encoding: .utf8)
        let networks = try #require(try ServerConfiguration.load(path).networks)
        let network = try networks[0].bootNetwork()
        #expect(network.dhcpConfiguration.mtu == 9000)
        #expect(network.dhcpConfiguration.ntp.map(\.description) == ["10.20.0.253"])
        #expect(network.dhcpConfiguration.classlessRoutes.map(\.destination.description) == ["169.254.169.254/32", "10.30.0.0/16"])
        let remote = network.remoteConfigurations
        #expect(remote.map(\.prefix.description) == ["10.30.0.0/24", "10.31.0.0/24"])
        #expect(remote.map { $0.dns.map(\.description) } == [["10.20.0.254"], ["10.31.0.1"]])
        #expect(remote[0].ranges.first?.first.description == "10.30.0.100")
        #expect(remote[1].ranges.first?.first.description == "10.31.0.128")
        for configuration in [network.dhcpConfiguration] + remote { try configuration.validate() }
        // Who wants proof wants it behind the relays too.
        #expect(network.attestedPrefixes.isEmpty)
        var attested = network
        attested.attestation = true
        #expect(attested.attestedPrefixes.map(\.description) == ["10.20.0.1/24", "10.30.0.0/24", "10.31.0.0/24"])
    }

    @Test("what becomes of unknown machines is said by the file, or follows from the mode; the former word still counts")
    func policies() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "hostler-\(UInt64.random(in: 0 ... .max)).yaml").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        func network(_ words: String) throws -> BootNetwork {
            try "networks: [{interface: eno2, address: 10.20.0.1/24\(words)}]".write(toFile: path, atomically: true, encoding: .utf8)
            return try #require(try ServerConfiguration.load(path).networks).map { try $0.bootNetwork() }[0]
        }
        #expect(try network("").policy == .inspectEmpty)
        #expect(try network(", mode: proxy").policy == .known)
        #expect(try network(", mode: server, discovery: true").policy == .discover)
        #expect(try network(", mode: proxy, discovery: true").policy == .discover)
        #expect(try network(", discovery: false").policy == .known)
        for policy in DiscoveryPolicy.allCases { #expect(try network(", mode: proxy, policy: \(policy.rawValue)").policy == policy) }
        for words in [", policy: discover, discovery: true", ", policy: everything", ", policy: true"] {
            #expect(throws: Problem.self) { try network(words) }
        }
        // A network behind a relay has its own, or that of the wire.
        let relayed = try network(", policy: watch, subnets: [{prefix: 10.30.0.0/24, policy: discover}, {prefix: 10.31.0.0/24}]")
        #expect(relayed.policy(at: IPv4Address("10.30.0.7")) == .discover && relayed.policy(at: IPv4Address("10.31.0.7")) == .watch)
        #expect(relayed.policy(at: IPv4Address("10.20.0.7")) == .watch && relayed.policy(at: nil) == .watch && !relayed.answersNobody)
        #expect(try network(", policy: watch").answersNobody)
        // What it says on its own wire passes no relay.
        #expect(!relayed.speaksOnItsWire)
        #expect(try network(", policy: known, subnets: [{prefix: 10.30.0.0/24, policy: watch}]").speaksOnItsWire)
        // The doctor and the log say it, with why, and warn of a network that takes everything.
        let doctor = WireCheck(try network("")).policies
        #expect(doctor.map(\.level) == [.good] && doctor[0].found.contains("inspect-empty, the default where Hostler gives the addresses"))
        #expect(WireCheck(try network(", policy: discover")).policies.map(\.level) == [.warning])
        #expect(try network(", mode: proxy").policyStatements.map(\.text).first?.contains("beside another DHCP server") == true)
        // A lab's machines are its own; a flag decides over all of that.
        let prefix = try #require(IPv4Prefix("10.77.0.1/24"))
        #expect(try ServerConfiguration.network(ofLab: "lab", address: prefix).policy == .discover)
        let words = ["--interface", "eth0", "--address", "10.0.0.2/24"]
        #expect(try ServeCommand.parse(words).network("eth0").policy == .inspectEmpty)
        #expect(try ServeCommand.parse(words + ["--dhcp", "proxy"]).network("eth0").policy == .known)
        #expect(try ServeCommand.parse(words + ["--policy", "watch"]).network("eth0").policy == .watch)
        #expect(throws: (any Error).self) { try ServeCommand.parse(words + ["--policy", "all"]) }
    }

    @Test("a word of the file that nothing reads is an error that names it, wherever it stands")
    func misspelt() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "hostler-\(UInt64.random(in: 0 ... .max)).yaml").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        func stranger(_ text: String) throws -> String? {
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            do {
                _ = try ServerConfiguration.load(path)
                return nil
            } catch let problem as Problem {
                #expect(problem.code == "config-unknown", "\(problem)")
                return problem.title.split(separator: "“").last?.split(separator: "”").first.map(String.init)
            }
        }
        let network = "networks: [{interface: eno2, address: 10.20.0.1/24, "
        #expect(try stranger("stateDirectori: /srv") == "stateDirectori")
        #expect(try stranger(network + "metdata: {enabled: false}}]") == "networks[0].metdata")
        #expect(try stranger(network + "metadata: {secretsNeedsKey: true}}]") == "networks[0].metadata.secretsNeedsKey")
        let subnets = "subnets: [{prefix: 10.30.0.0/24}, {prefix: 10.31.0.0/24, metadata: {acces: none}}]}]"
        #expect(try stranger(network + subnets) == "networks[0].subnets[1].metadata.acces")
        let reservations = "reservations: [{mac: 52:54:00:12:34:57, address: 10.20.0.9, hostnam: a}]}]"
        #expect(try stranger(network + reservations) == "networks[0].reservations[0].hostnam")
        #expect(try stranger("health: {sweepSecond: 1}") == "health.sweepSecond")
        // Nothing is said by nothing, and every word of the documentation's examples is one.
        for text in ["", "networks:", "# empty", network + "router: null}]"] { #expect(try stranger(text) == nil, "\(text)") }
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs")
        for name in ["configuration.md", "metadata.md", "bmc.md", "identity.md"] {
            let blocks = try String(contentsOf: folder.appending(path: name), encoding: .utf8).components(separatedBy: "```")
            for block in blocks where block.hasPrefix("yaml\n") {
                let text = String(block.dropFirst(5))
                let isWhole = ["networks:", "stateDirectory:", "identity:", "health:", "consoles:"].contains { text.hasPrefix($0) }
                if isWhole { #expect(try stranger(text) == nil, "\(name): \(text)") }
                if text.hasPrefix("metadata:") {
                    let indented = text.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n")
                    #expect(try stranger("networks:\n- interface: a\n  address: 10.0.0.1/24\n" + indented) == nil, "\(name)")
                }
            }
        }
    }

    @Test("commands find the state where the environment says the server keeps it")
    func stateDirectory() throws {
        let before = ProcessInfo.processInfo.environment[StateDirectory.environmentName]
        defer { if let before { setenv(StateDirectory.environmentName, before, 1) } else { unsetenv(StateDirectory.environmentName) } }
        setenv(StateDirectory.environmentName, "/srv/rack", 1)
        #expect(try ConnectionOptions.parse([]).stateDir == "/srv/rack")
        #expect(try ConnectionOptions.parse(["--state-dir", "/elsewhere"]).stateDir == "/elsewhere")
        unsetenv(StateDirectory.environmentName)
        #expect(try ConnectionOptions.parse([]).stateDir == "/var/lib/hostler")
    }

    @Test("the doctor names every server that answers, and in proxy mode misses one that does not")
    func wire() throws {
        let (server, offered) = (IPv4Address(value: 0x0a00_0009), IPv4Address(value: 0x0a00_0063))
        let prefix = try #require(IPv4Prefix("10.0.0.2/24"))
        var network = BootNetwork(name: "n", interface: "eth0", address: prefix)
        let answers = [DHCPProbe.Answer(server: server, offered: offered)]
        #expect(WireCheck(network).findings([]).map(\.level) == [.good])
        let rival = WireCheck(network).findings(answers)
        #expect(rival.map(\.level) == [.warning])
        #expect(rival.first?.found.contains("10.0.0.9") == true)
        #expect(rival.first?.remedy != nil)
        network.mode = .proxy
        #expect(WireCheck(network).findings(answers).map(\.level) == [.good])
        #expect(WireCheck(network).findings([]).map(\.level) == [.warning])
    }

    @Test("the status tells what each service counted, and nothing of what it did not")
    func counters() {
        let status = StatusReply(
            version: "1", startedAt: Timestamp(milliseconds: 0), uptimeSeconds: 1, revision: 1, machines: [:], heldMachines: 0,
            openOperations: 0, images: 0, memoryBytes: 1, warnings: [],
            counters: ["lab": ["dhcp": ["received": 7, "malformed": 2, "overloaded": 0], "tftp": [:]]])
        let text = StatusCommand.text(status, SavedServer(server: "https://x", token: "t"))
        #expect(text.contains("dhcp:        2 malformed, 7 received"))
        #expect(text.contains("tftp:        nothing yet"))
    }

    @Test("a server that may open few files does not start: at the limit its own runtime would end it") func openFiles() throws {
        #expect(throws: Problem.self) { try ServeCommand.checkOpenFiles(limit: 1023) }
        try ServeCommand.checkOpenFiles(limit: 1024)
        // Where it cannot be asked for, nothing is known against it.
        try ServeCommand.checkOpenFiles(limit: -1)
    }
}
