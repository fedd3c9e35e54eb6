/// An IPv6 address. Text form: RFC 5952, `fd00:ec2::254`.
public struct IPv6Address: Hashable, Sendable, CustomStringConvertible {
    /// Eight groups of 16 bits, the first one of the text first.
    public let groups: [UInt16]

    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        let bytes = Array(bytes)
        groups = (0..<8).map { UInt16(bytes[2 * $0]) << 8 | UInt16(bytes[2 * $0 + 1]) }
    }

    /// RFC 4291 §2.2: groups of one to four hexadecimal digits, `::` once for one or more groups of zeros. No zone, no
    /// embedded IPv4 address.
    public init?(_ text: some StringProtocol) {
        let text = String(text)
        func groups(_ part: Substring) -> [UInt16]? {
            if part.isEmpty { return [] }
            var found: [UInt16] = []
            for piece in part.split(separator: ":", omittingEmptySubsequences: false) {
                guard (1...4).contains(piece.utf8.count), piece.utf8.allSatisfy(Self.isDigit), let group = UInt16(piece, radix: 16)
                else { return nil }
                found.append(group)
            }
            return found
        }
        guard let gap = text.firstRange(of: "::") else {
            guard let all = groups(Substring(text)), all.count == 8 else { return nil }
            self.groups = all
            return
        }
        guard let head = groups(text[..<gap.lowerBound]), let tail = groups(text[gap.upperBound...]), head.count + tail.count < 8
        else { return nil }
        self.groups = head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
    }

    public var bytes: [UInt8] { groups.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] } }

    /// fe80::/10: good on one link only.
    public var isLinkLocal: Bool { groups[0] & 0xffc0 == 0xfe80 }

    /// RFC 5952 §4: no leading zeros, lower case, the first longest run of two or more zero groups as `::`.
    public var description: String {
        var (start, length, index) = (0, 1, 0)
        while index < 8 {
            let run = groups[index...].prefix { $0 == 0 }.count
            if run > length { (start, length) = (index, run) }
            index += max(run, 1)
        }
        func text(_ groups: ArraySlice<UInt16>) -> String { groups.map { String($0, radix: 16) }.joined(separator: ":") }
        return length == 1 ? text(groups[...]) : text(groups[..<start]) + "::" + text(groups[(start + length)...])
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (97...102).contains(byte) || (65...70).contains(byte)
    }
}
