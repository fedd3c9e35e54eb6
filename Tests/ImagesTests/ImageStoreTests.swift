import Foundation
import Model
import OCI
import Testing

@testable import Images

@Suite("The image store")
struct ImageStoreTests {
    @Test("finds images by name, tag and digest, and lists them")
    func names() async throws {
        let workshop = try Workshop()
        let one = try await workshop.add(try workshop.write(Array(repeating: 1, count: 4096), "1"), name: "debian-12")
        let two = try await workshop.add(
            try workshop.write(Array(repeating: 2, count: 4096), "2"), name: "debian-12:2026-01")
        let store = workshop.store
        #expect(try store.resolve("debian-12") == one)
        #expect(try store.resolve("debian-12:latest") == one)
        #expect(try store.resolve("debian-12:2026-01") == two)
        #expect(try store.resolve("debian-12@\(two)") == two)
        #expect(try store.list().map(\.name) == ["debian-12:2026-01", "debian-12:latest"])
        let problem = #expect(throws: Problem.self) { try store.resolve("debian-13") }
        #expect(problem?.code == "image-not-found")
        #expect(try ImageStore(path: store.path).resolve("debian-12") == one)
    }

    @Test("keeps every blob that something refers to, and no other")
    func garbage() async throws {
        let workshop = try Workshop()
        let file = try workshop.write(Array(repeating: 1, count: 1 << 20), "1")
        let first = try await workshop.add(file, name: "a")
        try await workshop.add(file, name: "b")
        // A machine may be reading what the name stands for: another image does not take its place.
        let other = try workshop.write(Array(repeating: 2, count: 4096), "2")
        for name in ["b", "b:latest"] {
            let refused = await #expect(throws: Problem.self) { try await workshop.add(other, name: name) }
            #expect(refused?.code == "image-exists")
        }
        let known = try workshop.store.resolve("b")
        #expect(try await workshop.add(file, name: "b") == known, "the same image once more keeps its digest")
        #expect(try workshop.contents(first).count == 1 << 20)
        try workshop.store.remove("b")
        #expect(try workshop.contents(first).count == 1 << 20)
        #expect(workshop.blobNames.count == 4)
        try workshop.store.remove("a")
        #expect(workshop.blobNames.isEmpty)
        #expect(throws: Problem.self) { try workshop.store.remove("a") }
    }

    @Test("sweeps what a crash left, and not what another import is writing")
    func leftovers() async throws {
        let workshop = try Workshop()
        let digest = try await workshop.add(try workshop.write(Array(repeating: 1, count: 4096), "1"))
        let blobs = workshop.store.path + "/blobs/sha256/"
        // Died while writing a blob; after renaming one; while replacing index.json.
        try Data([1]).write(to: URL(fileURLWithPath: blobs + ".tmp-1-2-3"))
        try Data([2]).write(to: URL(fileURLWithPath: blobs + BlobHasher.digest([2]).hex))
        try Data("{".utf8).write(to: URL(fileURLWithPath: workshop.store.path + "/.tmp-replace"))
        try Data([3]).write(to: URL(fileURLWithPath: blobs + "README"))
        let draft = try workshop.store.makeDraft()
        let store = try ImageStore(path: workshop.store.path)
        try store.collectGarbage()
        #expect(workshop.blobNames.count == 6)
        #expect(FileManager.default.fileExists(atPath: draft.file.path))
        #expect(workshop.blobNames.contains("README"))
        #expect(try workshop.contents(digest).count == 4096)
        try await workshop.add(try workshop.write(Array(repeating: 5, count: 4096), "5"), name: "more")
        #expect(try store.list().count == 2)
    }

    @Test("two imports at once both end in the index")
    func together() async throws {
        let workshop = try Workshop()
        let files = try (0..<4).map { try workshop.write(Array(repeating: UInt8($0 + 1), count: 1 << 20), "\($0)") }
        let store = workshop.store
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, file) in files.enumerated() {
                group.addTask {
                    _ = try await ImageImporter(store: store).add(
                        file, name: "image-\(number)", options: .init(requiresPartitionTable: false))
                }
            }
            try await group.waitForAll()
        }
        #expect(try store.list().count == 4)
        #expect(try store.verify().findings.isEmpty)
    }

    @Test("names the damaged chunk and where it is")
    func damage() async throws {
        let workshop = try Workshop()
        var generator = SeededGenerator(seed: 33)
        var disk = [UInt8](repeating: 0, count: 40 * 65_536)
        for index in stride(from: 10 * 65_536, to: disk.count, by: 8) {
            withUnsafeBytes(of: generator.next()) { disk.replaceSubrange(index..<index + 8, with: $0) }
        }
        let digest = try await workshop.add(try workshop.write(disk, "disk"), name: "test")
        let clean = try workshop.store.verify()
        #expect(clean.findings.isEmpty)
        #expect(clean.imageCount == 1)
        let reader = try ChunkReader(store: workshop.store, image: digest)
        guard case .stored(let chunk)? = reader.index.location(ofChunk: 23) else {
            Issue.record("chunk 23 is not stored")
            return
        }
        let blob = workshop.store.blobPath(try workshop.store.manifest(for: digest).disk.digest)
        let handle = try #require(FileHandle(forUpdatingAtPath: blob))
        try handle.seek(toOffset: chunk.blobOffset + 500)
        try handle.write(contentsOf: Data([0xde, 0xad, 0xbe, 0xef]))
        let damaged = try workshop.store.verify()
        #expect(damaged.findings.map(\.chunk) == [23])
        #expect(damaged.findings.map(\.diskOffset) == [23 * 65_536])
        let problem = #expect(throws: Problem.self) { try reader.chunk(23) }
        #expect(problem?.code == "image-chunk-damaged")
        #expect(problem?.title.contains("Chunk 23 of the image (disk byte 1507328)") == true)
        #expect(try reader.chunk(22) == Array(disk[22 * 65_536..<23 * 65_536]))
        // A damaged zero frame harms no chunk, but the blob is no longer what its name says.
        try handle.seek(toOffset: chunk.blobOffset + 500)
        try await workshop.add(workshop.path + "/disk", name: "test")
        #expect(try workshop.store.verify().findings.isEmpty)
        try handle.synchronize()
        let again = try #require(FileHandle(forUpdatingAtPath: blob))
        try again.seek(toOffset: 20)
        try again.write(contentsOf: Data([9]))
        #expect(try workshop.store.verify().findings.map(\.chunk) == [nil])
    }
}
