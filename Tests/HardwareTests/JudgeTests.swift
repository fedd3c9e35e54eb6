import Foundation
import Model
import Synchronization
import Testing
import Wire

@testable import Hardware

/// Other people's BMCs, started by scripts/foreign-bmcs.sh with the first test that asks for them.
private enum Judge {
    static let environment = ProcessInfo.processInfo.environment
    /// host:port of an SNMP agent with APC's outlet 3, writable with the community “hands”.
    static var pdu: String? { environment["HOSTLER_JUDGE_PDU"] }
    /// A MAC address that is waited for on the wire.
    static var sleeper: String? { environment["HOSTLER_JUDGE_SLEEPER"] }

    static var sushy: String { get throws { try #require(told["sushy"], "scripts/foreign-bmcs.sh did not come up") } }
    static var image: String { get throws { try #require(told["image"], "scripts/foreign-bmcs.sh did not come up") } }
    static var ipmiPort: Int {
        get throws { try #require(told["ipmi"].flatMap { Int($0) }, "scripts/foreign-bmcs.sh did not come up") }
    }

    /// What the script prints, word by word. It ends with its standard input, and so with this process.
    private static let told: [String: String] = {
        let script = Process()
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../scripts").standardized
        script.executableURL = folder.appending(path: "foreign-bmcs.sh")
        let (input, output) = (Pipe(), Pipe())
        (script.standardInput, script.standardOutput) = (input, output)
        guard (try? script.run()) != nil else { return [:] }
        held.withLock { $0 = input }
        var text = ""
        while !text.hasSuffix("ready\n") {
            let part = output.fileHandleForReading.availableData
            guard !part.isEmpty else { return [:] }
            text += String(decoding: part, as: UTF8.self)
        }
        let lines = text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        return Dictionary(uniqueKeysWithValues: lines.filter { $0.count == 2 }.map { ($0[0], $0[1]) })
    }()
    private static let held = Mutex<Pipe?>(nil)
}

@Suite("sushy-emulator", .serialized) struct SushyJudgeTests {
    private func with(_ body: (RedfishBMC, BMCLine) async throws -> Void) async throws {
        let address = try #require(RedfishAddress(Judge.sushy))
        let client = RedfishClient(
            transport: HTTPTransport(address, trust: .init(pinned: nil)), address: address.description,
            credentials: .init(userName: "admin", password: "password"))
        let bmc = RedfishBMC(client: client)
        _ = try await bmc.facts()
        let line = BMCLine(id: BMCID(unchecked: "bmc-0001"), power: bmc, now: wallClock)
        do { try await body(bmc, line) } catch {
            await bmc.close()
            throw error
        }
        await bmc.close()
    }

    private var policy: PowerPursuit.Policy {
        var policy = PowerPursuit.Policy()
        policy.poll = .milliseconds(200)
        policy.deadline = .seconds(30)
        return policy
    }

    @Test("it is found for what it is") func identity() async throws {
        try await with { bmc, _ in
            let facts = try await bmc.facts()
            #expect(facts.systemUUID?.count == 36)
            #expect(bmc.client.quirks.has(.overrideAlwaysContinuous))
        }
    }

    @Test("power goes on, off, through a cycle and down, each proved") func power() async throws {
        try await with { _, line in
            let on = try await line.perform(.on, policy: policy)
            let cycled = try await line.perform(.cycle, policy: policy)
            let down = try await line.perform(.shutdown, policy: policy)
            let off = try await line.perform(.off, policy: policy)
            #expect(on.state == .on && cycled.state == .on && down.state == .off && off.requests == 0)
        }
    }

    @Test("boot from network, disk, disc and by UEFI HTTP are set and read back", arguments: [BootTarget.pxe, .disk, .cd, .http])
    func boot(_ target: BootTarget) async throws {
        try await with { bmc, _ in
            try await bmc.setBoot(BootOverride(target: target))
            let read = try await bmc.bootOverride()
            #expect(target == .http ? read.target == .pxe : read.target == target)
        }
    }

    @Test("a URI, which its fake driver does not keep, is refused in its own words") func bootURI() async throws {
        try await with { bmc, _ in
            let told = await problem { try await bmc.setBoot(BootOverride(target: .http, uri: try Judge.image)) }
            #expect(told?.code == "bmc-refused" && told?.detail?.contains("Failed to save HttpBootUri field value.") == true)
        }
    }

    @Test("a disc is inserted and ejected") func media() async throws {
        try await with { bmc, _ in
            try await bmc.insertMedia(try Judge.image)
            try await bmc.ejectMedia()
        }
    }

    @Test("parts, sensors and Secure Boot are read") func parts() async throws {
        try await with { bmc, _ in
            let parts = try await bmc.inventory()
            #expect(parts.contains { $0.kind == .nic && $0.mac != nil })
            let health = try await bmc.health()
            #expect(health.readings.contains { $0.kind == .temperature })
            #expect(health.readings.contains { $0.kind == .fan })
        }
    }

    @Test("what it does not have is said to be missing") func missing() async throws {
        try await with { bmc, _ in
            #expect(await problem { _ = try await bmc.log(limit: 10) }?.code == "bmc-unsupported")
            #expect(await problem { try await bmc.setPassword("x") } != nil)
        }
    }

    @Test("firmware is updated from a URL, and its task followed") func firmware() async throws {
        try await with { bmc, _ in
            let told = await problem { try await bmc.updateFirmware(from: try Judge.image, deadline: .seconds(60)) }
            // The fake driver keeps no firmware: it answers that it cannot, in words.
            #expect(told == nil || told?.code.hasPrefix("bmc-") == true)
        }
    }
}

@Suite("OpenIPMI's ipmi_sim", .serialized) struct IPMIJudgeTests {
    private func bmc(_ password: String = "test") throws -> IPMIBMC {
        var options = IPMIBMC.Options()
        options.port = try Judge.ipmiPort
        options.cipherSuite = 3
        return IPMIBMC(host: "127.0.0.1", credentials: .init(userName: "ipmiusr", password: password), options: options)
    }

    @Test("power goes on, off and through a cycle, each proved") func power() async throws {
        let line = BMCLine(id: BMCID(unchecked: "bmc-0001"), power: try bmc(), now: wallClock)
        var policy = PowerPursuit.Policy()
        policy.poll = .milliseconds(300)
        policy.deadline = .seconds(40)
        #expect(try await line.perform(.on, policy: policy).state == .on)
        #expect(try await line.perform(.cycle, policy: policy).state == .on)
        #expect(try await line.perform(.off, policy: policy).state == .off)
    }

    /// The simulator keeps the device alone: see its row in the table of quirks.
    @Test("boot devices are set and read back", arguments: [BootTarget.pxe, .disk, .cd])
    func boot(_ target: BootTarget) async throws {
        let bmc = try bmc()
        try await bmc.setBoot(BootOverride(target: target))
        #expect(try await bmc.bootOverride().target == target)
        try await bmc.setBoot(BootOverride(target: .none))
        #expect(try await bmc.bootOverride().target == .none)
    }

    @Test("sensors, log and identity are read, and the log is cleared") func reading() async throws {
        let bmc = try bmc()
        let readings = try await bmc.health().readings
        #expect(readings.contains { $0.kind == .temperature })
        #expect(try await bmc.facts().firmware != nil)
        let log = try await bmc.log(limit: 10)
        #expect(log.count >= 1, "the script put an entry there")
        try await bmc.clearLog()
        // Clearing leaves an entry that says so, on some.
        #expect(try await bmc.log(limit: 10).count <= 1)
    }

    @Test("a wrong password is no session, in words") func wrongPassword() async throws {
        let told = await problem { _ = try await bmc("wrong").readPower() }
        #expect(told?.code == "bmc-auth-refused" || told?.code == "bmc-unreachable")
    }

    @Test("the password is changed, and the old one is worth nothing") func password() async throws {
        let bmc = try bmc()
        try await bmc.setPassword("Fresh1")
        try await bmc.verify()
        #expect(await problem { _ = try await self.bmc().readPower() } != nil)
        try await bmc.setPassword("test")
        try await bmc.verify()
    }
}

@Suite("net-snmp's agent as a PDU", .serialized, .enabled(if: Judge.pdu != nil, "run by scripts/power-judges.sh")) struct PDUJudgeTests {
    @Test("an outlet is switched on, off and through a cycle, each read back from the agent") func outlet() async throws {
        let pdu = try SNMPPower(host: try #require(Judge.pdu), community: "hands", options: ["outlet": "3", "model": "apc"])
        let line = BMCLine(id: BMCID(unchecked: "bmc-0003"), power: pdu, now: wallClock)
        var policy = PowerPursuit.Policy()
        policy.poll = .milliseconds(100)
        #expect(try await line.readPower().0.state == .off)
        #expect(try await line.perform(.on, policy: policy).requests == 1)
        #expect(try await line.perform(.cycle, policy: policy).requests == 2)
        #expect(try await line.perform(.off, policy: policy).state == .off)
        #expect(await problem { _ = try await line.perform(.shutdown, policy: policy) } == nil, "it is off already")
    }

    @Test("a wrong community and an outlet that is not there are told, and nothing is switched") func refused() async throws {
        let host = try #require(Judge.pdu)
        let stranger = try SNMPPower(host: host, community: "public", options: ["outlet": "3"])
        #expect(await problem { _ = try await stranger.readPower() }?.code == "bmc-unreachable")
        let missing = try SNMPPower(host: host, community: "hands", options: ["outlet": "40"])
        let read = try? await missing.readPower().state
        #expect(read == nil || read == .unknown)
    }
}

@Suite("A sleeping machine", .enabled(if: Judge.sleeper != nil, "run by scripts/power-judges.sh")) struct SleeperJudgeTests {
    @Test("it is woken by broadcast") func wake() async throws {
        let power = try WakeOnLAN(mac: try #require(MACAddress(Judge.sleeper ?? "")))
        try await power.request(.on)
    }
}
