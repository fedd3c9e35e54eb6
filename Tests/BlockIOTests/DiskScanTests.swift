import Foundation
import Testing
import Wire

@testable import BlockIO

/// A disk of which only some bytes are not zero.
private struct SparseDisk {
    var byteCount: UInt64
    var blockBytes = 512
    var pieces: [(offset: UInt64, bytes: [UInt8])] = []
    /// Places that cannot be read.
    var broken: [Range<UInt64>] = []

    mutating func put(_ bytes: [UInt8], at offset: UInt64) { pieces.append((offset, bytes)) }
    mutating func put(_ text: String, at offset: UInt64) { put(Array(text.utf8), at: offset) }
    mutating func put(_ bytes: [UInt8], beforeEnd distance: UInt64) { put(bytes, at: byteCount - distance) }

    struct Unreadable: Error {}

    func read(_ offset: UInt64, _ count: Int) throws -> [UInt8] {
        let end = offset + UInt64(count)
        if broken.contains(where: { $0.overlaps(offset..<end) }) || end > byteCount { throw Unreadable() }
        var bytes = [UInt8](repeating: 0, count: count)
        for piece in pieces {
            let shared = (piece.offset..<piece.offset + UInt64(piece.bytes.count)).clamped(to: offset..<end)
            guard !shared.isEmpty else { continue }
            let part = piece.bytes[Int(shared.lowerBound - piece.offset)..<Int(shared.upperBound - piece.offset)]
            bytes.replaceSubrange(Int(shared.lowerBound - offset)..<Int(shared.upperBound - offset), with: part)
        }
        return bytes
    }

    var scan: DiskScan { DiskScan(byteCount: byteCount, blockBytes: blockBytes, read: read) }
    var kinds: [ContentKind] { scan.items.map(\.kind) }

    /// The disks of ``capturedHeaders`` by name.
    static let captured: [String: SparseDisk] = {
        var disks: [String: SparseDisk] = [:]
        var name = ""
        for line in capturedHeaders.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            if let size = UInt64(words[1]), UInt64(words[0], radix: 16) == nil {
                name = words[0]
                disks[name] = SparseDisk(byteCount: size)
            } else if let offset = UInt64(words[0], radix: 16), let bytes = Hex.decode(words[1]) {
                disks[name]?.put(bytes, at: offset)
            }
        }
        return disks
    }()
}

@Suite("What a disk holds") struct DiskScanTests {
    @Test("nothing but zeros is an empty disk, whatever its size")
    func empty() {
        for bytes: UInt64 in [0, 1, 511, 512, 4096, 65_536, 1 << 20, (1 << 20) + 512, 10 << 20, 20 << 40] {
            let scan = SparseDisk(byteCount: bytes).scan
            #expect(scan.isEmpty && scan.partitions == 0, "\(bytes)")
        }
    }

    @Test(
        "what the tools of Debian make is known, with its label",
        arguments: [
            ("ext2", ContentKind.ext2, "rootfs"), ("ext3", .ext3, "rootfs"), ("ext4", .ext4, "rootfs"), ("xfs", .xfs, "data"),
            ("btrfs", .btrfs, "pool"), ("fat16", .fat16, nil), ("fat32", .fat32, nil), ("ntfs", .ntfs, nil), ("exfat", .exFAT, nil),
            ("f2fs", .f2fs, "phone"), ("swap", .swap, "swp"), ("luks1", .luks, nil), ("luks2", .luks, "vault"), ("jfs", .jfs, "jl"),
            ("nilfs2", .nilfs2, "nl"), ("reiserfs", .reiserFS, "rl"), ("bcache", .bcache, nil), ("lvm", .lvm, nil),
            ("iso", .iso9660, "CDROM1"), ("squashfs", .squashFS, nil), ("erofs", .erofs, nil), ("udf", .udf, nil),
        ] as [(String, ContentKind, String?)])
    func captured(name: String, kind: ContentKind, label: String?) throws {
        let disk = try #require(SparseDisk.captured[name])
        #expect(disk.kinds == [kind])
        if let label { #expect(disk.scan.items.first?.label == label) }
    }

    /// What no tool here makes, as its specification has it.
    private static let built: [(ContentKind, UInt64, @Sendable (inout SparseDisk) -> Void)] = [
        (.md090, 100 << 20, { $0.put([0xfc, 0x4e, 0x2b, 0xa9], at: (100 << 20) - 65_536) }),
        (.md090, (100 << 20) + 12_345, { $0.put([0xa9, 0x2b, 0x4e, 0xfc], at: (100 << 20) - 65_536) }),
        (.md10, 100 << 20, { $0.put([0xfc, 0x4e, 0x2b, 0xa9, 1], at: (100 << 20) - 8192) }),
        (.md11, 100 << 20, { $0.put([0xfc, 0x4e, 0x2b, 0xa9, 1], at: 0) }),
        (.md12, 100 << 20, { $0.put([0xfc, 0x4e, 0x2b, 0xa9, 1], at: 4096) }),
        (.zfs, 100 << 20, { $0.put([0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0], at: 128 << 10) }),
        (.zfs, 100 << 20, { $0.put([0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c], at: (384 << 10) + 4096) }),
        (.zfs, (100 << 20) + 4096, { $0.put([0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0], at: (100 << 20) - (384 << 10)) }),
        (.zfs, (100 << 20) + 4096, { $0.put([0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0], at: (100 << 20) - 1024) }),
        (.intelRAID, 100 << 20, { $0.put(Array("Intel Raid ISM Cfg Sig. 1.1.00".utf8), beforeEnd: 1024) }),
        (.ddfRAID, 100 << 20, { $0.put([0xde, 0x11, 0xde, 0x11], beforeEnd: 512) }),
        (.ddfRAID, 100 << 20, { $0.put([0xde, 0x11, 0xde, 0x11], beforeEnd: 4096) }),
        (.drbd, 100 << 20, { $0.put([0x83, 0x74, 0x02, 0x6b], beforeEnd: 4096 - 60) }),
        (.drbd, 100 << 20, { $0.put([0x83, 0x74, 0x02, 0x6d], beforeEnd: 4096 - 60) }),
        (.blueStore, 100 << 20, { $0.put("bluestore block device\n2d1f", at: 0) }),
        (.vmfsVolume, 100 << 20, { $0.put([0x0d, 0xd0, 0x01, 0xc0], at: 1 << 20) }),
        (.vmfs, 100 << 20, { $0.put([0x5e, 0xf1, 0xab, 0x2f], at: 2 << 20) }),
        (.bitLocker, 100 << 20, { $0.put("-FVE-FS-", at: 3) }),
        (.refs, 100 << 20, { $0.put("ReFS\0\0\0\0", at: 3) }),
        (
            .bcachefs, 100 << 20,
            {
                $0.put([0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef], at: 0x1018)
            }
        ),
        (.swap, 100 << 20, { $0.put("SWAPSPACE2", at: 65_536 - 10) }),
        (.hibernation, 100 << 20, { $0.put("S1SUSPEND", at: 4096 - 10) }),
        (.lvm, 100 << 20, { $0.put("LABELONE", at: 1536) }),
        (.luks, 100 << 20, { $0.put([0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe], at: 0x4000) }),
        (.apfs, 100 << 20, { $0.put("NXSB", at: 32) }),
        (.hfsPlus, 100 << 20, { $0.put("H+", at: 1024) }),
        (.stratis, 100 << 20, { $0.put(Array("!Stra0tis".utf8) + [0x86, 0xff, 0x02, 0x5e, 0x41, 0x72, 0x68], at: 516) }),
        (.vdo, 100 << 20, { $0.put("dmvdo001", at: 0) }),
        (.geom, 100 << 20, { $0.put(Array("GEOM::ELI".utf8), beforeEnd: 512) }),
        (.oracleASM, 100 << 20, { $0.put("ORCLDISK", at: 32) }),
        (.windowsLDM, 100 << 20, { $0.put("PRIVHEAD", at: 0xc00) }),
        (.gptBackup, 100 << 20, { $0.put(Array("EFI PART".utf8), beforeEnd: 512) }),
        (.gptBackup, 100 << 20, { $0.put(Array("EFI PART".utf8), beforeEnd: 4096) }),
        (.gptDamaged, 100 << 20, { $0.put("EFI PART", at: 512) }),
        (.gptDamaged, 100 << 20, { $0.put("EFI PART", at: 4096) }),
        (
            .gptDamaged, 100 << 20,
            {
                $0.put([0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], at: 446)
                $0.put([0x55, 0xaa], at: 510)
            }
        ),
        (
            .mbr, 100 << 20,
            {
                $0.put([0x80, 0, 2, 0, 0x83, 0xff, 0xff, 0xff, 0, 8, 0, 0, 0, 0, 1, 0], at: 446)
                $0.put([0x55, 0xaa], at: 510)
            }
        ),
        (
            .grub, 100 << 20,
            {
                $0.put([0xeb, 0x63, 0x90], at: 0)
                $0.put("GRUB \0Geom\0Hard Disk\0Read\0 Error", at: 0x180 - 16)
                $0.put([0x55, 0xaa], at: 510)
            }
        ),
        (
            .bootCode, 100 << 20,
            {
                $0.put([0xfa, 0x33, 0xc0], at: 0)
                $0.put([0x55, 0xaa], at: 510)
            }
        ),
    ]

    @Test("what others make is known by its specification", arguments: built.indices)
    func known(index: Int) {
        let (kind, size, make) = Self.built[index]
        var disk = SparseDisk(byteCount: size)
        make(&disk)
        #expect(disk.kinds == [kind], "\(kind)")
    }

    @Test("one byte that is not zero, at any place that is looked at, is somebody's data")
    func oneByte() {
        let size: UInt64 = 8 << 30
        let step = size / (DiskScan.sampleCount + 1)
        let places: [UInt64] = [
            0, 511, 4095, 700_000, (1 << 20) - 1, size - (1 << 20), size - 1, 64 * step / 4096 * 4096, 128 * step / 4096 * 4096 + 4095,
        ]
        for place in places {
            var disk = SparseDisk(byteCount: size)
            disk.put([1], at: place)
            #expect(disk.kinds == [.unknownData], "at \(place)")
        }
        // As a disk that was encrypted without a header.
        var random = SystemRandomNumberGenerator()
        var disk = SparseDisk(byteCount: size)
        disk.put((0..<4096).map { _ in UInt8.random(in: 1...255, using: &random) }, at: 32 << 20)
        disk.put([0xff], at: 65 * step / 4096 * 4096 + 7)
        #expect(!disk.scan.isEmpty)
    }

    @Test("partitions are counted and looked into, with 512-byte and with 4 KiB blocks", arguments: [512, 4096])
    func partitions(blockBytes: Int) throws {
        let ext4 = try #require(SparseDisk.captured["ext4"])
        let luks = try #require(SparseDisk.captured["luks2"])
        var disk = SparseDisk(byteCount: 1 << 30, blockBytes: blockBytes)
        // sgdisk does not make 4 KiB tables on a file: the table is laid out here, by what reads and writes them.
        for write in try table(of: disk.byteCount, blockBytes: blockBytes) { disk.put(write.bytes, at: write.offset) }
        for piece in ext4.pieces { disk.put(piece.bytes, at: piece.offset + (16 << 20)) }
        for piece in luks.pieces { disk.put(piece.bytes, at: piece.offset + (512 << 20)) }
        let scan = disk.scan
        #expect(scan.partitions == 2)
        #expect(
            scan.items == [
                .init(kind: .gpt), .init(kind: .ext4, label: "rootfs", partition: 1), .init(kind: .luks, label: "vault", partition: 2),
            ])
        // Under another block size than the disk's, as where an image was written to a disk of the other kind.
        disk.blockBytes = blockBytes == 512 ? 4096 : 512
        #expect(disk.scan.partitions == 2)
    }

    private func table(of diskBytes: UInt64, blockBytes: Int) throws -> [DiskWrite] {
        let type = try #require(GPT.KnownType.basicData)
        let blocks = UInt64(blockBytes)
        func entry(_ first: UInt64, _ last: UInt64, _ number: UInt8) throws -> [UInt8] {
            var writer = ByteWriter(reservingCapacity: 128)
            writer.write(type.diskBytes)
            writer.write([UInt8](repeating: number, count: 16))
            writer.writeLE(first / blocks)
            writer.writeLE(last / blocks - 1)
            writer.writeZeros(128 - writer.count)
            return writer.bytes
        }
        var entries = try entry(16 << 20, 128 << 20, 1) + entry(512 << 20, 768 << 20, 2)
        entries += [UInt8](repeating: 0, count: 128 * 128 - entries.count)
        var header = ByteWriter(reservingCapacity: 92)
        header.write(Array("EFI PART".utf8))
        header.writeLE(UInt32(0x0001_0000))
        header.writeLE(UInt32(92))
        header.writeLE(UInt32(0))
        header.writeLE(UInt32(0))
        header.writeLE(UInt64(1))
        header.writeLE(diskBytes / blocks - 1)
        header.writeLE(UInt64(48))
        header.writeLE(diskBytes / blocks - 49)
        header.write([UInt8](repeating: 7, count: 16))
        header.writeLE(UInt64(2))
        header.writeLE(UInt32(128))
        header.writeLE(UInt32(128))
        header.writeLE(CRC32.checksum(entries))
        var bytes = header.bytes
        let checksum = CRC32.checksum(bytes)
        bytes.replaceSubrange(16..<20, with: (0..<4).map { UInt8(truncatingIfNeeded: checksum >> ($0 * 8)) })
        return [DiskWrite(offset: blocks, bytes: bytes), DiskWrite(offset: 2 * blocks, bytes: entries)]
    }

    @Test("a disk that cannot be read, or not all of it, is not empty; it is not asked for ever")
    func unreadable() {
        var disk = SparseDisk(byteCount: 1 << 30)
        disk.broken = [0..<1 << 30]
        #expect(disk.kinds == [.unreadable])
        var tries = 0
        _ = DiskScan(byteCount: 1 << 30, blockBytes: 512) { _, _ in
            tries += 1
            throw SparseDisk.Unreadable()
        }
        #expect(tries <= 3)
        disk.broken = [(1 << 30) - 512..<1 << 30]
        disk.put("XFSB", at: 0)
        #expect(disk.kinds == [.unreadable, .xfs])
        // One that gives fewer bytes than were asked for.
        let short = DiskScan(byteCount: 1 << 30, blockBytes: 512) { _, count in [UInt8](repeating: 0, count: count / 2) }
        #expect(!short.isEmpty)
    }

    @Test("the name of a ZFS pool is read from its label; a list that lies about its lengths is none")
    func zfsName() {
        func string(_ text: String) -> [UInt8] {
            let bytes = Array(text.utf8)
            return word(UInt32(bytes.count)) + bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
        }
        func word(_ value: UInt32) -> [UInt8] { (0..<4).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
        func pair(_ name: String, type: UInt32, _ value: [UInt8]) -> [UInt8] {
            let rest = string(name) + word(type) + word(1) + value
            return word(UInt32(rest.count + 8)) + word(64) + rest
        }
        let list: [UInt8] =
            [1, 1, 0, 0] + word(0) + word(1) + pair("version", type: 8, word(0) + word(5000)) + pair("name", type: 9, string("tank")) + word(0)
            + word(0)
        var disk = SparseDisk(byteCount: 100 << 20)
        disk.put(list, at: 16 << 10)
        #expect(disk.scan.items == [.init(kind: .zfs, label: "tank")])
        for count in list.indices { _ = ZFSNames.name(in: list.prefix(count)[...]) }
        for place in list.indices {
            var lying = list
            lying[place] ^= 0xff
            _ = ZFSNames.name(in: lying[...])
        }
        #expect(ZFSNames.name(in: list.prefix(40)[...]) == nil)
    }

    @Test("a disk that ends at any byte of a header is looked at like any other")
    func truncation() {
        for (name, disk) in SparseDisk.captured {
            for piece in disk.pieces {
                for size in piece.offset...piece.offset + UInt64(piece.bytes.count) {
                    var cut = disk
                    (cut.byteCount, cut.blockBytes) = (size, size.isMultiple(of: 2) ? 512 : 4096)
                    #expect(cut.scan.items.count <= DiskScan.itemLimit, "\(name)")
                }
            }
        }
    }

    @Test("whatever stands on a disk, the scan ends, and says that something is there", arguments: [UInt64(1), 2, 3])
    func seeded(seed: UInt64) {
        var random = SplitMix(state: seed)
        let headers = SparseDisk.captured.values.sorted { $0.byteCount < $1.byteCount }
        for _ in 0..<60 {
            var disk = SparseDisk(byteCount: random.next() % (4 << 20) + 4096, blockBytes: random.next() % 2 == 0 ? 512 : 4096)
            var wrote = false
            for piece in headers[Int(random.next() % UInt64(headers.count))].pieces where piece.offset + 4096 < disk.byteCount {
                var bytes = piece.bytes
                for _ in 0..<random.next() % 6 { bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next()) }
                wrote = wrote || bytes.contains { $0 != 0 }
                disk.put(bytes, at: piece.offset)
            }
            let noise = random.next() % (disk.byteCount - 512)
            if random.next() % 2 == 0 { disk.put((0..<512).map { _ in UInt8(truncatingIfNeeded: random.next()) }, at: noise) }
            let scan = disk.scan
            #expect(scan.items.count <= DiskScan.itemLimit && scan.partitions <= 1024, "seed \(seed)")
            #expect(scan.items.allSatisfy { ($0.label ?? "").utf8.count <= 108 }, "seed \(seed)")
            if wrote { #expect(!scan.isEmpty, "seed \(seed)") }
        }
    }

    @Test("a label cannot steer a terminal")
    func hostileLabel() {
        var disk = SparseDisk(byteCount: 100 << 20)
        disk.put("XFSB", at: 0)
        disk.put("\u{1b}]0;x\u{7}ab", at: 108)
        let label = disk.scan.items.first?.label ?? ""
        #expect(label.contains("ab") && label.unicodeScalars.allSatisfy { PrintableText.isPrintable($0) })
    }

    @Test("a real loop of the tools: what mkfs, mkswap and sfdisk write on a file is known")
    func tools() throws {
        let folder = try TemporaryDirectory()
        func scan(_ path: String) throws -> DiskScan {
            let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            let size = try file.seekToEnd()
            return DiskScan(byteCount: size, blockBytes: 512) { offset, count in
                try file.seek(toOffset: offset)
                return Array(try file.read(upToCount: count) ?? Data())
            }
        }
        let made: [(String, [String], ContentKind, String?)] = [
            ("ext4", ["mkfs.ext4", "-q", "-F", "-L", "root"], .ext4, "root"), ("vfat", ["mkfs.vfat", "-F", "32", "-n", "ESP"], .fat32, nil),
            ("swap", ["mkswap", "-L", "sw"], .swap, "sw"), ("gpt", ["sgdisk", "-n", "1:0:+8M", "-n", "2:0:0"], .gpt, nil),
        ]
        for (name, command, kind, label) in made {
            guard try tool("which", command[0]).status == 0 else { continue }
            let path = "\(folder.path)/\(name)"
            _ = FileManager.default.createFile(atPath: path, contents: nil)
            try FileHandle(forWritingTo: URL(fileURLWithPath: path)).truncate(atOffset: 64 << 20)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
            process.arguments = command + [path]
            (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
            try process.run()
            process.waitUntilExit()
            let found = try scan(path)
            #expect(found.items.map(\.kind) == [kind], "\(name): \(found)")
            if let label { #expect(found.items.first?.label == label) }
            if kind == .gpt { #expect(found.partitions == 2) }
        }
    }
}

private struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
