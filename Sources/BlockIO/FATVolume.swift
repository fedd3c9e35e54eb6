internal import Wire

/// A complete FAT volume with a few files, as a NoCloud seed or a config drive needs it.
///
/// The layout follows Microsoft's FAT specification ("fatgen103", cited as FAT §) and is the same for the same input:
/// times are all 1980-01-01.
public struct FATVolume: Hashable, Sendable {
    public struct File: Hashable, Sendable {
        /// Its path: parts with a slash between them, each of 1 to 255 UTF-16 units, none of `" * : < > ? \ |`, and no
        /// control characters.
        public let name: String
        public let contents: [UInt8]

        public init(name: String, contents: [UInt8]) {
            self.name = name
            self.contents = contents
        }
    }

    /// The whole volume, from its boot sector on.
    public let bytes: [UInt8]

    /// How the allocation table's entries are stored: their bits.
    public enum Kind: Int, Hashable, Sendable, CaseIterable {
        case fat12 = 12
        case fat16 = 16
        case fat32 = 32
    }

    /// The largest volume that is built in memory: 512 MiB.
    public static let limitBytes = 512 << 20

    /// How many bytes a volume needs for these files: a whole number of MiB.
    public static func bytesNeeded(for files: [File]) -> Int {
        // A file's last cluster is half empty at worst, each cluster has two table entries in two copies, and the
        // rest is boot sectors and root directory: an eighth and 512 KiB cover them all.
        let contents = files.reduce(0) { $0 + $1.contents.count + 4096 * (1 + $1.name.count { $0 == "/" }) }
        return bytesNeeded(forContents: contents)
    }

    /// The same where only the sum of the files and folders is known, each in whole 4 KiB.
    public static func bytesNeeded(forContents contents: Int) -> Int {
        let mebibyte = 1 << 20
        return (contents + contents / 8 + mebibyte / 2 + mebibyte - 1) / mebibyte * mebibyte
    }

    /// - Parameters:
    ///   - label: at most 11 bytes of upper-case ASCII.
    ///   - volumeBytes: size of the volume, a whole number of sectors; by default what the files need.
    ///   - sectorBytes: 512, or 4096 for disks that have only such sectors.
    ///   - kind: by default FAT16, or FAT12 where the volume is too small for it.
    ///   - serial: the volume's serial number, which `blkid` shows as its UUID.
    public init(
        label: String, files: [File], volumeBytes: Int? = nil, sectorBytes: Int = 512, kind: Kind? = nil,
        serial: UInt32 = 0
    ) throws(FATError) {
        let volumeBytes = volumeBytes ?? Self.bytesNeeded(for: files)
        guard volumeBytes <= Self.limitBytes else { throw .tooLarge(bytes: volumeBytes) }
        let geometry = try FATGeometry(volumeBytes: volumeBytes, sectorBytes: sectorBytes, kind: kind)
        var directory = FATDirectory()
        try directory.add(label: label)
        var writer = FATWriter(geometry: geometry)
        try FATFolder(files).store(in: &directory, at: 0, by: &writer)
        try writer.setRoot(directory.bytes)
        writer.setBootSectors(label: FATDirectory.paddedLabel(label), serial: serial)
        bytes = writer.finished()
    }
}

/// Why a FAT volume cannot be built.
public enum FATError: Error, Equatable, Sendable {
    case invalidLabel(String)
    case invalidName(String)
    /// Two files have names that differ in case at most.
    case duplicateName(String)
    case invalidGeometry
    case tooLarge(bytes: Int)
    /// The files do not fit into the volume.
    case full
}

/// How a volume of a given size is divided. All counts in sectors unless the name says otherwise.
struct FATGeometry {
    typealias Kind = FATVolume.Kind

    let kind: Kind
    let sectorBytes: Int
    let sectorCount: Int
    let sectorsPerCluster: Int
    let reservedSectors: Int
    let rootSectors: Int
    let tableSectors: Int
    let clusterCount: Int

    static let tableCount = 2

    var clusterBytes: Int { sectorsPerCluster * sectorBytes }
    var tableOffset: Int { reservedSectors * sectorBytes }
    /// Where the root directory of FAT12 and FAT16 begins, in bytes.
    var rootOffset: Int { (reservedSectors + Self.tableCount * tableSectors) * sectorBytes }
    /// Where cluster 2, the first one, begins, in bytes.
    var dataOffset: Int { rootOffset + rootSectors * sectorBytes }
    var rootEntryCount: Int { rootSectors * sectorBytes / 32 }

    /// Picks the kind and cluster size. The count of clusters alone says which kind a volume is (FAT §3.5), so it keeps
    /// 16 clear of the limits, as the specification advises.
    init(volumeBytes: Int, sectorBytes: Int, kind wanted: Kind?) throws(FATError) {
        guard sectorBytes == 512 || sectorBytes == 4096, volumeBytes >= 64 * sectorBytes,
            volumeBytes.isMultiple(of: sectorBytes)
        else { throw .invalidGeometry }
        for kind in wanted.map({ [$0] }) ?? [Kind.fat16, .fat12] {
            let (reserved, root) = kind == .fat32 ? (32, 0) : (sectorBytes == 512 ? 4 : 1, 512 * 32 / sectorBytes)
            for perCluster in [1, 2, 4, 8, 16, 32] where perCluster * sectorBytes <= 32768 {
                let sectors = volumeBytes / sectorBytes
                // The table's size depends on the clusters and they on it: grow it until it is enough.
                var table = 1
                var clusters = 0
                while true {
                    clusters = (sectors - reserved - root - Self.tableCount * table) / perCluster
                    let needed = ((clusters + 2) * kind.rawValue + 7) / 8
                    if clusters < 1 || needed <= table * sectorBytes { break }
                    table += 1
                }
                guard Self.clusterRange(kind).contains(clusters) else { continue }
                self.kind = kind
                self.sectorBytes = sectorBytes
                sectorCount = sectors
                sectorsPerCluster = perCluster
                reservedSectors = reserved
                rootSectors = root
                tableSectors = table
                clusterCount = clusters
                return
            }
        }
        throw .invalidGeometry
    }

    private static func clusterRange(_ kind: Kind) -> ClosedRange<Int> {
        switch kind {
        case .fat12: 16...4068
        case .fat16: 4101...65508
        case .fat32: 65541...(1 << 27)
        }
    }
}
