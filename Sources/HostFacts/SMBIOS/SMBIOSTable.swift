/// One structure of the SMBIOS table: its fixed part and its strings (DSP0134 §6.1).
public struct SMBIOSStructure: Equatable, Sendable {
    public let type: UInt8
    public let handle: UInt16
    /// The fixed part with its four header bytes, so that offsets are the specification's.
    public let bytes: [UInt8]
    /// The strings as stored; string number n of the specification is element n-1.
    public let strings: [String]

    public init(type: UInt8, handle: UInt16, bytes: [UInt8], strings: [String]) {
        self.type = type
        self.handle = handle
        self.bytes = bytes
        self.strings = strings
    }

    /// The byte at a specification offset; nil where this older structure ends before it.
    func byte(_ offset: Int) -> UInt8? { offset < bytes.count ? bytes[offset] : nil }

    func word(_ offset: Int) -> UInt16? { littleEndian(offset) }
    func doubleWord(_ offset: Int) -> UInt32? { littleEndian(offset) }
    func quadWord(_ offset: Int) -> UInt64? { littleEndian(offset) }

    private func littleEndian<T: FixedWidthInteger>(_ offset: Int) -> T? {
        let size = MemoryLayout<T>.size
        guard offset >= 0, offset + size <= bytes.count else { return nil }
        return bytes[offset..<offset + size].reversed().reduce(0) { $0 << 8 | T(truncatingIfNeeded: $1) }
    }

    func slice(_ offset: Int, _ count: Int) -> ArraySlice<UInt8>? {
        guard offset >= 0, count >= 0, offset + count <= bytes.count else { return nil }
        return bytes[offset..<offset + count]
    }

    /// The string whose number stands at `offset`, or nil where there is none or vendor's filler.
    func string(at offset: Int) -> String? {
        guard let number = byte(offset), number > 0, Int(number) <= strings.count else { return nil }
        return FirmwareText.meaningful(strings[Int(number) - 1])
    }
}

/// The structure table, `/sys/firmware/dmi/tables/DMI` (DSP0134 §6).
///
/// A damaged table yields the structures before the damage, and the damage.
public struct SMBIOSTable: Equatable, Sendable {
    public let structures: [SMBIOSStructure]
    /// What stopped the walk, or nil where it reached the end.
    public let damage: SMBIOSParseError?

    /// No real table comes near it; big servers have some hundreds.
    public static let structureLimit = 8192

    public init(parsing bytes: [UInt8], entryPoint: SMBIOSEntryPoint? = nil) {
        let end = min(bytes.count, entryPoint?.tableBytes ?? bytes.count)
        var structures: [SMBIOSStructure] = []
        var offset = 0
        var damage: SMBIOSParseError?
        while offset < end, structures.count < entryPoint?.structureCount ?? .max {
            guard structures.count < Self.structureLimit else {
                damage = .tooManyStructures(limit: Self.structureLimit)
                break
            }
            do throws(SMBIOSParseError) {
                let (structure, next) = try Self.structure(in: bytes[..<end], at: offset)
                structures.append(structure)
                offset = next
                if structure.type == 127 { break }
            } catch {
                damage = error
                break
            }
        }
        self.structures = structures
        self.damage = damage
    }

    public func structures(ofType type: UInt8) -> [SMBIOSStructure] { structures.filter { $0.type == type } }

    private static func structure(
        in bytes: ArraySlice<UInt8>, at offset: Int
    ) throws(SMBIOSParseError) -> (SMBIOSStructure, next: Int) {
        let available = bytes.endIndex - offset
        guard available >= 4 else {
            throw .truncated(.init(offset: offset, wanted: 4, available: available))
        }
        let length = Int(bytes[offset + 1])
        guard length >= 4 else { throw .badStructureLength(length, offset: offset) }
        guard available >= length else {
            throw .truncated(.init(offset: offset, wanted: length, available: available))
        }
        let (strings, next) = try strings(in: bytes, at: offset + length)
        let structure = SMBIOSStructure(
            type: bytes[offset], handle: UInt16(bytes[offset + 3]) << 8 | UInt16(bytes[offset + 2]),
            bytes: Array(bytes[offset..<offset + length]), strings: strings)
        return (structure, next)
    }

    /// Reads the NUL-ended strings after the fixed part, up to the double NUL (DSP0134 §6.1.3).
    private static func strings(
        in bytes: ArraySlice<UInt8>, at start: Int
    ) throws(SMBIOSParseError) -> ([String], next: Int) {
        var strings: [String] = []
        var position = start
        while let end = bytes[position...].firstIndex(of: 0) {
            if end == position {
                // An empty set is two NULs; after a string one NUL ends the set.
                guard strings.isEmpty else { return (strings, end + 1) }
                guard end + 1 < bytes.endIndex, bytes[end + 1] == 0 else { break }
                return ([], end + 2)
            }
            strings.append(FirmwareText.decode(bytes[position..<end]))
            position = end + 1
        }
        throw .unterminatedStrings(offset: start)
    }
}
