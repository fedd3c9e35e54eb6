import Wire

/// A 128-bit identifier whose first three fields are stored little-endian,
/// as SMBIOS (DSP0134 §7.2.1) and UEFI (Appendix A) do it.
public struct FirmwareGUID: Hashable, Sendable, CustomStringConvertible {
    /// Exactly 16 bytes, as stored.
    public let bytes: [UInt8]

    /// From exactly 16 stored bytes.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self.bytes = Array(bytes)
    }

    /// From the text form, `00112233-4455-6677-8899-aabbccddeeff`.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.map(\.utf8.count) == [8, 4, 4, 4, 12], let shown = Hex.decode(parts.joined()) else { return nil }
        bytes = Self.order.map { shown[$0] }
    }

    /// Whether it is all zeros or all ones: "not set" and "not present" in SMBIOS.
    public var isUnset: Bool { bytes.allSatisfy { $0 == 0 } || bytes.allSatisfy { $0 == 0xff } }

    /// Lowercase text, the way Linux shows it.
    public var description: String {
        let hex = Array(Hex.encode(Self.order.map { bytes[$0] }))
        return [hex[0..<8], hex[8..<12], hex[12..<16], hex[16..<20], hex[20..<32]].map { String($0) }
            .joined(separator: "-")
    }

    private static let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
}
