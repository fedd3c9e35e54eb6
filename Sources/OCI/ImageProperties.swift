/// What an image's manifest says of it in its annotations.
///
/// Fields that a manifest does not carry, or carries in a form that cannot be
/// read, are nil or empty: annotations are hints, never trusted for safety.
public struct ImageProperties: Hashable, Sendable {
    public enum Firmware: String, Hashable, Sendable, CaseIterable {
        case bios, uefi
    }

    /// `name:tag` under which the image was made.
    public var name: String?
    /// The operating system, such as `debian-12`.
    public var os: String?
    /// Firmware modes that can boot it; empty where nobody said.
    public var firmware: Set<Firmware>
    /// Size of the disk in bytes.
    public var diskBytes: UInt64?
    /// Bytes of the disk in chunks that are not all zero.
    public var dataBytes: UInt64?
    /// `gpt`, `mbr` or `none`.
    public var partitionTable: String?
    /// File system UUID of the root file system.
    public var rootUUID: String?
    /// Kernel arguments for a direct or streamed boot.
    public var kernelArguments: String?
    /// How the image takes its first-boot data: `nocloud`.
    public var seed: String?
    /// How often its system may read its user-data from the metadata service: `once` or `until-ready`.
    public var userDataAccess: String?
    /// RFC 3339 in UTC.
    public var created: String?

    public init(
        name: String? = nil, os: String? = nil, firmware: Set<Firmware> = [], diskBytes: UInt64? = nil,
        dataBytes: UInt64? = nil, partitionTable: String? = nil, rootUUID: String? = nil,
        kernelArguments: String? = nil, seed: String? = nil, created: String? = nil
    ) {
        self.name = name
        self.os = os
        self.firmware = firmware
        self.diskBytes = diskBytes
        self.dataBytes = dataBytes
        self.partitionTable = partitionTable
        self.rootUUID = rootUUID
        self.kernelArguments = kernelArguments
        self.seed = seed
        self.created = created
    }

    private enum Key {
        static let name = "org.hostler.image.name"
        static let os = "org.hostler.image.os"
        static let firmware = "org.hostler.image.boot.firmware"
        static let diskBytes = "org.hostler.image.disk-bytes"
        static let dataBytes = "org.hostler.image.data-bytes"
        static let partitionTable = "org.hostler.image.partition-table"
        static let rootUUID = "org.hostler.image.root-uuid"
        static let kernelArguments = "org.hostler.image.kernel-args"
        static let seed = "org.hostler.image.seed"
        static let userDataAccess = "org.hostler.image.user-data"
        static let created = "org.opencontainers.image.created"
    }

    public init(annotations: [String: String]) {
        name = annotations[Key.name]
        os = annotations[Key.os]
        firmware = Set(
            (annotations[Key.firmware] ?? "").split(separator: ",").compactMap { Firmware(rawValue: String($0)) })
        diskBytes = annotations[Key.diskBytes].flatMap { UInt64($0) }
        dataBytes = annotations[Key.dataBytes].flatMap { UInt64($0) }
        partitionTable = annotations[Key.partitionTable]
        rootUUID = annotations[Key.rootUUID]
        kernelArguments = annotations[Key.kernelArguments]
        seed = annotations[Key.seed]
        userDataAccess = annotations[Key.userDataAccess]
        created = annotations[Key.created]
    }

    public var annotations: [String: String] {
        var annotations: [String: String] = [:]
        annotations[Key.name] = name
        annotations[Key.os] = os
        annotations[Key.firmware] =
            firmware.isEmpty ? nil : firmware.map(\.rawValue).sorted().joined(separator: ",")
        annotations[Key.diskBytes] = diskBytes.map(String.init)
        annotations[Key.dataBytes] = dataBytes.map(String.init)
        annotations[Key.partitionTable] = partitionTable
        annotations[Key.rootUUID] = rootUUID
        annotations[Key.kernelArguments] = kernelArguments
        annotations[Key.seed] = seed
        annotations[Key.userDataAccess] = userDataAccess
        annotations[Key.created] = created
        return annotations
    }
}
