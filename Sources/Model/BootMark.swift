/// Where the marker of an installation lies on its disk, and how it begins: a BIOS numbers its disks as it likes, and by this
/// the one with the system is known.
public struct BootMark: Codable, Sendable, Equatable {
    /// What is compared of a marker: its magic, version, length and checksum.
    public static let headBytes = 28

    /// In sectors of 512 bytes from the start of the disk: a BIOS knows no others.
    public var sector: UInt64
    /// ``headBytes`` as hexadecimal digits.
    public var head: String

    /// Nil where these are not a sector and the beginning of a marker.
    public init?(sector: UInt64, head: String) {
        guard sector <= 1 << 54, head.utf8.count == Self.headBytes * 2,
            head.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
        else { return nil }
        self.sector = sector
        self.head = head
    }

    /// What the agent said of the seed that it wrote; nil: an agent of a version that did not say so.
    public init?(evidence: [String: String]) {
        guard let offset = evidence["offset"].flatMap({ UInt64($0) }), let bytes = evidence["bytes"].flatMap({ UInt64($0) }),
            offset <= 1 << 60, (4096...1 << 40).contains(bytes), let head = evidence["marker"]
        else { return nil }
        // The marker is the partition's last 4 KiB.
        let marker = offset + bytes - 4096
        guard marker.isMultiple(of: 512) else { return nil }
        self.init(sector: marker / 512, head: head)
    }
}
