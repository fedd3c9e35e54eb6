internal import Wire

/// The SHA-256 digest that names a blob: `sha256:` and 64 lowercase hex digits
/// (OCI image spec 1.1, descriptor.md, "Digests"). Other algorithms are refused.
public struct Digest: Hashable, Sendable, Codable, CustomStringConvertible {
    /// Length of the raw digest in bytes.
    public static let byteCount = 32

    private let word0: UInt64
    private let word1: UInt64
    private let word2: UInt64
    private let word3: UInt64

    /// From exactly 32 raw bytes, nil for any other count.
    public init?(sha256 bytes: some Sequence<UInt8>) {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var count = 0
        for byte in bytes {
            switch count / 8 {
            case 0: words.0 = words.0 << 8 | UInt64(byte)
            case 1: words.1 = words.1 << 8 | UInt64(byte)
            case 2: words.2 = words.2 << 8 | UInt64(byte)
            case 3: words.3 = words.3 << 8 | UInt64(byte)
            default: return nil
            }
            count += 1
        }
        guard count == Self.byteCount else { return nil }
        (word0, word1, word2, word3) = words
    }

    /// From `sha256:` and exactly 64 lowercase hex digits.
    public init?(_ text: some StringProtocol) {
        guard text.utf8.count == 71, text.hasPrefix("sha256:") else { return nil }
        let digits = text.dropFirst(7)
        guard digits.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }),
            let bytes = Hex.decode(digits)
        else { return nil }
        self.init(sha256: bytes)
    }

    /// The 32 raw bytes.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.byteCount)
        for word in [word0, word1, word2, word3] {
            withUnsafeBytes(of: word.bigEndian) { bytes.append(contentsOf: $0) }
        }
        return bytes
    }

    /// The 64 hex digits alone, which are also the blob's file name.
    public var hex: String { Hex.encode(bytes) }

    public var description: String { "sha256:\(hex)" }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let digest = Digest(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a sha256 digest: \(text)")
        }
        self = digest
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
