import BlockIO
import Foundation
import Model
import OCI
import Testing

@testable import Images

@Suite("What an image is made for")
struct ImageFactsTests {
    /// A disk file with the tables of fdisk, an EFI system partition of mkfs.vfat, and a loader.
    private func image(
        _ workshop: Workshop, _ name: String, table: String, sector: Int = 512, systemAt mebibyte: Int? = nil, loader: String? = "BOOTX64.EFI",
        bootCode: Bool = false
    ) throws -> String {
        let path = workshop.path + "/" + name
        var script = "set -e; truncate -s 96M '\(path)'; printf '\(table)' | fdisk -b \(sector) '\(path)' >/dev/null;"
        if let mebibyte {
            let esp = path + ".esp"
            script += "truncate -s 32M '\(esp)'; mkfs.vfat -S \(sector) '\(esp)' >/dev/null; mmd -i '\(esp)' ::/EFI ::/EFI/BOOT ::/EFI/debian;"
            script += "echo loader > '\(path).efi'; mcopy -i '\(esp)' '\(path).efi' ::/EFI/debian/shimx64.efi;"
            if let loader { script += "mcopy -i '\(esp)' '\(path).efi' ::/EFI/BOOT/\(loader);" }
            script += "dd if='\(esp)' of='\(path)' bs=1M seek=\(mebibyte) conv=notrunc status=none;"
        }
        if bootCode { script += "printf '\\353\\143\\220' | dd of='\(path)' bs=1 conv=notrunc status=none;" }
        let made = try tool("sh", "-c", script)
        #expect(made.status == 0, "\(String(decoding: made.output, as: UTF8.self))")
        return path
    }

    private func facts(_ workshop: Workshop, _ path: String) async throws -> ImageFacts {
        // One name is not given to two images.
        let name = "i-\(path.utf8.reduce(0) { ($0 &* 31 &+ UInt32($1)) & 0xffff_ffff })"
        return try workshop.store.facts(of: try await ImageImporter(store: workshop.store).add(path, name: name))
    }

    // fdisk's words: a new table, partitions, a type, write.
    private static func gpt(_ sector: Int) -> String { "g\\nn\\n1\\n\(2 * 1_048_576 / sector)\\n+32M\\nt\\n1\\nn\\n2\\n\\n+40M\\nw\\n" }

    @Test("of a GPT: its sectors, its end, its loader", arguments: [512, 4096])
    func gpt(_ sector: Int) async throws {
        let workshop = try Workshop()
        let facts = try await facts(workshop, image(workshop, "gpt", table: Self.gpt(sector), sector: sector, systemAt: 2))
        #expect(facts.scheme == .gpt && facts.sectorBytes == sector && facts.hasFreeEntry)
        #expect(facts.firmware == [.uefi] && facts.loaders == ["BOOTX64.EFI"])
        #expect((74 << 20...75 << 20).contains(facts.endBytes))
        #expect(facts.tailBytes == (sector == 512 ? 33 * 512 : 5 * 4096))
    }

    @Test("by the bytes, not by the types of its partitions: an EFI system partition without a loader starts nothing")
    func emptySystemPartition() async throws {
        let workshop = try Workshop()
        let path = try image(workshop, "empty", table: Self.gpt(512), systemAt: 2, loader: nil, bootCode: true)
        #expect(try await facts(workshop, path).firmware == [.bios])
        let raw = try image(workshop, "raw", table: Self.gpt(512))
        #expect(try await facts(workshop, raw).firmware == [], "an EFI system partition of zeros, and no boot code")
        let arm = try image(workshop, "arm", table: Self.gpt(512), systemAt: 2, loader: "BOOTAA64.EFI")
        #expect(try await facts(workshop, arm).loaders == ["BOOTAA64.EFI"])
    }

    @Test("of an MBR: whether an entry is left, and what it counts in")
    func mbr() async throws {
        let workshop = try Workshop()
        let four = "o\\n" + (1...4).map { "n\\np\\n\($0)\\n\\n+8M\\n" }.joined() + "w\\n"
        let full = try await facts(workshop, image(workshop, "four", table: four, bootCode: true))
        #expect(full.scheme == .mbr && !full.hasFreeEntry && full.firmware == [.bios] && full.sectorBytes == 512)
        let one = "o\\nn\\np\\n1\\n\(2 * 1_048_576 / 512)\\n+32M\\nt\\nef\\nw\\n"
        let efi = try await facts(workshop, image(workshop, "one", table: one, systemAt: 2))
        #expect(efi.hasFreeEntry && efi.firmware == [.uefi] && efi.tailBytes == 0 && efi.endBytes == 34 << 20)
        let large = "o\\nn\\np\\n1\\n512\\n+32M\\nt\\nef\\nw\\n"
        let native = try await facts(workshop, image(workshop, "native", table: large, sector: 4096, systemAt: 2))
        #expect(native.scheme == .mbr && native.sectorBytes == 4096 && native.firmware == [.uefi])
    }

    @Test("stands in its summary, and is read from images that a former version stored")
    func stored() async throws {
        let workshop = try Workshop()
        let path = try image(workshop, "gpt", table: Self.gpt(512), systemAt: 2)
        let digest = try await ImageImporter(store: workshop.store).add(path, name: "i")
        // Another process that opens the store knows nothing of this one's import, and the manifest says nothing of it.
        let reopened = try ImageStore(path: workshop.store.path)
        #expect(try reopened.facts(of: digest) == workshop.store.facts(of: digest))
        #expect(try reopened.manifest(for: digest).annotations?.keys.contains { $0.contains("facts") } == false)
    }

    @Test("is not known where the image is damaged, and that is said")
    func damaged() async throws {
        let workshop = try Workshop()
        let digest = try await ImageImporter(store: workshop.store).add(try image(workshop, "gpt", table: Self.gpt(512), systemAt: 2), name: "i")
        let reopened = try ImageStore(path: workshop.store.path)
        let blob = reopened.blobPath(try reopened.manifest(for: digest).disk.digest)
        let handle = try #require(FileHandle(forUpdatingAtPath: blob))
        try handle.seek(toOffset: 12)
        try handle.write(contentsOf: Data([0xff, 0xff, 0xff, 0xff]))
        let problem = #expect(throws: Problem.self) { try reopened.facts(of: digest) }
        #expect(problem?.code == "image-chunk-damaged")
    }

    @Test("agrees with where the seed is really put, MiB by MiB around the limit", arguments: ["gpt", "mbr"])
    func agreesWithThePlan(_ scheme: String) async throws {
        let workshop = try Workshop()
        let table = scheme == "gpt" ? Self.gpt(512) : "o\\nn\\np\\n1\\n2048\\n+70M\\nw\\n"
        let path = try image(workshop, scheme, table: table, bootCode: true)
        let facts = try await facts(workshop, path)
        let head = Array(try Data(contentsOf: URL(fileURLWithPath: path)).prefix(1 << 20))
        var outcomes: Set<Bool> = []
        for seedBytes in [1 << 20, 3 << 20, (5 << 20) - 4096, 17 << 20] as [Int64] {
            for diskBytes in stride(from: Int64(70 << 20), to: 100 << 20, by: 300_032) {
                let image = ImageFit.Image(name: "i", bytes: 70 << 20, facts: facts, seedBytes: seedBytes)
                let fits = ImageFit.fits(
                    image, on: .init(name: "D", bytes: diskBytes, sectorBytes: 512), of: .init(firmware: .bios, loader: nil)
                ).isEmpty
                let plan = try? PartitionTable.planSeedPartition(
                    diskBytes: UInt64(diskBytes), head: head, seedBytes: UInt64(seedBytes),
                    unique: try #require(GUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")))
                #expect(fits == (plan != nil), "\(diskBytes) bytes, a seed of \(seedBytes)")
                outcomes.insert(fits)
            }
        }
        #expect(outcomes == [true, false])
    }
}
