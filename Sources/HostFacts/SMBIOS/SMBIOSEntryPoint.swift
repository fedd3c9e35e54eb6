public import Wire

/// Why an SMBIOS entry point or structure table could not be read.
public enum SMBIOSParseError: Error, Equatable, Sendable, CustomStringConvertible {
    case truncated(TruncatedError)
    /// Neither `_SM_` nor `_SM3_` stands at the start.
    case noAnchor
    /// The bytes of the entry point do not sum to zero.
    case badChecksum
    /// The entry point says it is of a length that no version has.
    case badLength(Int)
    /// A structure's header gives a length under four bytes.
    case badStructureLength(Int, offset: Int)
    /// A structure's string set has no end (DSP0134 §6.1.3).
    case unterminatedStrings(offset: Int)
    /// More structures than any real table has.
    case tooManyStructures(limit: Int)

    public var description: String {
        switch self {
        case .truncated(let error): "SMBIOS \(error)"
        case .noAnchor: "no SMBIOS anchor string"
        case .badChecksum: "SMBIOS entry point: wrong checksum"
        case .badLength(let length): "SMBIOS entry point of \(length) bytes"
        case .badStructureLength(let length, let offset): "SMBIOS structure of \(length) bytes at byte \(offset)"
        case .unterminatedStrings(let offset): "SMBIOS structure at byte \(offset): its strings have no end"
        case .tooManyStructures(let limit): "more than \(limit) SMBIOS structures"
        }
    }
}

/// The SMBIOS entry point: where the structure table is (DSP0134 §5.2).
///
/// Linux shows it as `/sys/firmware/dmi/tables/smbios_entry_point`.
public struct SMBIOSEntryPoint: Equatable, Sendable {
    public let majorVersion: UInt8
    public let minorVersion: UInt8
    /// Physical address of the table.
    public let tableAddress: UInt64
    /// Length of the table in bytes; for 3.0 an upper limit.
    public let tableBytes: Int
    /// How many structures there are; the 3.0 entry point does not say.
    public let structureCount: Int?

    public var version: String { "\(majorVersion).\(minorVersion)" }

    public init(parsing bytes: [UInt8]) throws(SMBIOSParseError) {
        if bytes.starts(with: Array("_SM3_".utf8)) {
            try self.init(version3: bytes)
        } else if bytes.starts(with: Array("_SM_".utf8)) {
            try self.init(version2: bytes)
        } else {
            throw .noAnchor
        }
    }

    /// DSP0134 §5.2.2, 24 bytes.
    private init(version3 bytes: [UInt8]) throws(SMBIOSParseError) {
        let checked = try Self.checked(bytes, lengthAt: 6, allowed: 0x18...0x40)
        majorVersion = checked[7]
        minorVersion = checked[8]
        structureCount = nil
        do throws(TruncatedError) {
            var reader = ByteReader(checked)
            try reader.skip(0x0c)
            tableBytes = Int(try reader.readUInt32LE())
            tableAddress = try reader.readUInt64LE()
        } catch { throw .truncated(error) }
    }

    /// DSP0134 §5.2.1, 31 bytes; firmware of SMBIOS 2.1 wrongly says 30.
    private init(version2 bytes: [UInt8]) throws(SMBIOSParseError) {
        let checked = try Self.checked(bytes, lengthAt: 5, allowed: 0x1e...0x1f)
        majorVersion = checked[6]
        minorVersion = checked[7]
        do throws(TruncatedError) {
            var reader = ByteReader(checked)
            try reader.skip(0x16)
            tableBytes = Int(try reader.readUInt16LE())
            tableAddress = UInt64(try reader.readUInt32LE())
            structureCount = Int(try reader.readUInt16LE())
        } catch { throw .truncated(error) }
    }

    /// The bytes that the entry point covers, once their checksum holds.
    private static func checked(
        _ bytes: [UInt8], lengthAt position: Int, allowed: ClosedRange<Int>
    ) throws(SMBIOSParseError) -> [UInt8] {
        guard bytes.count > position else {
            throw .truncated(TruncatedError(offset: position, wanted: 1, available: 0))
        }
        let length = Int(bytes[position])
        guard allowed.contains(length) else { throw .badLength(length) }
        guard bytes.count >= length else {
            throw .truncated(TruncatedError(offset: 0, wanted: length, available: bytes.count))
        }
        guard bytes[..<length].reduce(0, &+) == 0 else { throw .badChecksum }
        return Array(bytes[..<length])
    }
}
