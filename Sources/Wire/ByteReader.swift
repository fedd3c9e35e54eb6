/// A cursor over received bytes that can fail but never trap.
///
/// Everything read from a wire or a disk goes through one. All multi-byte
/// integers are read in network byte order unless the name says otherwise.
public struct ByteReader: Sendable {
    private let bytes: ArraySlice<UInt8>
    /// How many bytes have been consumed.
    public private(set) var offset = 0

    public init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }
    public init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

    /// How many bytes are left.
    public var remaining: Int { bytes.count - offset }
    public var isAtEnd: Bool { remaining == 0 }

    /// Moves to an absolute position, in bytes from the start.
    public mutating func seek(to position: Int) throws(TruncatedError) {
        guard position >= 0, position <= bytes.count else {
            throw TruncatedError(offset: offset, wanted: position, available: bytes.count)
        }
        offset = position
    }

    public mutating func skip(_ count: Int) throws(TruncatedError) {
        _ = try read(count)
    }

    /// The next `count` bytes, or an error that says how many there were.
    public mutating func read(_ count: Int) throws(TruncatedError) -> ArraySlice<UInt8> {
        guard count >= 0, count <= remaining else {
            throw TruncatedError(offset: offset, wanted: count, available: remaining)
        }
        let start = bytes.startIndex + offset
        offset += count
        return bytes[start..<start + count]
    }

    public mutating func readRest() -> ArraySlice<UInt8> {
        let start = bytes.startIndex + offset
        offset = bytes.count
        return bytes[start...]
    }

    public mutating func readUInt8() throws(TruncatedError) -> UInt8 {
        let slice = try read(1)
        return slice[slice.startIndex]
    }

    public mutating func readUInt16() throws(TruncatedError) -> UInt16 { try readBigEndian() }
    public mutating func readUInt32() throws(TruncatedError) -> UInt32 { try readBigEndian() }
    public mutating func readUInt64() throws(TruncatedError) -> UInt64 { try readBigEndian() }
    public mutating func readUInt16LE() throws(TruncatedError) -> UInt16 { try readUInt16().byteSwapped }
    public mutating func readUInt32LE() throws(TruncatedError) -> UInt32 { try readUInt32().byteSwapped }
    public mutating func readUInt64LE() throws(TruncatedError) -> UInt64 { try readUInt64().byteSwapped }

    private mutating func readBigEndian<T: FixedWidthInteger>() throws(TruncatedError) -> T {
        let slice = try read(MemoryLayout<T>.size)
        var value: T = 0
        for byte in slice { value = value << 8 | T(truncatingIfNeeded: byte) }
        return value
    }
}

/// Fewer bytes were there than the format needs.
public struct TruncatedError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Position in bytes at which the read was tried.
    public let offset: Int
    public let wanted: Int
    public let available: Int

    public init(offset: Int, wanted: Int, available: Int) {
        self.offset = offset
        self.wanted = wanted
        self.available = available
    }

    public var description: String {
        "truncated at byte \(offset): \(wanted) wanted, \(available) there"
    }
}
