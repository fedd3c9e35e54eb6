internal import Wire

/// A GUID as GPT stores it: the first three fields little-endian (UEFI 2.10 appendix A).
/// Text form: `C12A7328-F81F-11D2-BA4B-00A0C93EC93B`.
public struct GUID: Hashable, Sendable, CustomStringConvertible {
    /// The 16 bytes in the order of the text form.
    private let textOrder: [UInt8]

    /// From the text form, in either case.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.map(\.utf8.count) == [8, 4, 4, 4, 12], let bytes = Hex.decode(parts.joined()) else { return nil }
        textOrder = bytes
    }

    /// From exactly 16 bytes as they are on the disk.
    public init?(diskBytes: some Collection<UInt8>) {
        guard diskBytes.count == 16 else { return nil }
        textOrder = Self.swapped(Array(diskBytes))
    }

    public var diskBytes: [UInt8] { Self.swapped(textOrder) }

    public var description: String {
        let hex = Array(Hex.encode(textOrder).uppercased())
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(hex[$0]) }.joined(separator: "-")
    }

    private static func swapped(_ bytes: [UInt8]) -> [UInt8] {
        Array(bytes[0..<4].reversed() + bytes[4..<6].reversed() + bytes[6..<8].reversed() + bytes[8..<16])
    }
}
