public import Wire

/// A cursor over a TPM's marshalled structures (TPM 2.0 Library Part 1 §B,
/// big-endian). Every failure is a ``TPMFormatError``.
struct TPMReader {
    private var reader: ByteReader

    init(_ bytes: ArraySlice<UInt8>) { reader = ByteReader(bytes) }
    init(_ bytes: [UInt8]) { reader = ByteReader(bytes) }

    var isAtEnd: Bool { reader.isAtEnd }
    var offset: Int { reader.offset }

    mutating func u8() throws(TPMFormatError) -> UInt8 {
        do { return try reader.readUInt8() } catch { throw TPMFormatError("\(error)") }
    }
    mutating func u16() throws(TPMFormatError) -> UInt16 {
        do { return try reader.readUInt16() } catch { throw TPMFormatError("\(error)") }
    }
    mutating func u32() throws(TPMFormatError) -> UInt32 {
        do { return try reader.readUInt32() } catch { throw TPMFormatError("\(error)") }
    }
    mutating func u64() throws(TPMFormatError) -> UInt64 {
        do { return try reader.readUInt64() } catch { throw TPMFormatError("\(error)") }
    }
    mutating func bytes(_ count: Int) throws(TPMFormatError) -> [UInt8] {
        do { return Array(try reader.read(count)) } catch { throw TPMFormatError("\(error)") }
    }
    mutating func algorithm() throws(TPMFormatError) -> TPMAlgorithm { TPMAlgorithm(rawValue: try u16()) }

    /// A TPM2B: a size in 16 bits and the bytes (Part 2 §10.4).
    mutating func sized(limit: Int) throws(TPMFormatError) -> [UInt8] {
        let count = Int(try u16())
        guard count <= limit else { throw TPMFormatError("a field of \(count) bytes where \(limit) are allowed") }
        return try bytes(count)
    }

    func finish() throws(TPMFormatError) {
        guard isAtEnd else { throw TPMFormatError("\(reader.remaining) bytes too many") }
    }
}

extension ByteWriter {
    /// A TPM2B (Part 2 §10.4). `bytes` has fewer than 65,536.
    public mutating func writeSized(_ bytes: some Collection<UInt8>) {
        write(UInt16(truncatingIfNeeded: bytes.count))
        write(bytes)
    }

    public mutating func write(_ algorithm: TPMAlgorithm) { write(algorithm.rawValue) }
}
