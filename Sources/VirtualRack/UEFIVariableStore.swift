internal import Wire

/// The variables of an OVMF_VARS image: an EFI firmware volume (PI 1.7 volume
/// 3, §3.2.1) with an authenticated variable store (EDK2's
/// `AuthenticatedVariableFormat.h`). Changes what the firmware finds at its
/// next start; the firmware itself tidies up.
struct UEFIVariableStore: Sendable {
    enum Failure: Error, Hashable, Sendable {
        case notAVolume
        case unknownFormat
        /// The firmware makes room at its next start.
        case full
    }

    struct Variable: Hashable, Sendable {
        var name: String
        var vendor: [UInt8]
        var attributes: UInt32
        var data: [UInt8]
    }

    /// 8be4df61-93ca-11d2-aa0d-00e098032b8c: EFI_GLOBAL_VARIABLE.
    static let global: [UInt8] = [
        0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
    ]
    /// Non-volatile, boot service access, runtime access.
    static let persistent: UInt32 = 7

    /// aaf32c78-947b-439a-a180-2e144ec37792: the authenticated format.
    private static let format: [UInt8] = [
        0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92,
    ]
    private static let startID: UInt16 = 0x55aa
    private static let headerBytes = 60
    private static let added: UInt8 = 0x3f
    /// Cleared in the state of a variable that is gone.
    private static let deletedBit: UInt8 = 0x02

    private(set) var image: [UInt8]
    private let first: Int
    private let end: Int

    init(image: [UInt8]) throws(Failure) {
        guard image.count > 128, Array(image[40..<44]) == Array("_FVH".utf8) else { throw .notAVolume }
        let header = Int(Self.read16(image, 48))
        guard header >= 56, header + 28 < image.count, Array(image[header..<header + 16]) == Self.format else {
            throw .unknownFormat
        }
        let size = Int(Self.read32(image, header + 16))
        // Formatted (0x5a) and healthy (0xfe).
        guard image[header + 20] == 0x5a, image[header + 21] == 0xfe, size > 28, header + size <= image.count else {
            throw .unknownFormat
        }
        self.image = image
        first = header + 28
        end = header + size
    }

    /// Those that the firmware would find.
    var variables: [Variable] {
        places.filter { $0.isAlive }.map { place in
            let name = place.offset + Self.headerBytes
            let units = stride(from: name, to: name + place.nameBytes - 2, by: 2).map { Self.read16(image, $0) }
            let data = name + place.nameBytes
            return Variable(
                name: String(decoding: units, as: UTF16.self),
                vendor: Array(image[place.offset + 44..<place.offset + 60]),
                attributes: Self.read32(image, place.offset + 4), data: Array(image[data..<data + place.dataBytes]))
        }
    }

    /// Adds it; one of the same name and vendor gives way.
    mutating func set(_ variable: Variable) throws(Failure) {
        remove(variable.name, vendor: variable.vendor)
        let start = places.last.map(\.next) ?? first
        let name = Array(variable.name.utf16) + [0]
        var bytes = Self.bytes(Self.startID) + [Self.added, 0] + Self.bytes(variable.attributes)
        // Monotonic count, time stamp and key index are for variables that are signed.
        bytes += [UInt8](repeating: 0, count: 28)
        bytes += Self.bytes(UInt32(name.count * 2)) + Self.bytes(UInt32(variable.data.count)) + variable.vendor
        for unit in name { bytes += Self.bytes(unit) }
        bytes += variable.data
        guard start + bytes.count + 4 <= end else { throw .full }
        image.replaceSubrange(start..<start + bytes.count, with: bytes)
    }

    mutating func remove(_ name: String, vendor: [UInt8] = UEFIVariableStore.global) {
        let wanted = (Array(name.utf16) + [0]).flatMap { Self.bytes($0) }
        for place in places where place.isAlive {
            let start = place.offset + Self.headerBytes
            guard Array(image[start..<start + place.nameBytes]) == wanted,
                Array(image[place.offset + 44..<place.offset + 60]) == vendor
            else { continue }
            image[place.offset + 2] &= ~Self.deletedBit
        }
    }

    // MARK: Places

    private struct Place {
        let offset: Int
        let nameBytes: Int
        let dataBytes: Int
        let isAlive: Bool
        /// The next variable's: aligned to 4.
        var next: Int { (offset + UEFIVariableStore.headerBytes + nameBytes + dataBytes + 3) & ~3 }
    }

    /// All headers up to the free space; one that does not fit ends the list.
    private var places: [Place] {
        var found: [Place] = []
        var offset = first
        while offset + Self.headerBytes <= end, Self.read16(image, offset) == Self.startID {
            let name = Int(Self.read32(image, offset + 36))
            let data = Int(Self.read32(image, offset + 40))
            guard name >= 2, name.isMultiple(of: 2), offset + Self.headerBytes + name + data <= end else { break }
            let place = Place(
                offset: offset, nameBytes: name, dataBytes: data, isAlive: image[offset + 2] == Self.added)
            found.append(place)
            offset = place.next
        }
        return found
    }

    private static func read16(_ bytes: [UInt8], _ offset: Int) -> UInt16 {
        UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8
    }

    private static func read32(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        UInt32(read16(bytes, offset)) | UInt32(read16(bytes, offset + 2)) << 16
    }

    private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
}

extension UEFIVariableStore {
    /// The number of the boot option that is a BMC's, far from those that firmware counts up from 0.
    static let httpBootOption: UInt16 = 0x7077

    /// Makes the firmware start this URI at its next start, once (UEFI 2.10 §3.1.2 BootNext). The option's
    /// device path is the URI alone (§3.1.2, short form): the firmware tries it on each network card.
    mutating func setNextBoot(httpURI: String) throws(Failure) {
        let uri = Array(httpURI.utf8)
        // Messaging, URI (UEFI 2.10 §10.3.4.24); end of the path.
        let path = [3, 24] + Self.bytes(UInt16(4 + uri.count)) + uri + [0x7f, 0xff, 4, 0]
        // EFI_LOAD_OPTION (§3.1.3): active, path length, description.
        var option = Self.bytes(UInt32(1)) + Self.bytes(UInt16(path.count))
        for unit in Array("BMC HTTP boot".utf16) + [0] { option += Self.bytes(unit) }
        option += path
        let name = "Boot" + Hex.encode([UInt8(Self.httpBootOption >> 8), UInt8(Self.httpBootOption & 0xff)]).uppercased()
        try set(Variable(name: name, vendor: Self.global, attributes: Self.persistent, data: option))
        try set(
            Variable(
                name: "BootNext", vendor: Self.global, attributes: Self.persistent,
                data: Self.bytes(Self.httpBootOption)))
    }

    mutating func clearNextBoot() { remove("BootNext") }
}
