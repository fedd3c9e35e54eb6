import Foundation
import Model
import Testing

@testable import Images

/// Image files that were made to do harm: each is refused with its code, within its time, and nothing is left of it.
@Suite("A hostile image")
struct HostileImageTests {
    /// A qcow2 file whose every cluster is one and the same: `l1Entries` times the same table of 512 times the same 4 KiB
    /// of data. 8 bytes stand for 2 MiB.
    static func bomb(l1Entries: UInt32, version: UInt32 = 3) -> [UInt8] {
        func big<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
        let cluster = 4096
        let l1Clusters = (Int(l1Entries) * 8 + cluster - 1) / cluster
        let l2 = (3 + l1Clusters) * cluster
        let data = l2 + cluster
        var header = big(UInt32(0x5146_49fb)) + big(version) + big(UInt64(0)) + big(UInt32(0)) + big(UInt32(12))
        header += big(UInt64(l1Entries) << 21) + big(UInt32(0)) + big(l1Entries) + big(UInt64(3 * cluster))
        header += big(UInt64(cluster)) + big(UInt32(1)) + big(UInt32(0)) + big(UInt64(0))
        // Features, refcounts of 16 bits, the header's length.
        header += [UInt8](repeating: 0, count: 24) + big(UInt32(4)) + big(UInt32(104))
        var bytes = [UInt8](repeating: 0, count: data + cluster)
        bytes.replaceSubrange(0..<header.count, with: header)
        bytes.replaceSubrange(cluster..<cluster + 8, with: big(UInt64(2 * cluster)))
        for number in 0..<(data / cluster + 1) {
            bytes.replaceSubrange(2 * cluster + number * 2..<2 * cluster + number * 2 + 2, with: big(UInt16(1)))
        }
        for entry in 0..<Int(l1Entries) {
            bytes.replaceSubrange(3 * cluster + entry * 8..<3 * cluster + entry * 8 + 8, with: big(UInt64(l2)))
        }
        for entry in 0..<512 { bytes.replaceSubrange(l2 + entry * 8..<l2 + entry * 8 + 8, with: big(UInt64(data))) }
        for index in data..<data + cluster { bytes[index] = UInt8(truncatingIfNeeded: index &* 37 >> 3) | 1 }
        return bytes
    }

    private func problem(_ file: String, in workshop: Workshop, seconds: Int = 60, limitBytes: UInt64 = 1 << 40) async -> Problem? {
        await #expect(throws: Problem.self, "\(file)") {
            try await ImageImporter(store: workshop.store).add(
                file, name: "test", options: .init(limitBytes: limitBytes, requiresPartitionTable: false, limitSeconds: seconds))
        }
    }

    @Test("that stands on other files of this host is refused before any program opens it")
    func otherFiles() async throws {
        let workshop = try Workshop()
        var backed = Self.bomb(l1Entries: 1)
        let name = Array("/etc/shadow".utf8)
        backed.replaceSubrange(512..<512 + name.count, with: name)
        backed.replaceSubrange(8..<20, with: [0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, UInt8(name.count)])
        let backing = await problem(try workshop.write(backed, "backed"), in: workshop)
        #expect(backing?.code == "image-refused")
        #expect(backing?.detail == "it has a backing file")
        var split = Self.bomb(l1Entries: 1)
        split[79] = 1 << 2
        let data = await problem(try workshop.write(split, "split"), in: workshop)
        #expect(data?.code == "image-refused")
        #expect(data?.detail == "it has an external data file")
        #expect(workshop.blobNames.isEmpty)
    }

    @Test("gets nothing of this host where its header hides what it stands on: the sandbox has no other file")
    func hiddenFiles() async throws {
        // What the importer itself reads says nothing; qemu-img is asked directly.
        let workshop = try Workshop()
        let overlay = workshop.path + "/overlay"
        #expect(try tool("qemu-img", "create", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", overlay).status == 0)
        let out = try workshop.write([], "out")
        let result = try await SandboxedProgram(name: "qemu-img", package: "qemu-utils").run(
            ["convert", "-f", "qcow2", "-O", "raw", "--", overlay, out], readable: [overlay], writable: [out],
            limits: .init(fileBytes: 1 << 30, processorSeconds: 10, bounds: ImportBounds(limit: .seconds(30), folder: workshop.path, reserveBytes: 0))
        )
        #expect(!result.ending.isSuccess)
        #expect(result.errors.contains("Permission denied"), "\(result.errors)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: out)).isEmpty)
    }

    @Test(
        "with a name that means something to qemu-img is a file with a name",
        arguments: [
            "json:{\"driver\":\"nbd\",\"host\":\"127.0.0.1\"}", "-O", "--help", "nbd:127.0.0.1:10809", "fat:etc", "driver=raw,file.filename=x",
        ])
    func names(_ name: String) async throws {
        let workshop = try Workshop()
        var generator = SeededGenerator(seed: 5)
        let disk = randomDisk(&generator, sectors: 256)
        let raw = try workshop.write(disk, "disk")
        #expect(try tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, workshop.path + "/made").status == 0)
        try FileManager.default.moveItem(atPath: workshop.path + "/made", toPath: workshop.path + "/" + name)
        #expect(try workshop.contents(try await workshop.add(workshop.path + "/" + name)) == disk)
    }

    @Test("of a few hundred KB that stands for terabytes is refused by its size, or ends with its time, and leaves nothing")
    func bombs() async throws {
        let workshop = try Workshop()
        let clock = ContinuousClock()
        let started = clock.now
        // 4 PiB: a billion clusters a thousand times over.
        var boundless = Self.bomb(l1Entries: 1)
        boundless.replaceSubrange(24..<32, with: [0, 0x10, 0, 0, 0, 0, 0, 0])
        let vast = await problem(try workshop.write(boundless, "vast"), in: workshop)
        #expect(vast?.code == "image-too-large")
        // 512 GiB, which is allowed, in 2 MiB: the time ends it.
        let long = await problem(try workshop.write(Self.bomb(l1Entries: 1 << 18), "long"), in: workshop, seconds: 1)
        #expect(long?.code == "image-import-too-long")
        #expect(clock.now - started < .seconds(30))
        #expect(workshop.blobNames.isEmpty)
        // The bomb is a sound image all the same: a small one is taken.
        let digest = try await workshop.add(try workshop.write(Self.bomb(l1Entries: 2), "small"))
        #expect(try workshop.store.manifest(for: digest).properties.diskBytes == 4 << 20)
    }

    @Test("of zstd that stands for terabytes ends with its time or its size")
    func zstdBombs() async throws {
        let workshop = try Workshop()
        // 512 GiB of zeros: a frame of 64 MiB, thousands of times.
        let frame = ZeroFrame.encoded(byteCount: 64 << 20)
        let bomb = try workshop.write(Array(repeatElement(frame, count: 8192).joined()), "bomb.raw.zst")
        let large = await problem(bomb, in: workshop, limitBytes: 1 << 28)
        #expect(large?.code == "image-too-large")
        let long = await problem(bomb, in: workshop, seconds: 1)
        #expect(long?.code == "image-import-too-long")
        // A frame that asks for a window of 2 GiB.
        let window = try workshop.write([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00], "window.raw.zst")
        #expect(await problem(window, in: workshop)?.code == "image-unreadable")
        #expect(workshop.blobNames.isEmpty)
    }

    @Test("never fills the file system that the record is on")
    func room() async throws {
        let workshop = try Workshop()
        let file = try workshop.write(Self.bomb(l1Entries: 1), "image")
        let problem = await #expect(throws: Problem.self) {
            try await ImageImporter(store: workshop.store).add(
                file, name: "test", options: .init(requiresPartitionTable: false, reserveBytes: 1 << 60))
        }
        #expect(problem?.code == "disk-full")
        #expect(workshop.blobNames.isEmpty)
    }

    @Test("whose header is cut off or random is refused by name, at every length")
    func headers() throws {
        let whole = Array(Self.bomb(l1Entries: 1).prefix(512))
        _ = try QcowHeader(parsing: whole)
        for count in 0..<104 {
            let problem = #expect(throws: Problem.self, "\(count)") { try QcowHeader(parsing: Array(whole.prefix(count))) }
            #expect(problem?.code == "image-unreadable")
        }
        var generator = SeededGenerator(seed: 17)
        for _ in 0..<2_000 {
            var bytes = whole
            for _ in 0..<8 { bytes[Int.random(in: 4..<104, using: &generator)] = UInt8.random(in: 0...255, using: &generator) }
            _ = try? QcowHeader(parsing: bytes)
        }
    }
}
