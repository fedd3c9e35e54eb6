import Foundation
import Hardware
import Logging
import Model
import Store
import Synchronization
import Testing
import VirtualBMC
import Wire

@testable import Control

@Suite("Settings, media and firmware by a BMC") struct BMCSettingsTests {
    private static func clock() -> Timestamp { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }

    /// A desk whose one BMC is a virtual one.
    private func with(
        updateTakes: Duration = .milliseconds(100),
        _ body: @Sendable @escaping (BMCDesk, ControlPlane, VirtualBMC, SimulatedHardware) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let hardware = SimulatedHardware(inventory: .simulated(1))
        let bmc = VirtualBMC(
            hardware: hardware, account: BMCAccount(id: "1", userName: "admin", password: "hostler-lab", role: .administrator),
            updateTakes: updateTakes, now: Self.clock)
        let server = try await VirtualBMCServer(bmc, host: "127.0.0.1", port: 0, certificates: [])
        let store = MemoryStore()
        var one = try machine(now: Self.clock())
        one.interfaces = [Interface(mac: MACAddress(value: 0x5254_0078_0002), bootedAt: one.createdAt)]
        try await store.commit([one.put(.absent)])
        let control = try await ControlPlane.open(
            store: store, images: OneImage(), environment: ControlEnvironment(now: Self.clock, logger: Logger(label: "test")))
        let desk = try await BMCDesk.open(control: control, vault: Vault(keyFile: folder + "/vault.key"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try? await server.run() }
            group.addTask { await desk.runUpdates() }
            var request = BMCRequest(kind: .redfish, address: "http://127.0.0.1:\(server.address.port ?? 0)")
            request.userName = "admin"
            request.password = "hostler-lab"
            _ = try await desk.add(request, by: "test")
            try await body(desk, control, bmc, hardware)
            await desk.close()
            group.cancelAll()
        }
    }

    private func code(_ body: () async throws -> Void) async -> String? {
        do { try await body() } catch let problem as Problem { return problem.code } catch { return "\(error)" }
        return nil
    }

    @Test("firmware settings are staged, read back, and told; an unknown one is refused", .timeLimit(.minutes(1))) func bios() async throws {
        try await with { desk, control, _, hardware in
            #expect(try await desk.firmwareSettings(machine: "one").attributes["SriovEnabled"] == .flag(false))
            let read = try await desk.stage(["SriovEnabled": .flag(true), "PowerProfile": .text("Performance")], machine: "one", by: "test")
            #expect(read.attributes["SriovEnabled"] == .flag(false))
            #expect(read.staged == ["SriovEnabled": .flag(true), "PowerProfile": .text("Performance")])
            #expect(await code { _ = try await desk.stage(["Nonsense": .text("x")], machine: "one", by: "test") } == "bmc-bios-attribute-unknown")
            #expect(await code { _ = try await desk.stage([:], machine: "one", by: "test") } == "settings-invalid")
            let event = try await control.records.all(Event.self).map(\.value).first { $0.kind == "firmware.settings-staged" }
            #expect(event?.evidence["settings"] == "PowerProfile=Performance, SriovEnabled=true")
        }
    }

    @Test("an image goes into the virtual drive and out again; what no BMC could fetch is refused", .timeLimit(.minutes(1))) func media() async throws
    {
        try await with { desk, _, _, hardware in
            try await desk.setMedia("http://10.0.0.2/rescue.iso", machine: "one", by: "test")
            try await desk.setMedia(nil, machine: "one", by: "test")
            #expect(hardware.orders.count == 2)
            for url in ["/etc/passwd", "javascript:x", "http://10.0.0.2/a b"] {
                #expect(await code { try await desk.setMedia(url, machine: "one", by: "test") } == "url-invalid")
            }
        }
    }

    @Test("a firmware update is followed to its end, and the power is left alone meanwhile", .timeLimit(.minutes(1))) func firmware() async throws {
        try await with(updateTakes: .seconds(2)) { desk, control, bmc, _ in
            let begun = try await desk.updateFirmware(from: "http://10.0.0.2/bios.bin", targets: [], machine: "one", by: "test")
            #expect(begun.state == .running)
            #expect(await code { _ = try await desk.power(.on, machine: "one", by: "test") } == "firmware-update-running")
            let record = try #require(try await control.records.all(BMC.self).first?.value)
            #expect(await code { try desk.refuseWhileUpdating(record) } == "firmware-update-running", "nor for an operation")
            #expect(
                await code { _ = try await desk.updateFirmware(from: "http://10.0.0.2/b", targets: [], machine: "one", by: "test") }
                    == "firmware-update-running")
            for try await change in try await control.records.watch(Event.self, after: Revision(rawValue: 0)) {
                if case .put(let event) = change, event.value.kind.hasPrefix("firmware.update"), event.value.kind != "firmware.update-started" {
                    #expect(event.value.kind == "firmware.updated", "\(event.value.message)")
                    break
                }
            }
            let update = try await desk.firmwareUpdate(machine: "one")
            #expect(update.state == .done && update.endedAt != nil)
            #expect(try await desk.power(.on, machine: "one", by: "test").state == .on)
        }
    }

    @Test("a firmware file is given to the BMC as it is; one without bytes or a proper name is refused", .timeLimit(.minutes(1)))
    func push() async throws {
        let taker = FirmwareTaker()
        try await with(taker) { desk, control in
            #expect(await code { _ = try await desk.pushFirmware([], named: "b", targets: [], machine: "one", by: "test") } == "firmware-empty")
            for name in ["", "a b", "../x", String(repeating: "x", count: 129)] {
                #expect(
                    await code { _ = try await desk.pushFirmware([1], named: name, targets: [], machine: "one", by: "test") }
                        == "firmware-name-invalid")
            }
            let file = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
            _ = try await desk.pushFirmware(file, named: "bios.bin", targets: ["/redfish/v1/F/1"], machine: "one", by: "test")
            for try await change in try await control.records.watch(Event.self, after: Revision(rawValue: 0)) {
                if case .put(let event) = change, ["firmware.updated", "firmware.update-failed"].contains(event.value.kind) {
                    #expect(event.value.kind == "firmware.updated", "\(event.value.message)")
                    break
                }
            }
            #expect(taker.taken.withLock { $0 }?.file == file)
            #expect(taker.taken.withLock { $0 }?.name == "bios.bin" && taker.taken.withLock { $0 }?.targets == ["/redfish/v1/F/1"])
            let update = try await desk.firmwareUpdate(machine: "one")
            #expect(update.state == .done && update.url == "bios.bin" && update.percent == 50)
        }
    }

    @Test("a BMC that takes no file says so", .timeLimit(.minutes(1))) func pushUnsupported() async throws {
        try await with(updateTakes: .zero) { desk, control, _, _ in
            _ = try await desk.pushFirmware([1], named: "bios.bin", targets: [], machine: "one", by: "test")
            for try await change in try await control.records.watch(Event.self, after: Revision(rawValue: 0)) {
                if case .put(let event) = change, event.value.kind == "firmware.update-failed" { break }
            }
            #expect(try await desk.firmwareUpdate(machine: "one").problem?.code == "bmc-unsupported")
        }
    }

    /// A desk whose one BMC is `way`.
    private func with(
        _ way: any PowerSwitch, _ body: @Sendable @escaping (BMCDesk, ControlPlane) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = MemoryStore()
        try await store.commit([try machine(now: Self.clock()).put(.absent)])
        let control = try await ControlPlane.open(
            store: store, images: OneImage(), environment: ControlEnvironment(now: Self.clock, logger: Logger(label: "test")))
        var ways = BMCWays()
        ways.substitute = { _, _ in way }
        let desk = try await BMCDesk.open(control: control, vault: Vault(keyFile: folder + "/vault.key"), ways: ways)
        var request = BMCRequest(kind: .redfish, address: "10.0.0.4")
        request.userName = "root"
        request.password = "old-Secret1"
        _ = try await desk.add(request, by: "test")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await desk.runUpdates() }
            try await body(desk, control)
            group.cancelAll()
        }
    }

    @Test("what is typed becomes the kind that the setting has") func values() {
        #expect(SettingValue("on", like: .flag(false)) == .flag(true))
        #expect(SettingValue("maybe", like: .flag(false)) == nil)
        #expect(SettingValue("12", like: .number(1)) == .number(12))
        #expect(SettingValue("twelve", like: .number(1)) == nil)
        #expect(SettingValue("12", like: .text("x")) == .text("12"))
        #expect(SettingValue("12", like: nil) == .text("12"))
    }
}

/// A BMC that takes firmware, and keeps what it was given.
private final class FirmwareTaker: PowerSwitch, MachineSettings {
    let taken = Mutex<(file: [UInt8], name: String, targets: [String])?>(nil)
    let address = "pretend"

    func readPower() async throws -> PowerReading { PowerReading(state: .on) }
    func request(_ request: PowerRequest) async throws {}
    func facts() async throws -> BMCFacts {
        var facts = BMCFacts()
        facts.macs = [testMAC]
        return facts
    }
    func firmwareSettings() async throws -> FirmwareSettings { throw Problem("test", title: "not in this test") }
    func stage(_ settings: [String: SettingValue]) async throws {}
    func secureBoot() async throws -> Bool { false }
    func setSecureBoot(_ enabled: Bool) async throws {}
    func insertMedia(_ url: String) async throws {}
    func ejectMedia() async throws {}
    func updateFirmware(
        from url: String, targets: [String], deadline: Duration, progress: @Sendable (TaskProgress) -> Void
    ) async throws { throw Problem("test", title: "it fetches nothing") }
    func pushFirmware(
        _ file: [UInt8], name: String, targets: [String], deadline: Duration, progress: @Sendable (TaskProgress) -> Void
    ) async throws {
        taken.withLock { $0 = (file, name, targets) }
        var half = TaskProgress()
        half.percent = 50
        progress(half)
    }
}
