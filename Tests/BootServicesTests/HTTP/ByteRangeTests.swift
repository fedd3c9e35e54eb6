import Testing

@testable import BootServices

@Suite("Byte ranges")
struct ByteRangeTests {
    private static let cases: [(header: String?, bytes: Int, expected: ByteRange)] = [
        (nil, 10, .whole), ("", 10, .whole), ("bytes", 10, .whole), ("bytes=", 10, .whole), ("lines=0-1", 10, .whole),
        ("bytes=0-0", 10, .range(0..<1)), ("bytes=2-4", 10, .range(2..<5)), ("bytes=2-", 10, .range(2..<10)),
        ("bytes=2-99", 10, .range(2..<10)), ("bytes=9-9", 10, .range(9..<10)),
        ("bytes=10-", 10, .unsatisfiable), ("bytes=10-12", 10, .unsatisfiable), ("bytes=0-", 0, .unsatisfiable),
        ("bytes=-3", 10, .range(7..<10)), ("bytes=-99", 10, .range(0..<10)), ("bytes=-0", 10, .unsatisfiable),
        ("bytes=-3", 0, .unsatisfiable), ("bytes=-", 10, .whole), ("bytes=4-2", 10, .whole),
        ("bytes=0-1,4-5", 10, .whole), ("bytes=a-b", 10, .whole), ("bytes=--1", 10, .whole),
        ("bytes=0-9223372036854775807", 10, .range(0..<10)), ("bytes=-9223372036854775807", 10, .range(0..<10)),
        ("bytes=0-9223372036854775808", 10, .whole), ("bytes=99999999999999999999-", 10, .whole),
    ]

    @Test("a range is taken as RFC 9110 §14.1.2 says, and what is no range is the whole", arguments: cases.indices)
    func parse(index: Int) {
        let (header, bytes, expected) = Self.cases[index]
        #expect(ByteRange.parse(header, of: bytes) == expected, "\(header ?? "none") of \(bytes)")
    }
}
