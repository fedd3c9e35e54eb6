import Foundation
import Testing
import VirtualBMC
import Wire

@testable import VirtualRack

@Suite("what a lab's BMC does to its machine")
struct BMCPartsTests {
    private func devices(_ plan: BootPlan, boot: VirtualMachineSpec.BootOrder = .networkFirst) throws -> [String: Int] {
        let lab = try LabName("lab")
        var spec = VirtualMachineSpec(name: "n", lab: lab, firmware: .uefi, boot: boot, nicCount: 2)
        spec.disks.append(VirtualDisk(sizeBytes: 1 << 30, serial: "S5", kind: .sata))
        let paths = try LabPaths(lab, stateDirectory: "/s").machine("n")
        let arguments = QEMUCommand(
            lab: lab, spec: spec, number: 0, paths: paths, accelerator: .tcg, plan: plan
        ).arguments
        var order: [String: Int] = [:]
        for argument in arguments {
            let fields = argument.split(separator: ",")
            guard let id = fields.first(where: { $0.hasPrefix("id=") }),
                let index = fields.first(where: { $0.hasPrefix("bootindex=") })
            else { continue }
            order[String(id.dropFirst(3))] = Int(index.dropFirst(10))
        }
        return order
    }

    private func override(_ target: BootOverride.Target, uri: String? = nil) -> BootOverride {
        BootOverride(target: target, mode: .uefi, isOnce: true, httpURI: uri)
    }

    @Test("an override comes first, and the machine's own order after it")
    func order() throws {
        let own = try devices(BootPlan())
        #expect(own == ["nic0": 0, "nic1": 1, "dev0": 2, "dev1": 3])
        #expect(try devices(BootPlan(override: override(.hdd))) == ["dev0": 0, "dev1": 1, "nic0": 2, "nic1": 3])
        #expect(
            try devices(BootPlan(override: override(.cd), cd: "/x.iso"))
                == ["bmc-cd": 0, "nic0": 1, "nic1": 2, "dev0": 3, "dev1": 4])
        // A disc alone does not change what is first.
        #expect(try devices(BootPlan(cd: "/x.iso"))["bmc-cd"] == 4)
        #expect(try devices(BootPlan(override: override(.cd))) == own)
        #expect(try devices(BootPlan(), boot: .diskOnly) == ["dev0": 0, "dev1": 1])
        #expect(try devices(BootPlan(override: override(.pxe)), boot: .diskOnly) == own)
    }

    @Test("the virtual drive takes a port that no disk has")
    func port() throws {
        let lab = try LabName("lab")
        let sata = (0..<6).map { VirtualDisk(sizeBytes: 1 << 30, serial: "S\($0)", kind: .sata) }
        #expect(QEMUCommand.drivePort(VirtualMachineSpec(name: "n", lab: lab)) == 5)
        #expect(QEMUCommand.drivePort(VirtualMachineSpec(name: "n", lab: lab, disks: sata)) == nil)
    }

    @Test("BMCs have a network beside the rack's")
    func addresses() throws {
        func address(_ text: String) throws -> String {
            RackNetwork.bmcAddress(server: try #require(IPv4Prefix(text)), number: 3).description
        }
        #expect(try address("10.77.0.1/24") == "10.77.1.13")
        #expect(try address("10.99.3.1/24") == "10.99.2.13")
        #expect(try address("10.77.0.1/16") == "192.168.77.13")
        #expect(try address("10.99.0.1/16") == "10.77.1.13")
    }

    @Test("a BMC's faults are written as they are read")
    func faults() throws {
        for text in ["bmc-hang", "bmc-slow=250", "bmc-redirect:192.0.2.9", "bmc-forget-boot", "broken:fan"] {
            let fault = try Fault(text)
            #expect(fault.description == text)
            #expect(try JSONDecoder().decode(Fault.self, from: JSONEncoder().encode(fault)) == fault)
        }
        #expect(throws: LabError.self) { try Fault("bmc-sulk") }
        #expect(throws: LabError.self) { try Fault("broken:wheel") }
    }
}

@Suite("the variables of UEFI firmware")
struct UEFIVariableStoreTests {
    /// An empty store as OVMF has it, of 64 KiB.
    private static func empty() -> [UInt8] {
        var image = [UInt8](repeating: 0xff, count: 0x11000)
        image.replaceSubrange(0..<72, with: [UInt8](repeating: 0, count: 72))
        image.replaceSubrange(40..<44, with: Array("_FVH".utf8))
        image[48] = 72
        let format: [UInt8] = [
            0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92,
        ]
        image.replaceSubrange(72..<88, with: format)
        image.replaceSubrange(88..<100, with: [0, 0, 1, 0, 0x5a, 0xfe, 0, 0, 0, 0, 0, 0])
        return image
    }

    @Test("the next boot is a URI, then it is taken back")
    func nextBoot() throws {
        var store = try UEFIVariableStore(image: Self.empty())
        #expect(store.variables.isEmpty)
        try store.setNextBoot(httpURI: "http://h/a")
        try store.setNextBoot(httpURI: "http://h/b.efi")
        #expect(store.variables.map(\.name) == ["Boot7077", "BootNext"])
        #expect(store.variables[1].data == [0x77, 0x70])
        // EFI_LOAD_OPTION, then a URI node of 4 + 14 bytes and the end.
        let option = store.variables[0].data
        #expect(Array(option.prefix(6)) == [1, 0, 0, 0, 22, 0])
        #expect(Array(option.suffix(22)) == [3, 24, 18, 0] + Array("http://h/b.efi".utf8) + [0x7f, 0xff, 4, 0])
        store.clearNextBoot()
        #expect(store.variables.map(\.name) == ["Boot7077"])
    }

    @Test("a full store says so and is left as it was")
    func full() throws {
        var store = try UEFIVariableStore(image: Self.empty())
        let variable = UEFIVariableStore.Variable(
            name: "x", vendor: UEFIVariableStore.global, attributes: 7, data: [UInt8](repeating: 1, count: 30_000))
        try store.set(variable)
        var other = variable
        other.name = "y"
        try store.set(other)
        other.name = "z"
        #expect(throws: UEFIVariableStore.Failure.full) { try store.set(other) }
        #expect(store.variables.map(\.name) == ["x", "y"])
    }

    @Test("what is no variable store is refused, and no cut of one traps")
    func bad() throws {
        #expect(throws: UEFIVariableStore.Failure.notAVolume) { try UEFIVariableStore(image: []) }
        var image = Self.empty()
        image[72] = 0
        #expect(throws: UEFIVariableStore.Failure.unknownFormat) { try UEFIVariableStore(image: image) }
        var store = try UEFIVariableStore(image: Self.empty())
        try store.setNextBoot(httpURI: "http://h/a")
        let good = store.image
        for seed in 0..<2000 {
            var bad = good
            for step in 0..<4 { bad[48 + (seed &* 7919 &+ step &* 104_729) % 200] = UInt8(truncatingIfNeeded: seed &* 31 &+ step) }
            _ = try? UEFIVariableStore(image: bad).variables
        }
        for length in stride(from: 0, to: 400, by: 1) { _ = try? UEFIVariableStore(image: Array(good.prefix(length))).variables }
    }

    @Test("OVMF's own empty store is read", .enabled(if: FileManager.default.fileExists(atPath: QEMUCommand.firmwareVariables)))
    func ovmf() throws {
        let data = try Data(contentsOf: URL(filePath: QEMUCommand.firmwareVariables))
        var store = try UEFIVariableStore(image: Array(data))
        try store.setNextBoot(httpURI: "http://10.77.0.1/boot.efi")
        #expect(store.variables.contains { $0.name == "BootNext" })
        #expect(store.image.count == data.count)
    }
}
