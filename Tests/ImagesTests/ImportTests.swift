import Foundation
import Model
import OCI
import Testing

@testable import Images

@Suite("An import")
struct ImportTests {
    @Test("keeps every byte of random sparse disks, and zstd itself agrees")
    func roundTrip() async throws {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed: seed)
        for sectors in [1, 128, 129, 5_000, 20_001] {
            let workshop = try Workshop()
            let disk = randomDisk(&generator, sectors: sectors)
            let digest = try await workshop.add(try workshop.write(disk, "disk"))
            #expect(try workshop.contents(digest) == disk, "seed \(seed)")
            let manifest = try workshop.store.manifest(for: digest)
            #expect(manifest.properties.diskBytes == UInt64(disk.count))
            let blob = workshop.store.blobPath(manifest.disk.digest)
            #expect(try tool("zstd", "-dcq", "--no-sparse", blob).output == Data(disk), "seed \(seed)")
        }
    }

    @Test("stores holes as zero runs without reading them, 512 MiB in a few KB")
    func holes() async throws {
        let workshop = try Workshop()
        let path = try workshop.write([], "disk")
        let handle = try #require(FileHandle(forUpdatingAtPath: path))
        try handle.truncate(atOffset: 512 << 20)
        try handle.seek(toOffset: (192 << 20) + 70_000)
        try handle.write(contentsOf: Data([1, 2, 3]))
        let digest = try await workshop.add(path)
        let reader = try ChunkReader(store: workshop.store, image: digest)
        #expect(reader.index.stored.map(\.number) == [3073])
        #expect(reader.index.zeroRuns.count == 2)
        #expect(reader.index.blobBytes < 20_000)
        #expect(try Array(reader.chunk(3073)[4464..<4467]) == [1, 2, 3])
        let blob = workshop.store.blobPath(try workshop.store.manifest(for: digest).disk.digest)
        let all = try tool("sh", "-c", "zstd -dcq '\(blob)' | cmp - '\(path)'")
        #expect(all.status == 0)
    }

    @Test("takes zstd of any frame layout by content, whatever the file is called")
    func zstd() async throws {
        var generator = SeededGenerator(seed: 21)
        let disk = randomDisk(&generator, sectors: 17_001)
        let workshop = try Workshop()
        let raw = try workshop.write(disk, "disk")
        for option in ["-19", "-T2 -B1MiB -1", "-3 --no-check"] {
            let file = workshop.path + "/named.qcow2"
            #expect(try tool("sh", "-c", "zstd -qf \(option) '\(raw)' -o '\(file)'").status == 0)
            #expect(try workshop.contents(try await workshop.add(file)) == disk)
        }
        let whole = Array(try Data(contentsOf: URL(fileURLWithPath: workshop.path + "/named.qcow2")))
        let cut = try workshop.write(whole.dropLast(10), "cut")
        let problem = await #expect(throws: Problem.self) { try await workshop.add(cut) }
        #expect(problem?.code == "image-truncated")
        let limited = await #expect(throws: Problem.self) {
            try await workshop.add(workshop.path + "/named.qcow2", limitBytes: 1 << 20)
        }
        #expect(limited?.code == "image-too-large")
        #expect(try workshop.store.verify().findings.isEmpty)
        #expect(!workshop.blobNames.contains { $0.hasPrefix(".tmp") })
    }

    @Test("takes qcow2, and refuses one that refers to other files")
    func qcow2() async throws {
        var generator = SeededGenerator(seed: 22)
        let disk = randomDisk(&generator, sectors: 8_192)
        let workshop = try Workshop()
        let raw = try workshop.write(disk, "disk")
        let file = workshop.path + "/disk.raw"
        #expect(try tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, file).status == 0)
        #expect(try workshop.contents(try await workshop.add(file)) == disk)
        let overlay = workshop.path + "/overlay"
        #expect(try tool("qemu-img", "create", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", overlay).status == 0)
        let backed = await #expect(throws: Problem.self) { try await workshop.add(overlay) }
        #expect(backed?.code == "image-refused")
        #expect(backed?.detail == "it has a backing file")
        let split = workshop.path + "/split"
        let option = "data_file=\(workshop.path)/data,data_file_raw=on"
        #expect(try tool("qemu-img", "create", "-f", "qcow2", "-o", option, split, "1M").status == 0)
        let external = await #expect(throws: Problem.self) { try await workshop.add(split) }
        #expect(external?.code == "image-refused")
        #expect(workshop.blobNames.filter { $0.hasPrefix(".tmp") }.isEmpty)
    }

    @Test(
        "refuses what is no disk, each with a code",
        arguments: [
            ([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], "image-refused"), ([0x1f, 0x8b], "image-refused"),
            (Array("<!DOCTYPE html>".utf8), "image-refused"), (Array(repeating: 7, count: 700), "image-truncated"),
            ([], "image-truncated"),
        ] as [([UInt8], String)])
    func refusals(_ bytes: [UInt8], _ code: String) async throws {
        let workshop = try Workshop()
        let file = try workshop.write(bytes, "disk.raw")
        let problem = await #expect(throws: Problem.self) { try await workshop.add(file) }
        #expect(problem?.code == code)
        #expect(workshop.blobNames.isEmpty)
    }

    @Test("checks the expected digest, the name, and that there is a partition table")
    func checks() async throws {
        let workshop = try Workshop()
        let disk = [UInt8](repeating: 1, count: 4096)
        let file = try workshop.write(disk, "disk")
        try await workshop.add(file, expected: BlobHasher.digest(disk))
        let other = await #expect(throws: Problem.self) {
            try await workshop.add(file, expected: BlobHasher.digest([1]))
        }
        #expect(other?.code == "digest-mismatch")
        for name in ["../x", "Debian", "a/b", "r.example/a", ""] {
            let problem = await #expect(throws: Problem.self) { try await workshop.add(file, name: name) }
            #expect(problem?.code == "invalid-image-name")
        }
        let bare = await #expect(throws: Problem.self) {
            try await ImageImporter(store: workshop.store).add(file, name: "bare")
        }
        #expect(bare?.code == "image-unpartitioned")
        let script = "label: gpt\\nsize=2048, type=uefi\\nsize=2048, type=21686148-6449-6E6F-744E-656564454649\\n"
        let made = try tool("sh", "-c", "truncate -s 8M '\(file)'; printf '\(script)' | sfdisk -q '\(file)'")
        #expect(made.status == 0)
        let digest = try await ImageImporter(store: workshop.store).add(file, name: "gpt")
        let properties = try workshop.store.manifest(for: digest).properties
        #expect(properties.partitionTable == "gpt")
        #expect(properties.firmware == [.bios, .uefi])
        #expect(properties.name == "gpt:latest")
    }

    @Test("by hand and by libzstd, a frame of zeros is the same to zstd", arguments: [1, 65_536, 131_072, 131_073, 10_000_000])
    func zeroFrames(_ count: UInt64) throws {
        let workshop = try Workshop()
        let file = try workshop.write(ZeroFrame.encoded(byteCount: count), "zeros.zst")
        #expect(try tool("zstd", "-dcq", "--no-sparse", file).output == Data(count: Int(count)))
    }
}
