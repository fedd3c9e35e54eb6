import BlockIO
import Foundation
import Testing

@Suite("A partition for the seed")
struct PartitionTableTests {
    static let unique = GUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")!

    /// Makes an image with a table by sfdisk, on a file grown to the size of the disk.
    func disk(_ script: String, imageBytes: Int, diskBytes: Int, in directory: TemporaryDirectory) throws -> String {
        let path = directory.path + "/disk.img"
        try Data().write(to: URL(fileURLWithPath: path))
        let handle = try #require(FileHandle(forUpdatingAtPath: path))
        try handle.truncate(atOffset: UInt64(imageBytes))
        try Data(script.utf8).write(to: URL(fileURLWithPath: directory.path + "/script"))
        let made = try tool("sh", "-c", "sfdisk \(path) < \(directory.path)/script")
        #expect(made.status == 0, "\(made.output.text)")
        try handle.truncate(atOffset: UInt64(diskBytes))
        return path
    }

    func head(of path: String, _ count: Int) throws -> Data {
        let handle = try #require(FileHandle(forReadingAtPath: path))
        return try #require(try handle.read(upToCount: count))
    }

    func plan(_ path: String, diskBytes: Int, seedBytes: UInt64 = 1_500_000) throws -> PartitionTable.SeedPlan {
        return try PartitionTable.planSeedPartition(
            diskBytes: UInt64(diskBytes), head: Array(try head(of: path, PartitionTable.headBytes)), seedBytes: seedBytes,
            unique: Self.unique)
    }

    func perform(_ writes: [DiskWrite], on path: String) throws {
        let handle = try #require(FileHandle(forUpdatingAtPath: path))
        for write in writes {
            #expect(write.offset.isMultiple(of: 512) && write.bytes.count.isMultiple(of: 512))
            try handle.seek(toOffset: write.offset)
            try handle.write(contentsOf: Data(write.bytes))
        }
    }

    static let gptScript = """
        label: gpt
        start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name="bios"
        start=4096, size=20480, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="efi"
        start=24576, size=40000, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="röot"
        """

    @Test("goes to the end of a larger disk, and sgdisk and sfdisk find the GPT sound", arguments: [0, 1, 7 << 20, 300 << 20])
    func gpt(extra: Int) throws {
        let directory = try TemporaryDirectory()
        let image = 64 << 20
        let size = image + extra / 512 * 512
        let path = try disk(Self.gptScript, imageBytes: image, diskBytes: size, in: directory)
        let before = try head(of: path, 446)
        let first = try plan(path, diskBytes: size)
        try perform(first.writes, on: path)
        let check = try tool("sgdisk", "-v", path).output.text
        #expect(check.contains("No problems found"), "\(check)")
        let dump = try tool("sfdisk", "--dump", path).output.text
        #expect(dump.contains("\(first.partitionOffset / 512)"), "\(dump)")
        #expect(dump.contains("name=\"cidata\""), "\(dump)")
        #expect(first.partitionOffset.isMultiple(of: 1 << 20))
        #expect(first.partitionBytes == 2 << 20)
        #expect(first.markerOffset == first.partitionOffset + (2 << 20) - 4096)
        #expect(size - Int(first.partitionOffset + first.partitionBytes) < 2 << 20)
        #expect(try head(of: path, 446) == before)
        // Once more, as after a power cut.
        #expect(try plan(path, diskBytes: size) == first)
        // The backup is as good as the primary.
        let handle = try #require(FileHandle(forReadingAtPath: path))
        try handle.seek(toOffset: UInt64(size - 65_536))
        let tail = Array(try #require(try handle.readToEnd()))
        let backup = try GPT(
            parsingBackup: tail, tailOffset: UInt64(size - 65_536), diskBytes: UInt64(size), blockBytes: 512)
        #expect(backup.partitions.sorted { $0.key < $1.key }.map(\.value.name) == ["bios", "efi", "röot", "cidata"])
    }

    @Test("takes a free slot of an MBR")
    func mbr() throws {
        let directory = try TemporaryDirectory()
        let path = try disk(
            "label: dos\nstart=2048, size=40000, type=83, bootable\n", imageBytes: 32 << 20, diskBytes: 100 << 20,
            in: directory)
        let first = try plan(path, diskBytes: 100 << 20)
        try perform(first.writes, on: path)
        let dump = try tool("sfdisk", "--dump", path).output.text
        #expect(dump.contains("\(first.partitionOffset / 512), size=        4096, type=c"), "\(dump)")
        #expect(dump.contains("bootable"))
        #expect(try plan(path, diskBytes: 100 << 20) == first)
    }

    @Test("needs a free slot, room and a table")
    func refusals() throws {
        let directory = try TemporaryDirectory()
        let full = try disk(
            "label: dos\n" + (0..<4).map { "start=\(2048 * ($0 + 1)), size=2048, type=83\n" }.joined(),
            imageBytes: 32 << 20, diskBytes: 32 << 20, in: directory)
        #expect(throws: PartitionTableError.noFreeSlot) { try plan(full, diskBytes: 32 << 20) }
        let second = try TemporaryDirectory()
        let gpt = try disk(Self.gptScript, imageBytes: 64 << 20, diskBytes: 64 << 20, in: second)
        #expect(throws: PartitionTableError.noRoom(wantedBytes: 41 << 20, diskBytes: 64 << 20)) {
            try plan(gpt, diskBytes: 64 << 20, seedBytes: 40 << 20)
        }
        #expect(throws: PartitionTableError.noRoom(wantedBytes: 2 << 20, diskBytes: 20 << 20)) {
            try plan(gpt, diskBytes: 20 << 20)
        }
        let head = try head(of: gpt, 1 << 20)
        #expect(throws: PartitionTableError.otherBlockBytes(table: 512, disk: 4096)) {
            try PartitionTable(parsing: Array(head), blockBytes: 4096)
        }
        #expect(throws: PartitionTableError.none) {
            try PartitionTable(parsing: Array(repeating: 0, count: 1 << 20), blockBytes: 512)
        }
        let fat = try FATVolume(label: "CIDATA", files: [])
        #expect(throws: PartitionTableError.none) { try PartitionTable(parsing: fat.bytes, blockBytes: 512) }
    }

    @Test("is never planned on a damaged GPT: each flipped bit of header and entries is found")
    func flips() throws {
        let directory = try TemporaryDirectory()
        let path = try disk(Self.gptScript, imageBytes: 64 << 20, diskBytes: 64 << 20, in: directory)
        let head = Array(try head(of: path, 40 << 10))
        for position in Array(512..<604) + Array(1024..<1500) {
            var flipped = head
            flipped[position] ^= 0x10
            #expect(throws: PartitionTableError.self) { try PartitionTable(parsing: flipped, blockBytes: 512) }
        }
        for count in stride(from: 0, to: 17_400, by: 7) {
            #expect(throws: PartitionTableError.self) {
                try PartitionTable(parsing: Array(head.prefix(count)), blockBytes: 512)
            }
        }
    }

    @Test("GUIDs keep their mixed byte order")
    func guid() throws {
        let guid = try #require(GUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"))
        #expect(guid.diskBytes.prefix(4) == [0x28, 0x73, 0x2a, 0xc1])
        #expect(guid.description == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
        #expect(GUID(diskBytes: guid.diskBytes) == guid)
        #expect(CRC32.checksum("123456789".utf8) == 0xcbf4_3926)
    }
}

@Suite("The install marker")
struct InstallMarkerTests {
    @Test("survives encoding; cut off, flipped or absent it is refused")
    func marker() throws {
        let marker = try InstallMarker(payload: Array("{\"operation\":\"o-1\"}".utf8))
        let bytes = marker.encoded()
        #expect(bytes.count == 4096)
        #expect(try InstallMarker(parsing: bytes) == marker)
        for count in 0..<4096 {
            #expect(throws: InstallMarkerError.self) { try InstallMarker(parsing: Array(bytes.prefix(count))) }
        }
        for position in 0..<28 + marker.payload.count {
            var flipped = bytes
            flipped[position] ^= 1
            #expect(throws: InstallMarkerError.self) { try InstallMarker(parsing: flipped) }
        }
        #expect(throws: InstallMarkerError.noMarker) { try InstallMarker(parsing: Array(repeating: 0, count: 4096)) }
        #expect(throws: InstallMarkerError.tooLong(bytes: 4069)) {
            try InstallMarker(payload: Array(repeating: 0, count: 4069))
        }
    }
}
