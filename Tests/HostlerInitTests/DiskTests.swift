import HostFacts
import Testing

@testable import hostler_init

@Suite("Choosing and wiping disks")
struct DiskTests {
    private let small = DiskFacts(name: "sda", serial: "S1", wwn: "0x5000c500a1b2c3d4", model: nil, sizeBytes: 10 << 30)
    private let large = DiskFacts(name: "sdb", serial: "S2", wwn: nil, model: nil, sizeBytes: 20 << 30)

    @Test("a name is taken for a serial first and for a WWN then")
    func serialOrWWN() throws {
        #expect(try DiskChoosing.choose("S2", from: [small, large], minimumBytes: 1).name == "sdb")
        #expect(try DiskChoosing.choose("naa.5000C500A1B2C3D4", from: [small, large], minimumBytes: 1).name == "sda")
        #expect(try DiskChoosing.choose(nil, from: [small, large], minimumBytes: 1).name == "sda")
    }

    @Test("each reason not to choose has its code")
    func codes() {
        func code(_ wanted: String?, _ disks: [DiskFacts], _ bytes: UInt64) -> String? {
            do throws(DiskChoiceError) {
                _ = try DiskChoosing.choose(wanted, from: disks, minimumBytes: bytes)
                return nil
            } catch { return DiskChoosing.problem(error).code }
        }
        #expect(code(nil, [], 1) == "no-disk")
        #expect(code("S9", [small, large], 1) == "disk-not-found")
        #expect(code("S1", [small, large], 15 << 30) == "disk-too-small")
        #expect(code(nil, [small, large], 30 << 30) == "disk-too-small")
        let twin = DiskFacts(name: "sdc", serial: "S3", wwn: nil, model: nil, sizeBytes: 10 << 30)
        #expect(code(nil, [small, twin], 1) == "disk-ambiguous")
    }

    @Test("a frozen or locked ATA disk is told from one that can erase itself")
    func ataSecurity() {
        func security(_ status: UInt8, minutes: (UInt8, UInt8)) -> ATASecureErase.Security {
            var identify = [UInt8](repeating: 0, count: 512)
            identify[256] = status
            (identify[178], identify[179]) = minutes
            return ATASecureErase.Security(identify: identify)
        }
        let ready = security(0x21, minutes: (30, 0))
        #expect(ready.isSupported && !ready.isEnabled && !ready.isLocked && !ready.isFrozen)
        #expect(ready.eraseMinutes == 60)
        #expect(security(0x09, minutes: (0, 0)).isFrozen)
        #expect(security(0x07, minutes: (0, 0)).isLocked)
        #expect(security(0x01, minutes: (0x2c, 0x81)).eraseMinutes == 600)
        #expect(!security(0, minutes: (0, 0)).isSupported)
    }

    @Test("samples of a wiped disk lie on it, cover both ends, and come again from the same seed")
    func samples() {
        for bytes: UInt64 in [512, 4096, 65_536, 10 << 20, 100 << 30] {
            let ranges = WipeProof(seed: 42).ranges(diskBytes: bytes)
            #expect(ranges.allSatisfy { $0.upperBound <= bytes && $0.lowerBound < $0.upperBound })
            #expect(ranges[0].lowerBound == 0)
            #expect(ranges[1].upperBound == bytes)
            #expect(ranges == WipeProof(seed: 42).ranges(diskBytes: bytes))
        }
        #expect(WipeProof(seed: 1).ranges(diskBytes: 100 << 30).count == 1026)
        #expect(WipeProof(seed: 1).ranges(diskBytes: 100 << 30) != WipeProof(seed: 2).ranges(diskBytes: 100 << 30))
    }

    @Test("only network ports and a hypervisor's devices are urgent")
    func urgentDrivers() {
        #expect(Drivers.isUrgent("virtio:d00000001v00001AF4"))
        #expect(Drivers.isUrgent("pci:v00008086d00001533sv000015D9sd00001533bc02sc00i00"))
        #expect(!Drivers.isUrgent("pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02"))
        #expect(!Drivers.isUrgent("pci:v00008086d0000A12Fsv000015D9sd00000884bc0Csc03i30"))
        // QEMU's IDE: only its subsystem is virtio's vendor.
        #expect(!Drivers.isUrgent("pci:v00008086d00007010sv00001AF4sd00001100bc01sc01i80"))
        #expect(!Drivers.isUrgent("acpi:PNP0C0C:"))
    }
}
