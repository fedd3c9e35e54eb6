import FoundationEssentials
import HostFacts
import Model
import Testing
import Wire

@testable import hostler_init

@Suite("Choosing and wiping disks")
struct DiskTests {
    private func disk(
        _ name: String, serial: String? = nil, wwn: String? = nil, bytes: UInt64 = 10 << 30, isReadOnly: Bool = false,
        place: DiskPlace = .inside, path: String? = nil
    ) -> DiskFacts {
        DiskFacts(name: name, serial: serial, wwn: wwn, model: "M", sizeBytes: bytes, isReadOnly: isReadOnly, place: place, path: path)
    }

    private func target(_ disk: DiskFacts, among disks: [DiskFacts], isNamed: Bool = false) throws -> DiskTarget {
        let found = FoundDisks(disks)
        let index = try #require(disks.firstIndex(of: disk))
        return DiskTarget(found.names.disks[index], name: try #require(found.names.name(of: index)), isNamed: isNamed)
    }

    private func installCode(_ target: DiskTarget?, _ disks: [DiskFacts], _ bytes: Int64 = 1) -> String? {
        do throws(DiskChoosing.Refusal) {
            _ = try DiskChoosing.choose(target, from: FoundDisks(disks), minimumBytes: bytes)
            return nil
        } catch { return error.problem.code }
    }

    private func wipeCode(_ work: WipeWork, _ disks: [DiskFacts]) -> String? {
        do throws(DiskChoosing.Refusal) {
            _ = try Wiper.choose(work, from: FoundDisks(disks))
            return nil
        } catch { return error.problem.code }
    }

    @Test("a disk that was chosen is found again, and nothing else is")
    func chosen() throws {
        let disks = [
            disk("sda", serial: "SAME", wwn: "600605b00d1e2f3a2c0a1b2c3d4e5f60"),
            disk("sdb", serial: "SAME", wwn: "600605b00d1e2f3a2c0a1b2c3d4e5f61"),
        ]
        for wanted in disks {
            let target = try target(wanted, among: disks)
            #expect(try DiskChoosing.choose(target, from: FoundDisks(disks), minimumBytes: 1).disk == wanted)
            // It is gone, and its twin is not taken for it.
            #expect(installCode(target, disks.filter { $0 != wanted }) == "disk-not-found")
        }
        // What a control plane of before targets sends: a name.
        #expect(installCode(DiskTarget(name: "SAME"), disks) == "disk-ambiguous")
    }

    @Test("each reason not to choose has its code")
    func codes() {
        let small = disk("sda", serial: "S1", wwn: "0x5000c500a1b2c3d4")
        let large = disk("sdb", serial: "S2", bytes: 20 << 30)
        #expect(installCode(nil, []) == "no-disk")
        #expect(installCode(DiskTarget(name: "S9"), [small, large]) == "disk-not-found")
        #expect(installCode(DiskTarget(name: "S1"), [small, large], 15 << 30) == "disk-too-small")
        #expect(installCode(nil, [small, large], 30 << 30) == "disk-too-small")
        #expect(installCode(nil, [small, disk("sdc", serial: "S3")]) == "disk-ambiguous")
        #expect(installCode(nil, [disk("sda")]) == "disk-unidentified")
        #expect(installCode(DiskTarget(name: "S4"), [disk("sda", serial: "S4", isReadOnly: true)]) == "disk-read-only")
        #expect(installCode(nil, [disk("sda", serial: "S4", isReadOnly: true)]) == "no-disk")
        for place in DiskPlace.allCases where place != .inside {
            let lun = disk("sda", serial: "S5", place: place)
            #expect(installCode(nil, [lun]) == "no-disk", "\(place)")
            #expect(installCode(DiskTarget(name: "S5", isNamed: false), [lun]) == "disk-not-own")
            #expect(installCode(DiskTarget(name: "S5"), [lun]) == nil, "a person named it")
        }
    }

    @Test("only a disk that may still come is waited for")
    func patience() {
        func mayPass(_ target: DiskTarget, _ disks: [DiskFacts]) -> Bool? {
            do throws(DiskChoosing.Refusal) {
                _ = try DiskChoosing.choose(target, from: FoundDisks(disks), minimumBytes: 1)
                return nil
            } catch { return error.mayPass }
        }
        #expect(mayPass(DiskTarget(name: "S1"), []) == true)
        #expect(mayPass(DiskTarget(name: "S1"), [disk("sda", serial: "S1"), disk("sdb", serial: "S1")]) == false)
        #expect(mayPass(DiskTarget(name: "S1", isNamed: false), [disk("sda", serial: "S1", place: .iscsi)]) == false)
    }

    @Test("a wipe takes the disks that it was given, all or none")
    func wipe() throws {
        let disks = [
            disk("sda", serial: "SAME", wwn: "600605b00d1e2f3a2c0a1b2c3d4e5f60"),
            disk("sdb", serial: "SAME", wwn: "600605b00d1e2f3a2c0a1b2c3d4e5f61"),
            disk("sdc", serial: "S3", path: "pci-1"), disk("sdd", serial: "S4", place: .fibreChannel),
        ]
        func names(_ work: WipeWork, _ now: [DiskFacts]) -> [String]? { (try? Wiper.choose(work, from: FoundDisks(now)))?.map(\.disk.name) }
        func work(_ targets: [DiskTarget]) -> WipeWork { WipeWork(disks: targets.map(\.name), done: [], targets: targets) }
        let one = work([try target(disks[1], among: disks)])
        #expect(names(one, disks) == ["sdb"])
        let two = work([try target(disks[1], among: disks), try target(disks[2], among: disks)])
        #expect(names(two, disks) == ["sdb", "sdc"])
        #expect(names(two, disks + [disk("sde", serial: "NEW")]) == ["sdb", "sdc"], "what came later is not in it")
        #expect(wipeCode(two, [disks[0], disks[1]]) == "disk-not-found")
        #expect(wipeCode(two, [disks[1], disk("sdc", serial: "S3", bytes: 11 << 30, path: "pci-1")]) == "disk-changed")
        #expect(wipeCode(two, [disks[1], disk("sdc", serial: "S3", place: .enclosure, path: "pci-1")]) == "disk-not-own")
        #expect(wipeCode(two, [disks[1], disk("sdc", serial: "S3", isReadOnly: true, path: "pci-1")]) == "disk-read-only")
        // A name that two disks answer to, as a control plane of before targets may send it.
        #expect(wipeCode(WipeWork(disks: ["SAME"], done: []), disks) == "disk-ambiguous")
        #expect(wipeCode(WipeWork(disks: ["S3", "SAME"], done: []), disks) == "disk-ambiguous")
        #expect(names(WipeWork(disks: ["S4"], done: []), disks) == ["sdd"])
    }

    @Test("a wipe that names no disks wipes none")
    func wipeOfNothing() {
        for work in [WipeWork(disks: [], done: []), WipeWork(disks: [], done: [], targets: []), WipeWork(disks: ["S1"], done: [], targets: [])] {
            #expect(wipeCode(work, [disk("sda", serial: "S1")]) == "wipe-no-disks")
        }
    }

    @Test("what the agent says of the disk that it chose is enough to know it again")
    func evidence() throws {
        let disks = [disk("sda", serial: "SAME", path: "pci-0000:00:17.0-ata-1"), disk("sdb", serial: "SAME", path: "pci-0000:00:17.0-ata-2")]
        let found = try DiskChoosing.choose(DiskTarget(name: "SAME@pci-0000:00:17.0-ata-2"), from: FoundDisks(disks), minimumBytes: 1)
        #expect(
            DiskChoosing.evidence(found) == [
                "disk": "SAME@pci-0000:00:17.0-ata-2", "name": "sdb", "serial": "SAME", "model": "M", "bytes": "10737418240", "place": "inside",
                "path": "pci-0000:00:17.0-ata-2",
            ])
    }

    @Test("the control plane knows each disk by the name that the agent has for it")
    func oneNaming() throws {
        // Words that the inventory's decoding cuts or cleans.
        let odd = [
            String(repeating: "long ", count: 100), "S\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}1", "ü 1",
            "日本" + String(repeating: "語", count: 100),
        ]
        let found = FoundDisks(odd.enumerated().map { disk("sd\($0.offset)", serial: $0.element, path: "pci-\($0.offset)") })
        var inventory = Inventory()
        inventory.disks = found.names.disks
        let told = try JSONDecoder().decode(Inventory.self, from: JSONEncoder().encode(inventory))
        #expect(told.disks.map(\.id) == found.names.disks.indices.map { found.names.name(of: $0) })
        #expect(told.disks.allSatisfy { $0.id != nil })
    }

    @Test("a list of namespaces ends at the first zero")
    func namespaces() {
        var list = [UInt8](repeating: 0, count: 4096)
        #expect(NVMeFormat.allocated(list) == 0)
        (list[0], list[5], list[8]) = (1, 1, 7)
        #expect(NVMeFormat.allocated(list) == 3)
        #expect(NVMeFormat.allocated([UInt8](repeating: 1, count: 4096)) == 1024 && NVMeFormat.allocated([]) == 0)
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
