import Model
import Testing

@testable import hostler_init

@Suite("Before the first write, the agent")
struct FitCheckTests {
    private static func work(_ facts: ImageFacts?) -> InstallWork {
        var work = InstallWork(
            record: InstallRecord(
                machine: MachineID(unchecked: "m-test01"), operation: OperationID(unchecked: "op-test0001"), generation: 3, image: "i", digest: "d",
                hostname: "h"),
            done: [], indexPath: "/i", indexDigest: "", blobPath: "/b", diskBytes: 1 << 30, disk: "D1", seedPath: "/s", seedDigest: "",
            seedBytes: 1 << 20, restart: .reboot, rootUUID: nil, kernelArguments: nil)
        work.facts = facts
        return work
    }

    private func code(_ facts: ImageFacts?, bytes: UInt64 = 8 << 30, sector: Int = 512, firmware: FirmwareMode = .bios) -> String? {
        do throws(Problem) {
            try FitCheck.check(Self.work(facts), name: "vda", bytes: bytes, sectorBytes: sector, firmware: firmware)
            return nil
        } catch { return error.code }
    }

    @Test("asks again with what it measures itself, whatever the record said when the work was asked for")
    func measured() {
        let facts = ImageFacts(scheme: .mbr, endBytes: 1 << 30, firmware: [.bios])
        #expect(code(facts) == nil)
        #expect(code(facts, sector: 4096) == "image-sector-size")
        #expect(code(facts, bytes: 1 << 30) == "seed-no-room")
        #expect(code(facts, firmware: .uefi) == "image-firmware")
        #expect(code(nil, sector: 4096) == nil, "a control plane that names no facts: as before")
    }

    @Test("knows a seed for each sector size that it was given one for")
    func seeds() {
        var work = Self.work(nil)
        #expect(work.seed(sectorBytes: 512)?.path == "/s")
        #expect(work.seed(sectorBytes: 4096) == nil)
        work.seed4096 = SeedFile(path: "/s?sector=4096", digest: "x", bytes: 2 << 20)
        #expect(work.seed(sectorBytes: 4096)?.bytes == 2 << 20)
    }
}
