/// What the bytes of an image say: which disks and which firmware it was made for. They are read from the image itself,
/// never from its manifest.
public struct ImageFacts: Codable, Sendable, Equatable {
    public enum Scheme: String, Codable, Sendable, CaseIterable {
        case gpt, mbr
        /// No table that can be read.
        case none
    }

    public var scheme: Scheme
    /// The logical sectors that its partition table counts in, in bytes.
    public var sectorBytes: Int
    /// Where its last partition ends; on the disk, everything behind that is free.
    public var endBytes: Int64
    /// What its table keeps for itself at the disk's end: a GPT's second copy.
    public var tailBytes: Int64
    /// Whether its table has an entry left for one more partition.
    public var hasFreeEntry: Bool
    /// The firmware that finds something to start in it.
    public var firmware: [FirmwareMode]
    /// What is in `\EFI\BOOT` of its EFI system partition, as `BOOTX64.EFI`.
    public var loaders: [String]

    public init(
        scheme: Scheme, sectorBytes: Int = 512, endBytes: Int64 = 0, tailBytes: Int64 = 0, hasFreeEntry: Bool = true,
        firmware: [FirmwareMode] = [], loaders: [String] = []
    ) {
        self.scheme = scheme
        self.sectorBytes = sectorBytes
        self.endBytes = endBytes
        self.tailBytes = tailBytes
        self.hasFreeEntry = hasFreeEntry
        self.firmware = firmware
        self.loaders = loaders
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        scheme = try container.decode(Scheme.self, forKey: .scheme)
        sectorBytes = try container.number(.sectorBytes, in: NumberRange.blockBytes)
        endBytes = try container.number(.endBytes, in: NumberRange.count)
        tailBytes = try container.number(.tailBytes, in: NumberRange.count)
        hasFreeEntry = try container.decode(Bool.self, forKey: .hasFreeEntry)
        firmware = try container.decode([FirmwareMode].self, forKey: .firmware)
        loaders = try container.decode([String].self, forKey: .loaders)
    }
}
