/// Collects the bytes of a message; integers go out in network byte order
/// unless the name says otherwise.
public struct ByteWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init(reservingCapacity capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    public var count: Int { bytes.count }

    public mutating func write(_ value: UInt8) { bytes.append(value) }
    public mutating func write(_ value: UInt16) { writeBigEndian(value) }
    public mutating func write(_ value: UInt32) { writeBigEndian(value) }
    public mutating func write(_ value: UInt64) { writeBigEndian(value) }
    public mutating func writeLE(_ value: UInt16) { writeBigEndian(value.byteSwapped) }
    public mutating func writeLE(_ value: UInt32) { writeBigEndian(value.byteSwapped) }
    public mutating func writeLE(_ value: UInt64) { writeBigEndian(value.byteSwapped) }

    public mutating func write(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

    /// Writes `value` cut or padded with zeros to exactly `count` bytes.
    public mutating func write(_ value: some Collection<UInt8>, paddedTo count: Int) {
        bytes.append(contentsOf: value.prefix(count))
        writeZeros(max(0, count - value.count))
    }

    public mutating func writeZeros(_ count: Int) {
        bytes.append(contentsOf: repeatElement(0, count: max(0, count)))
    }

    /// Replaces bytes already written, as for a checksum. The range must exist.
    public mutating func overwrite(at position: Int, with more: some Collection<UInt8>) {
        precondition(position >= 0 && position + more.count <= bytes.count)
        bytes.replaceSubrange(position..<position + more.count, with: more)
    }

    private mutating func writeBigEndian<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }
}
