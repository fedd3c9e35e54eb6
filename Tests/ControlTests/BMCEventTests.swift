import Foundation
import Hardware
import Logging
import Model
import Store
import Testing
import VirtualBMC
import Wire

@testable import Control

@Suite("What BMCs tell by themselves") struct BMCEventTests {
    static func clock() -> Timestamp { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }

    struct Scene: Sendable {
        var desk: BMCDesk
        var control: ControlPlane
        var bmc: VirtualBMC
        var hardware: SimulatedHardware
        var server: VirtualBMCServer

        /// The first event that fits, of those that come after revision `after`.
        func event(after: Revision = Revision(rawValue: 0), where fits: @Sendable (Event) -> Bool) async throws -> Event? {
            for try await change in try await control.records.watch(Event.self, after: after) {
                if case .put(let event) = change, fits(event.value) { return event.value }
            }
            return nil
        }
    }

    /// A desk whose one BMC is a virtual one, while its tasks run.
    private func with(
        health: HealthPolicy = HealthPolicy(everySeconds: 0), faults: [Misbehaviour] = [], _ body: @Sendable @escaping (Scene) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let hardware = SimulatedHardware(inventory: .simulated(1))
        let bmc = VirtualBMC(
            hardware: hardware, account: BMCAccount(id: "1", userName: "admin", password: "hostler-lab", role: .administrator), now: Self.clock)
        bmc.setFaults(faults)
        let server = try await VirtualBMCServer(
            bmc, host: "127.0.0.1", port: 0, certificates: [try BMCCertificate(name: "bmc", address: "127.0.0.1")])
        let store = MemoryStore()
        var one = try machine(now: Self.clock())
        one.interfaces = [Interface(mac: MACAddress(value: 0x5254_0078_0002), bootedAt: one.createdAt)]
        try await store.commit([one.put(.absent)])
        let control = try await ControlPlane.open(
            store: store, images: OneImage(), environment: ControlEnvironment(now: Self.clock, logger: Logger(label: "test")))
        var settings = BMCDesk.Settings()
        settings.health = health
        settings.eventBackoff = Backoff(first: .milliseconds(20), longest: .milliseconds(200))
        settings.logEvery = .milliseconds(200)
        settings.spread = .zero
        let desk = try await BMCDesk.open(control: control, vault: Vault(keyFile: folder + "/vault.key"), settings: settings)
        let scene = Scene(desk: desk, control: control, bmc: bmc, hardware: hardware, server: server)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try? await server.run() }
            // What holds a machine waits for the snapshot, and that follows only while this runs.
            group.addTask { try await control.run() }
            var request = BMCRequest(kind: .redfish, address: "127.0.0.1:\(server.address.port ?? 0)")
            request.userName = "admin"
            request.password = "hostler-lab"
            let added = try await desk.add(request, by: "test")
            #expect(added.machine == one.id)
            group.addTask { try await desk.run() }
            try await body(scene)
            group.cancelAll()
        }
    }

    /// Once the BMC has a listener.
    private func listening(_ scene: Scene) async throws {
        while scene.bmc.service.subscriptionCount == 0 { try await Task.sleep(for: .milliseconds(10)) }
    }

    @Test("an event of the stream is one of ours, and the power that it is about is read at once", .timeLimit(.minutes(1)))
    func stream() async throws {
        try await with { scene in
            try await listening(scene)
            try await scene.hardware.perform(.power(.on))
            let told = try #require(try await scene.event { $0.kind == "hardware.event" })
            #expect(told.message == "one: The system was powered on.")
            #expect(told.machine == MachineID(unchecked: "m-test01"))
            #expect(told.evidence["severity"] == "ok")
            let flip = try #require(try await scene.event { $0.kind == "power.flipped" })
            #expect(flip.evidence["to"] == "on")
        }
    }

    @Test("what happened while nobody listened is told from the log once the stream is open again, and nothing twice", .timeLimit(.minutes(1)))
    func reconnect() async throws {
        try await with { scene in
            try await listening(scene)
            scene.bmc.note("first", severity: .warning)
            _ = try await scene.event { $0.message == "one: first" }
            scene.bmc.setFaults([.error])
            scene.server.closeConnections()
            scene.bmc.note("second", severity: .critical)
            scene.bmc.setFaults([])
            let second = try #require(try await scene.event { $0.message == "one: second" })
            #expect(second.evidence["severity"] == "critical")
            try await listening(scene)
            scene.bmc.note("third", severity: .ok)
            _ = try await scene.event { $0.message == "one: third" }
            let messages = try await scene.control.records.all(Event.self).map(\.value.message)
            for message in ["one: first", "one: second", "one: third"] { #expect(messages.filter { $0 == message }.count == 1, "\(message)") }
        }
    }

    @Test("a fan that dies is an event at once and, where the policy says so, a hold", .timeLimit(.minutes(1)))
    func fan() async throws {
        try await with(health: HealthPolicy(everySeconds: 3600, confirmations: 1, holdOn: [.fan])) { scene in
            try await listening(scene)
            try await scene.hardware.perform(.power(.on))
            scene.hardware.setBroken([.fan])
            scene.bmc.note("Fan1 failed.", severity: .critical)
            let fault = try #require(try await scene.event { $0.kind == "hardware.fault" })
            #expect(fault.evidence["sensor"] == "Fan1" && fault.evidence["health"] == "critical")
            #expect(fault.message.hasPrefix("one: fan “Fan1” is critical: 0 RPM"))
            let held = try #require(try await scene.control.machine(named: "one").value.holds.first)
            #expect(held.problem.code == "hardware-fan")
            // The event is in the record before the fault is among those that are told; the test's time limit ends the wait.
            var read = try await scene.desk.sensors(machine: "one")
            while !read.faults.contains(where: { $0.sensor == "Fan1" && $0.kind == .fan }) {
                await Task.yield()
                read = try await scene.desk.sensors(machine: "one")
            }
            #expect(read.sensors.contains { $0.reading.name == "Fan1" && $0.reading.value == 0 })
            scene.hardware.setBroken([])
            _ = try await scene.desk.health(machine: "one")
            let over = try #require(try await scene.event { $0.kind == "hardware.recovered" })
            #expect(over.message == "one: fan “Fan1” is right again")
            #expect(try await scene.desk.bmc(named: "one").value.observed.faults == nil)
        }
    }
}

@Suite("What is news in a BMC's log") struct LogCatchUpTests {
    private func entry(_ id: String, _ time: String?) -> HardwareLogEntry { HardwareLogEntry(id: id, time: time, severity: .ok, message: "m\(id)") }
    private let log: [HardwareLogEntry]

    init() {
        log = [
            HardwareLogEntry(id: "12", time: "2026-01-02T00:00:05Z", severity: .ok, message: "c"),
            HardwareLogEntry(id: "11", time: "2026-01-02T00:00:05Z", severity: .ok, message: "b"),
            HardwareLogEntry(id: "9", time: "2026-01-01T23:00:00-01:00", severity: .ok, message: "a"),
        ]
    }

    @Test("what stood in it before it was first looked at is history") func first() {
        let news = LogCatchUp.news(in: log, after: nil)
        #expect(news.entries.isEmpty && news.mark == HardwareLogMark(id: "12", time: "2026-01-02T00:00:05Z"))
        #expect(LogCatchUp.news(in: [], after: nil).mark == HardwareLogMark())
    }

    @Test("what is newer than the mark is news, oldest first, in the mark's own second by its id") func newer() {
        #expect(LogCatchUp.news(in: log, after: .init(id: "9", time: "2026-01-02T00:00:00Z")).entries.map(\.message) == ["b", "c"])
        #expect(LogCatchUp.news(in: log, after: .init(id: "11", time: "2026-01-02T00:00:05Z")).entries.map(\.message) == ["c"])
        #expect(LogCatchUp.news(in: log, after: .init(id: "12", time: "2026-01-02T00:00:05Z")).entries.isEmpty)
    }

    @Test("what came by the stream is not told again by the log") func streamed() {
        #expect(LogCatchUp.news(in: log, after: .init(id: nil, time: "2026-01-02T00:00:05+00:00")).entries.isEmpty)
        #expect(LogCatchUp.news(in: log, after: .init(id: nil, time: "2026-01-02T00:00:04Z")).entries.map(\.message) == ["b", "c"])
    }

    @Test("a log that was cleared and counts anew is told from its first entry") func cleared() {
        let news = LogCatchUp.news(in: [entry("1", "2026-02-01T00:00:00Z")], after: .init(id: "500", time: "2026-01-02T00:00:05Z"))
        #expect(news.entries.map(\.id) == ["1"])
        #expect(LogCatchUp.news(in: [], after: .init(id: "500", time: "2026-01-02T00:00:05Z")).mark.id == "500")
    }

    @Test("entries without times go by their ids; too many at once are told as a number") func many() {
        let entries = (1...100).reversed().map { entry("\($0)", nil) }
        let news = LogCatchUp.news(in: entries, after: .init(id: "50"))
        #expect(news.entries.map(\.id) == (69...100).map(String.init))
        #expect(news.left == 18)
        #expect(news.mark.id == "100")
    }

    @Test("a BMC in a bad mood is not written down a thousand times") func throttle() {
        var throttle = EventThrottle()
        func at(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: 1_700_000_000_000 + seconds * 1000) }
        let admitted = (0..<1000).filter { _ in throttle.admits(at: at(1)) }.count
        #expect(admitted == EventThrottle.eventsPerMinute)
        let (early, later) = (throttle.admits(at: at(60)), throttle.admits(at: at(61)))
        #expect(!early && later)
        #expect(throttle.takeDropped() == 1001 - EventThrottle.eventsPerMinute)
        #expect(throttle.dropped == 0)
    }
}
