import Model
import Testing

@Suite("Whether an image fits")
struct ImageFitTests {
    static let gigabyte: Int64 = 1_000_000_000
    static let mebibyte: Int64 = 1 << 20

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var facts: ImageFacts
        var imageBytes: Int64 = 2 << 30
        var diskBytes: Int64 = 8 << 30
        var sector = 512
        var firmware: FirmwareMode? = .bios
        var loader: String?
        var seedBytes: Int64 = 1 << 20
        var codes: [String]
        var testDescription: String { name }
    }

    static let both: [FirmwareMode] = [.bios, .uefi]
    static func gpt(_ sector: Int = 512, end: Int64 = (2 << 30) - (1 << 20), firmware: [FirmwareMode] = both) -> ImageFacts {
        ImageFacts(
            scheme: .gpt, sectorBytes: sector, endBytes: end, tailBytes: sector == 512 ? 33 * 512 : 5 * 4096, firmware: firmware,
            loaders: firmware.contains(.uefi) ? ["BOOTX64.EFI"] : [])
    }
    static func mbr(free: Bool = true, firmware: [FirmwareMode] = [.bios]) -> ImageFacts {
        ImageFacts(scheme: .mbr, endBytes: 2 << 30, hasFreeEntry: free, firmware: firmware)
    }

    static let cases: [Case] = [
        Case(name: "a GPT for 512 on a disk of 512", facts: gpt(), codes: []),
        Case(name: "a GPT for 4096 on a disk of 4096, by UEFI", facts: gpt(4096, firmware: [.uefi]), sector: 4096, firmware: .uefi, codes: []),
        Case(name: "a GPT for 512 on a disk of 4096", facts: gpt(), sector: 4096, firmware: .uefi, codes: ["image-sector-size"]),
        Case(name: "a GPT for 4096 on a disk of 512", facts: gpt(4096), firmware: .uefi, codes: ["image-sector-size"]),
        Case(name: "an MBR on a disk of 4096, by BIOS", facts: mbr(), sector: 4096, codes: ["image-sector-size", "disk-sector-bios"]),
        Case(name: "an MBR on a disk of 4096, by UEFI", facts: mbr(firmware: both), sector: 4096, firmware: .uefi, codes: ["image-sector-size"]),
        Case(name: "a GPT for 4096, by BIOS", facts: gpt(4096), sector: 4096, codes: ["disk-sector-bios"]),
        Case(name: "a disk of 520-byte sectors", facts: gpt(), sector: 520, firmware: .uefi, codes: ["disk-sector-size"]),
        Case(name: "an image as large as the disk", facts: gpt(), diskBytes: 2 << 30, codes: ["seed-no-room"]),
        Case(name: "an MBR as large as the disk", facts: mbr(), diskBytes: 2 << 30, codes: ["seed-no-room"]),
        Case(name: "an image as large as the disk, with room in itself", facts: gpt(end: 1 << 30), diskBytes: 2 << 30, codes: []),
        Case(name: "a disk that is one MiB too small", facts: mbr(), diskBytes: (2 << 30) + mebibyte, codes: ["seed-no-room"]),
        Case(name: "a disk that is just large enough", facts: mbr(), diskBytes: (2 << 30) + 2 * mebibyte, codes: []),
        Case(
            name: "16 MiB of user-data on a disk with room for one", facts: mbr(), diskBytes: (2 << 30) + 8 * mebibyte, seedBytes: 16 << 20,
            codes: ["seed-no-room"]),
        Case(name: "an image larger than the disk", facts: gpt(), diskBytes: 1 << 30, codes: ["image-too-large"]),
        Case(name: "an MBR with four primaries", facts: mbr(free: false), codes: ["seed-no-entry"]),
        Case(name: "no table at all", facts: ImageFacts(scheme: .none), codes: ["image-unpartitioned"]),
        Case(name: "a UEFI image by BIOS", facts: gpt(firmware: [.uefi]), codes: ["image-firmware"]),
        Case(name: "a BIOS image by UEFI", facts: mbr(), firmware: .uefi, codes: ["image-firmware"]),
        Case(name: "an image that nothing starts", facts: gpt(firmware: []), codes: ["image-firmware"]),
        Case(name: "a firmware that is not known", facts: gpt(firmware: [.uefi]), firmware: nil, codes: []),
        Case(name: "another processor's loader", facts: gpt(), firmware: .uefi, loader: "BOOTAA64.EFI", codes: ["image-architecture"]),
        Case(name: "the processor's own loader", facts: gpt(), firmware: .uefi, loader: "BOOTX64.EFI", codes: []),
        Case(
            name: "everything at once", facts: mbr(free: false), sector: 4096, firmware: .uefi,
            codes: ["image-sector-size", "seed-no-entry", "image-firmware"]),
        Case(
            name: "an MBR that ends where an MBR can count to",
            facts: ImageFacts(scheme: .mbr, endBytes: 2 << 40, firmware: [.bios]), imageBytes: 2 << 40, diskBytes: 4 << 40, codes: ["seed-no-room"]),
        Case(
            name: "facts at the end of their range", facts: gpt(end: 1 << 60), imageBytes: 1 << 60, diskBytes: 1 << 60, seedBytes: 1 << 60,
            codes: ["seed-no-room"]),
    ]

    @Test("has every reason against it, each with what happened and what to do", arguments: cases)
    func reasons(_ test: Case) throws {
        let image = ImageFit.Image(name: "i", bytes: test.imageBytes, facts: test.facts, seedBytes: test.seedBytes)
        let reasons = ImageFit.fits(
            image, on: .init(name: "D1", bytes: test.diskBytes, sectorBytes: test.sector), of: .init(firmware: test.firmware, loader: test.loader))
        #expect(reasons.map(\.code) == test.codes)
        for reason in reasons { #expect(reason.remedy?.isEmpty == false && reason.status == 422) }
        let refusal = ImageFit.refusal(reasons, others: ["D2"])
        #expect(refusal?.code == test.codes.first)
        for reason in reasons.dropFirst() { #expect(refusal?.detail?.contains(reason.title) == true) }
        if !reasons.isEmpty { #expect(refusal?.remedy?.contains("It fits on: D2") == true) }
    }

    @Test("the remedy of a full table is not a larger disk, and that of a full disk says how large")
    func remedies() throws {
        func reasons(_ facts: ImageFacts) -> [Problem] {
            ImageFit.fits(
                .init(name: "i", bytes: 2 << 30, facts: facts, seedBytes: 1 << 20), on: .init(name: "D1", bytes: 2 << 30, sectorBytes: 512),
                of: .init(firmware: .bios, loader: nil))
        }
        #expect(reasons(Self.mbr(free: false))[0].remedy?.contains("A larger disk does not help") == true)
        #expect(reasons(Self.mbr())[0].remedy?.contains("\((2 << 30) + 2 * Self.mebibyte) bytes or more") == true)
    }
}
