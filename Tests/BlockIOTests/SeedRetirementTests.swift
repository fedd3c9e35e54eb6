import BlockIO
import Foundation
import Testing

@Suite("A former installation's first-boot data")
struct SeedRetirementTests {
    static let size = 96 << 20

    /// A disk with a system, and the seed and marker of an installation at its end.
    private func installed(_ scheme: String, in directory: TemporaryDirectory, label: String = "CIDATA") throws -> (
        disk: FileDisk, seed: Range<UInt64>
    ) {
        let path = directory.path + "/disk-\(scheme)"
        let script = scheme == "gpt" ? "label: gpt\\nstart=2048, size=65536, type=uefi\\n" : "label: dos\\nstart=2048, size=65536, type=83\\n"
        let made = try tool("sh", "-c", "truncate -s \(Self.size) '\(path)'; printf '\(script)' | sfdisk -q '\(path)'")
        #expect(made.status == 0, "\(made.output.text)")
        let disk = try FileDisk(path)
        let volume = try FATVolume(label: label, files: [.init(name: "user-data", contents: Array("#cloud-config\n".utf8))])
        let plan = try PartitionTable.planSeedPartition(
            diskBytes: UInt64(Self.size), head: try disk.read(1 << 20, 0), seedBytes: UInt64(volume.bytes.count), unique: PartitionTableTests.unique)
        try disk.write(DiskWrite(offset: plan.partitionOffset, bytes: volume.bytes))
        try disk.write(DiskWrite(offset: plan.markerOffset, bytes: try InstallMarker(payload: Array("{}".utf8)).encoded()))
        for write in plan.writes { try disk.write(write) }
        return (disk, plan.partitionOffset..<plan.partitionOffset + plan.partitionBytes)
    }

    final class FileDisk {
        let path: String
        private let handle: FileHandle
        init(_ path: String) throws {
            self.path = path
            handle = try #require(FileHandle(forUpdatingAtPath: path))
        }
        func read(_ count: Int, _ offset: UInt64) throws -> [UInt8] {
            try handle.seek(toOffset: offset)
            let bytes = Array(try handle.read(upToCount: count) ?? Data())
            guard bytes.count == count else { throw CocoaError(.fileReadUnknown) }
            return bytes
        }
        func write(_ write: DiskWrite) throws {
            #expect(write.offset.isMultiple(of: 512) && write.bytes.count.isMultiple(of: 512))
            try handle.seek(toOffset: write.offset)
            try handle.write(contentsOf: Data(write.bytes))
        }
        func marker(_ seed: Range<UInt64>) throws -> InstallMarker {
            try InstallMarker(parsing: read(InstallMarker.byteCount, seed.upperBound - UInt64(InstallMarker.byteCount)))
        }
    }

    private func labels(_ disk: FileDisk, _ seed: Range<UInt64>) throws -> String {
        try tool("blkid", "-p", "-O", "\(seed.lowerBound)", "-o", "export", disk.path).output.text
    }

    @Test(
        "is found by no label and no marker any more; its files and its partitions stay",
        arguments: [("gpt", "CIDATA"), ("mbr", "CIDATA"), ("gpt", "CONFIG-2")])
    func seed(_ scheme: String, _ label: String) throws {
        let directory = try TemporaryDirectory()
        let (disk, seed) = try installed(scheme, in: directory, label: label)
        #expect(try labels(disk, seed).contains("LABEL=\(label)\n"))
        let before = try tool("sfdisk", "--dump", disk.path).output
        let writes = try SeedRetirement.seed(seed, read: disk.read)
        // Cut off after each write but the last, the marker is still there: another try does it all again.
        for write in writes.dropLast() {
            try disk.write(write)
            _ = try disk.marker(seed)
            #expect(try SeedRetirement.seed(seed, read: disk.read).last == writes.last)
        }
        try disk.write(try #require(writes.last))
        #expect(throws: InstallMarkerError.noMarker) { try disk.marker(seed) }
        let after = try labels(disk, seed)
        #expect(after.contains("LABEL=HOSTLER-OLD\n") && after.contains("LABEL_FATBOOT=HOSTLER-OLD\n"), "\(after)")
        #expect(try tool("mtype", "-i", "\(disk.path)@@\(seed.lowerBound)", "::user-data").output.text == "#cloud-config\n")
        #expect(try tool("sfdisk", "--dump", disk.path).output == before)
    }

    @Test("a system from the same image is seen by nobody; two signatures bring it back, with every byte of it", arguments: ["gpt", "mbr"])
    func system(_ scheme: String) throws {
        let directory = try TemporaryDirectory()
        let (disk, seed) = try installed(scheme, in: directory)
        let before = try tool("sfdisk", "--dump", disk.path).output
        let content = try disk.read(32 << 20, 1 << 20)
        let table = try PartitionTable(parsing: disk.read(1 << 20, 0), blockBytes: 512)
        let writes = try SeedRetirement.system(seed, table: table, read: disk.read)
        for write in writes.dropLast() {
            try disk.write(write)
            _ = try disk.marker(seed)
            #expect((try? PartitionTable(parsing: disk.read(1 << 20, 0), blockBytes: 512)) != nil, "found again until the last write")
        }
        try disk.write(try #require(writes.last))
        #expect(throws: PartitionTableError.self) { try PartitionTable(parsing: disk.read(1 << 20, 0), blockBytes: 512) }
        #expect(try !tool("partx", "--show", disk.path).output.text.contains("65536"))
        let restore =
            scheme == "gpt"
            ? "for at in 512 \(Self.size - 512); do printf 'EFI PART' | dd of='\(disk.path)' bs=1 seek=$at conv=notrunc status=none; done"
            : "printf '\\125\\252' | dd of='\(disk.path)' bs=1 seek=510 conv=notrunc status=none"
        #expect(try tool("sh", "-c", restore).status == 0)
        #expect(try tool("sfdisk", "--dump", disk.path).output == before)
        if scheme == "gpt" { #expect(try tool("sgdisk", "-v", disk.path).output.text.contains("No problems found")) }
        #expect(try disk.read(32 << 20, 1 << 20) == content)
    }

    @Test("a label that somebody has given the volume again counts in either case, and behind other entries of the folder", arguments: [0, 300])
    func lowerCase(_ entry: Int) throws {
        let directory = try TemporaryDirectory()
        let (disk, seed) = try installed("gpt", in: directory)
        var boot = try disk.read(4096, seed.lowerBound)
        let label = Array("cidata     ".utf8)
        boot.replaceSubrange(43..<54, with: label)
        try disk.write(DiskWrite(offset: seed.lowerBound, bytes: boot))
        let sectors = UInt64(boot[14]) | UInt64(boot[15]) << 8
        let root = seed.lowerBound + (sectors + UInt64(boot[16]) * (UInt64(boot[22]) | UInt64(boot[23]) << 8)) * 512
        var folder = try disk.read(512 * 32, root)
        #expect(folder.starts(with: Array("CIDATA     ".utf8)) && folder[11] == 0x08)
        folder[11] = 0x20
        folder.replaceSubrange(entry * 32..<entry * 32 + 11, with: label)
        folder[entry * 32 + 11] = 0x28
        try disk.write(DiskWrite(offset: root, bytes: folder))
        let writes = try SeedRetirement.seed(seed, read: disk.read)
        #expect(SeedRetirement.words(writes, seed: seed) == "volume renamed to HOSTLER-OLD, marker put out of force; its files are untouched")
        for write in writes { try disk.write(write) }
        #expect(try disk.read(11, seed.lowerBound + 43) == Array("HOSTLER-OLD".utf8))
        #expect(try disk.read(11, root + UInt64(entry * 32)) == Array("HOSTLER-OLD".utf8))
        // What is said is what was written.
        #expect(
            SeedRetirement.words(try SeedRetirement.seed(seed, read: disk.read), seed: seed)
                == "volume keeps its label, marker put out of force; its files are untouched")
        let table = try PartitionTable(parsing: disk.read(1 << 20, 0), blockBytes: 512)
        #expect(
            SeedRetirement.words(try SeedRetirement.system(seed, table: table, read: disk.read), seed: seed)
                == "volume keeps its label, partition table put out of force; its data are untouched")
    }

    @Test("a FAT whose label cannot be changed is not said to be out of force; without its table nobody finds it")
    func otherFAT() throws {
        let directory = try TemporaryDirectory()
        let (disk, seed) = try installed("gpt", in: directory)
        var boot = try disk.read(4096, seed.lowerBound)
        boot.replaceSubrange(22..<24, with: [0, 0])
        boot.replaceSubrange(82..<90, with: Array("FAT32   ".utf8))
        try disk.write(DiskWrite(offset: seed.lowerBound, bytes: boot))
        #expect(throws: SeedRetirementError.volumeUnknown) { try SeedRetirement.seed(seed, read: disk.read) }
        let table = try PartitionTable(parsing: disk.read(1 << 20, 0), blockBytes: 512)
        #expect(try SeedRetirement.system(seed, table: table, read: disk.read).count == 2)
    }

    @Test("a volume that is not ours keeps its label, and one that is no FAT is left alone")
    func foreign() throws {
        let directory = try TemporaryDirectory()
        let (disk, seed) = try installed("gpt", in: directory, label: "DATA")
        #expect(try SeedRetirement.seed(seed, read: disk.read).map(\.offset) == [seed.upperBound - 4096])
        try disk.write(DiskWrite(offset: seed.lowerBound, bytes: Array(repeating: 0x5a, count: 8192)))
        #expect(try SeedRetirement.seed(seed, read: disk.read).count == 1)
        for byte in 0..<64 {
            var boot = [UInt8](repeating: 0xff, count: 4096)
            (boot[510], boot[511]) = (0x55, 0xaa)
            boot[11] = byte % 2 == 0 ? 0 : 0xff
            boot[12] = 2
            boot[byte] = UInt8(byte)
            try disk.write(DiskWrite(offset: seed.lowerBound, bytes: boot))
            _ = try SeedRetirement.seed(seed, read: disk.read)
        }
    }
}
