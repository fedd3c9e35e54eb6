internal import Model
internal import Wire

/// The program that starts one machine's system from its disk: a file of the boot folder, with the name of the installation
/// written into the copy that is sent. The copy's own name says all that is written: nothing is looked up for it.
enum DiskLoader: Equatable, Sendable {
    /// For UEFI: looks for the seed that has a file with the operation's id.
    case uefi(OperationID)
    /// For a BIOS: looks for the disk that has the marker.
    case bios(BootMark)

    static let uefiTemplate = "local-disk.efi"
    static let biosTemplate = "local-disk.0"
    private static let prefix = "local-disk-"

    /// The largest file that a copy is made of, in bytes; GRUB has 600 KB.
    static let limitBytes = 4 << 20
    /// What stands where the operation's id goes; an id has 40 characters at most.
    static let operationPlace = [UInt8](repeating: UInt8(ascii: "@"), count: 48)
    /// What stands before the place of the marker's sector (8 bytes, little-endian) and its beginning.
    static let markPlace = Array("HSTLRTGT".utf8)

    /// From a file's name; nil: it is not such a copy's.
    init?(name: some StringProtocol) {
        guard name.hasPrefix(Self.prefix) else { return nil }
        let rest = name.dropFirst(Self.prefix.count)
        if rest.hasSuffix(".efi"), let id = OperationID(rawValue: String(rest.dropLast(4))) {
            self = .uefi(id)
        } else if rest.hasSuffix(".0") {
            let parts = rest.dropLast(2).split(separator: "-", omittingEmptySubsequences: false)
            guard parts.count == 2, let sector = UInt64(parts[0], radix: 16), let mark = BootMark(sector: sector, head: String(parts[1])),
                // One name for one copy.
                Self.bios(mark).name == name
            else { return nil }
            self = .bios(mark)
        } else {
            return nil
        }
    }

    var name: String {
        switch self {
        case .uefi(let id): "\(Self.prefix)\(id).efi"
        case .bios(let mark): "\(Self.prefix)\(String(mark.sector, radix: 16))-\(mark.head).0"
        }
    }

    /// The file that copies are made of.
    var template: String {
        switch self {
        case .uefi: Self.uefiTemplate
        case .bios: Self.biosTemplate
        }
    }

    /// What is written over the file, and where; nil: the file has no place for it, and is sent as it is.
    func patch(of file: [UInt8]) -> Patch? {
        let marker = Self.find(place, in: file)
        guard let offset = marker.map({ isBIOS ? $0 + place.count : $0 }), offset + content.count <= file.count else { return nil }
        return Patch(offset: offset, bytes: content)
    }

    private var isBIOS: Bool { if case .bios = self { true } else { false } }
    private var place: [UInt8] { isBIOS ? Self.markPlace : Self.operationPlace }

    /// What is written.
    var content: [UInt8] {
        switch self {
        case .uefi(let id): Array(id.rawValue.utf8)
        case .bios(let mark): withUnsafeBytes(of: mark.sector.littleEndian) { Array($0) } + (Hex.decode(mark.head) ?? [])
        }
    }

    struct Patch: Equatable, Sendable {
        let offset: Int
        let bytes: [UInt8]

        /// Writes the part of the patch that lies in `range` of the file over `piece`, which is that range.
        func apply(to piece: inout [UInt8], of range: Range<UInt64>) {
            for (index, byte) in bytes.enumerated() {
                let place = UInt64(offset + index)
                if range.contains(place) { piece[Int(place - range.lowerBound)] = byte }
            }
        }
    }

    private static func find(_ wanted: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count >= wanted.count else { return nil }
        return (0...bytes.count - wanted.count).first { start in
            bytes[start] == wanted[0] && bytes[start..<start + wanted.count].elementsEqual(wanted)
        }
    }
}
