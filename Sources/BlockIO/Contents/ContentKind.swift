/// What a disk or a partition may hold, by the form of its first and last bytes. The raw value is for people.
public enum ContentKind: String, Sendable, CaseIterable {
    // Partition tables.
    case gpt = "GPT"
    case gptDamaged = "GPT (damaged)"
    case gptBackup = "GPT (its second copy only)"
    case mbr = "MBR"
    case bsdLabel = "BSD disk label"
    case sunLabel = "Sun disk label"
    case sgiLabel = "SGI disk label"
    case appleMap = "Apple partition map"
    case windowsLDM = "Windows dynamic disk"
    // Boot code without a table.
    case grub = "GRUB boot code"
    case bootCode = "boot code"
    // File systems.
    case ext2, ext3, ext4
    case extJournal = "ext journal"
    case xfs = "XFS"
    case xfsLog = "XFS log"
    case btrfs = "Btrfs"
    case fat12 = "FAT12"
    case fat16 = "FAT16"
    case fat32 = "FAT32"
    case fat = "FAT"
    case ntfs = "NTFS"
    case exFAT
    case refs = "ReFS"
    case bitLocker = "BitLocker"
    case hpfs = "HPFS"
    case iso9660 = "ISO 9660"
    case udf = "UDF"
    case swap = "Linux swap"
    case hibernation = "hibernated Linux"
    case f2fs = "F2FS"
    case bcachefs
    case reiserFS = "ReiserFS"
    case reiser4 = "Reiser4"
    case jfs = "JFS"
    case nilfs2 = "NILFS2"
    case ocfs2 = "OCFS2"
    case gfs2 = "GFS2"
    case ufs = "UFS"
    case hfs = "HFS"
    case hfsPlus = "HFS+"
    case apfs = "APFS"
    case squashFS = "SquashFS"
    case erofs = "EROFS"
    case cramfs
    case romfs
    case vmfs = "VMFS"
    // Encryption, volumes, arrays.
    case luks = "LUKS"
    case dmIntegrity = "dm-integrity"
    case dmVerity = "dm-verity"
    case bcache
    case lvm = "LVM physical volume"
    case lvm1 = "LVM1 physical volume"
    case vdo = "VDO"
    case stratis = "Stratis"
    case md090 = "Linux RAID (md 0.90)"
    case md10 = "Linux RAID (md 1.0)"
    case md11 = "Linux RAID (md 1.1)"
    case md12 = "Linux RAID (md 1.2)"
    case zfs = "ZFS"
    case intelRAID = "Intel firmware RAID"
    case ddfRAID = "DDF firmware RAID"
    case adaptecRAID = "Adaptec firmware RAID"
    case promiseRAID = "Promise firmware RAID"
    case nvidiaRAID = "NVIDIA firmware RAID"
    case highPointRAID = "HighPoint firmware RAID"
    case lsiRAID = "LSI firmware RAID"
    case geom = "FreeBSD GEOM"
    case blueStore = "Ceph BlueStore"
    case drbd = "DRBD"
    case vmfsVolume = "VMFS volume"
    case oracleASM = "Oracle ASM"
    // Anything else.
    case unknownData = "data of an unknown kind"
    case unreadable
}

/// Bytes by which a kind is known, and where they stand.
struct ContentSignature: Sendable {
    enum Place: Sendable {
        /// Bytes from the first.
        case start(UInt64)
        /// Bytes before the end, where the signature begins.
        case end(UInt64)
    }

    var kind: ContentKind
    var place: Place
    var magic: [UInt8]

    init(_ kind: ContentKind, _ place: Place, _ magic: [UInt8]) {
        self.kind = kind
        self.place = place
        self.magic = magic
    }

    init(_ kind: ContentKind, _ place: Place, _ magic: String) { self.init(kind, place, Array(magic.utf8)) }

    /// Of what is known by its bytes alone. Others need a look at more of them: ext, FAT, ZFS, md 0.90 and 1.0, tables.
    static let all: [ContentSignature] = fileSystems + containers + swapSpaces + lvmLabels + tailEnders

    private static let fileSystems: [ContentSignature] = [
        .init(.xfs, .start(0), "XFSB"),
        .init(.xfsLog, .start(0), [0xfe, 0xed, 0xba, 0xbe]),
        .init(.btrfs, .start(0x10040), "_BHRfS_M"),
        .init(.ntfs, .start(3), "NTFS    "),
        .init(.exFAT, .start(3), "EXFAT   "),
        .init(.refs, .start(3), "ReFS\0\0\0\0"),
        .init(.bitLocker, .start(3), "-FVE-FS-"),
        .init(.hpfs, .start(0x2000), [0x49, 0xe8, 0x95, 0xf9]),
        .init(.iso9660, .start(0x8001), "CD001"),
        .init(.iso9660, .start(0x8009), "CDROM"),
        .init(.udf, .start(0x8001), "BEA01"),
        .init(.udf, .start(0x8001), "NSR02"),
        .init(.udf, .start(0x8001), "NSR03"),
        .init(.f2fs, .start(0x400), [0x10, 0x20, 0xf5, 0xf2]),
        .init(.bcachefs, .start(0x1018), [0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef]),
        .init(.reiserFS, .start(0x10034), "ReIsErFs"),
        .init(.reiserFS, .start(0x10034), "ReIsEr2Fs"),
        .init(.reiserFS, .start(0x10034), "ReIsEr3Fs"),
        .init(.reiserFS, .start(0x2034), "ReIsErFs"),
        .init(.reiser4, .start(0x10000), "ReIsEr4"),
        .init(.jfs, .start(0x8000), "JFS1"),
        .init(.nilfs2, .start(0x406), [0x34, 0x34]),
        .init(.ocfs2, .start(0x400), "OCFSV2"),
        .init(.ocfs2, .start(0x800), "OCFSV2"),
        .init(.ocfs2, .start(0x1000), "OCFSV2"),
        .init(.ocfs2, .start(0x2000), "OCFSV2"),
        .init(.gfs2, .start(0x10000), [0x01, 0x16, 0x19, 0x70]),
        .init(.ufs, .start(0x255c), [0x54, 0x19, 0x01, 0x00]),
        .init(.ufs, .start(0x255c), [0x00, 0x01, 0x19, 0x54]),
        .init(.ufs, .start(0x255c), [0x19, 0x01, 0x54, 0x19]),
        .init(.ufs, .start(0x1055c), [0x19, 0x01, 0x54, 0x19]),
        .init(.hfs, .start(0x400), "BD"),
        .init(.hfsPlus, .start(0x400), "H+"),
        .init(.hfsPlus, .start(0x400), "HX"),
        .init(.apfs, .start(0x20), "NXSB"),
        .init(.squashFS, .start(0), "hsqs"),
        .init(.erofs, .start(0x400), [0xe2, 0xe1, 0xf5, 0xe0]),
        .init(.cramfs, .start(0), [0x45, 0x3d, 0xcd, 0x28]),
        .init(.romfs, .start(0), "-rom1fs-"),
        .init(.vmfs, .start(0x20_0000), [0x5e, 0xf1, 0xab, 0x2f]),
    ]

    private static let containers: [ContentSignature] = [
        .init(.luks, .start(0), [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]),
        // The second header of LUKS2 outlives the first.
        .init(.luks, .start(0x4000), [0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe]),
        .init(.luks, .start(0x8000), [0x53, 0x4b, 0x55, 0x4c, 0xba, 0xbe]),
        .init(.dmIntegrity, .start(0), "integrt\0"),
        .init(.dmVerity, .start(0), "verity\0\0"),
        .init(.bcache, .start(0x1018), [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81]),
        .init(.lvm1, .start(0), [0x48, 0x4d, 0x01, 0x00]),
        .init(.lvm1, .start(0), [0x48, 0x4d, 0x02, 0x00]),
        .init(.vdo, .start(0), "dmvdo001"),
        .init(.stratis, .start(0x204), Array("!Stra0tis".utf8) + [0x86, 0xff, 0x02, 0x5e, 0x41, 0x72, 0x68]),
        .init(.md11, .start(0), [0xfc, 0x4e, 0x2b, 0xa9]),
        .init(.md12, .start(0x1000), [0xfc, 0x4e, 0x2b, 0xa9]),
        .init(.blueStore, .start(0), "bluestore block device"),
        .init(.vmfsVolume, .start(0x10_0000), [0x0d, 0xd0, 0x01, 0xc0]),
        .init(.oracleASM, .start(0x20), "ORCLDISK"),
        .init(.windowsLDM, .start(0xc00), "PRIVHEAD"),
        .init(.sunLabel, .start(0x1fc), [0xda, 0xbe]),
        .init(.sgiLabel, .start(0), [0x0b, 0xe5, 0xa9, 0x41]),
        .init(.appleMap, .start(0x200), [0x50, 0x4d, 0x00, 0x00]),
        .init(.bsdLabel, .start(0x200), [0x57, 0x45, 0x56, 0x82]),
        .init(.bsdLabel, .start(0x40), [0x57, 0x45, 0x56, 0x82]),
    ]

    /// At the end of the first page, whose size is the machine's that made it.
    private static let swapSpaces: [ContentSignature] = {
        let words: [(ContentKind, String)] = [
            (.swap, "SWAP-SPACE"), (.swap, "SWAPSPACE2"), (.hibernation, "S1SUSPEND"), (.hibernation, "S2SUSPEND"),
            (.hibernation, "ULSUSPEND"), (.hibernation, "LINHIB0001"),
        ]
        let pages: [UInt64] = [0x1000, 0x2000, 0x4000, 0x10000]
        return pages.flatMap { page in words.map { ContentSignature($0.0, .start(page - 10), $0.1) } }
    }()

    /// In one of the first four sectors.
    private static let lvmLabels: [ContentSignature] = {
        let sectors: [UInt64] = [0, 512, 1024, 1536]
        return sectors.map { ContentSignature(.lvm, .start($0), "LABELONE") }
    }()

    private static let tailEnders: [ContentSignature] = [
        // In the last sector but one, of 512 or of 4096 bytes.
        .init(.intelRAID, .end(1024), "Intel Raid ISM Cfg Sig. "),
        .init(.intelRAID, .end(8192), "Intel Raid ISM Cfg Sig. "),
        .init(.ddfRAID, .end(512), [0xde, 0x11, 0xde, 0x11]),
        .init(.ddfRAID, .end(4096), [0xde, 0x11, 0xde, 0x11]),
        .init(.ddfRAID, .end(257 * 512), [0xde, 0x11, 0xde, 0x11]),
        .init(.adaptecRAID, .end(512), "DPTM"),
        .init(.promiseRAID, .end(63 * 512), "Promise Technology, Inc."),
        .init(.promiseRAID, .end(256 * 512), "Promise Technology, Inc."),
        .init(.promiseRAID, .end(16 * 512), "Promise Technology, Inc."),
        .init(.nvidiaRAID, .end(1024), "NVIDIA  "),
        .init(.highPointRAID, .start(9 * 512 + 32), [0xf0, 0x16, 0x78, 0x5a]),
        .init(.highPointRAID, .start(9 * 512 + 32), [0xfd, 0x16, 0x78, 0x5a]),
        .init(.lsiRAID, .end(512), "$XIDE$"),
        .init(.geom, .end(512), "GEOM::"),
        .init(.geom, .end(4096), "GEOM::"),
        // Of the last 4 KiB, which versions 8 and 9 have for themselves.
        .init(.drbd, .end(4096 - 60), [0x83, 0x74, 0x02, 0x6b]),
        .init(.drbd, .end(4096 - 60), [0x83, 0x74, 0x02, 0x6c]),
        .init(.drbd, .end(4096 - 60), [0x83, 0x74, 0x02, 0x6d]),
    ]
}
