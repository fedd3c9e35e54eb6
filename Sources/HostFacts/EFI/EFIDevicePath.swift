import Wire

/// One node of an EFI device path (UEFI 2.10 §10.3).
public enum EFIDevicePathNode: Hashable, Sendable {
    /// HD(): a partition (§10.3.5.1).
    case hardDrive(EFIPartition)
    /// A file, `\EFI\BOOT\BOOTX64.EFI` (§10.3.5.4).
    case filePath(String)
    /// MAC(): where a network boot entry goes (§10.3.4.11).
    case macAddress([UInt8], interfaceType: UInt8)
    /// End of the whole path (§10.3.1), or of one instance of it.
    case end
    case endOfInstance
    /// Any other, kept as it is.
    case other(type: UInt8, subtype: UInt8, data: [UInt8])
}

/// The partition that an HD() node names.
public struct EFIPartition: Hashable, Sendable {
    /// From 1.
    public var number: UInt32
    /// In logical blocks of the disk.
    public var startBlock: UInt64
    public var blockCount: UInt64
    /// The partition's unique GUID.
    public var guid: FirmwareGUID

    public init(number: UInt32, startBlock: UInt64, blockCount: UInt64, guid: FirmwareGUID) {
        self.number = number
        self.startBlock = startBlock
        self.blockCount = blockCount
        self.guid = guid
    }
}

extension EFIDevicePathNode {
    /// Reads one node; a known node of an impossible form is kept as `other`.
    init(from reader: inout ByteReader) throws(TruncatedError) {
        let type = try reader.readUInt8()
        let subtype = try reader.readUInt8()
        let length = Int(try reader.readUInt16LE())
        // A node is never shorter than its header.
        guard length >= 4 else { throw TruncatedError(offset: reader.offset, wanted: 4, available: length) }
        let data = Array(try reader.read(length - 4))
        self = Self.known(type, subtype, data) ?? .other(type: type, subtype: subtype, data: data)
    }

    private static func known(_ type: UInt8, _ subtype: UInt8, _ data: [UInt8]) -> Self? {
        switch (type, subtype) {
        case (0x7f, 0xff) where data.isEmpty: .end
        case (0x7f, 0x01) where data.isEmpty: .endOfInstance
        // Partition format 2 is GPT, signature type 2 a GUID; an MBR's node stays as it is.
        case (4, 1) where data.count == 38 && data[36] == 2 && data[37] == 2:
            FirmwareGUID(data[20..<36]).map { guid in
                .hardDrive(
                    EFIPartition(
                        number: UInt32(truncatingIfNeeded: littleEndian(data[0..<4])),
                        startBlock: littleEndian(data[4..<12]), blockCount: littleEndian(data[12..<20]), guid: guid))
            }
        case (4, 4): UCS2.decodeTerminated(data).map { .filePath($0) }
        case (3, 11) where data.count == 33: .macAddress(Array(data[..<32]), interfaceType: data[32])
        default: nil
        }
    }

    private static func littleEndian(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    func write(to writer: inout ByteWriter) {
        switch self {
        case .end: Self.write(0x7f, 0xff, [], &writer)
        case .endOfInstance: Self.write(0x7f, 0x01, [], &writer)
        case .filePath(let path): Self.write(4, 4, UCS2.encodeTerminated(path), &writer)
        case .macAddress(let address, let kind):
            var data = ByteWriter()
            data.write(address, paddedTo: 32)
            data.write(kind)
            Self.write(3, 11, data.bytes, &writer)
        case .hardDrive(let partition):
            var data = ByteWriter()
            data.writeLE(partition.number)
            data.writeLE(partition.startBlock)
            data.writeLE(partition.blockCount)
            data.write(partition.guid.bytes)
            data.write([2, 2])
            Self.write(4, 1, data.bytes, &writer)
        case .other(let type, let subtype, let data): Self.write(type, subtype, data, &writer)
        }
    }

    /// `data` is cut at what the length field can say.
    private static func write(_ type: UInt8, _ subtype: UInt8, _ data: [UInt8], _ writer: inout ByteWriter) {
        let kept = data.prefix(Int(UInt16.max) - 4)
        writer.write(type)
        writer.write(subtype)
        writer.writeLE(UInt16(kept.count + 4))
        writer.write(kept)
    }
}

/// UEFI's strings: UTF-16 little-endian with a NUL at the end (UEFI 2.10 §2.3.1).
enum UCS2 {
    static func encodeTerminated(_ text: String) -> [UInt8] {
        (text.utf16.filter { $0 != 0 } + [0]).flatMap {
            [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)]
        }
    }

    /// Exactly one string with its NUL at the very end, and none other, so that what is written again is
    /// what was read; else nil.
    static func decodeTerminated(_ bytes: [UInt8]) -> String? {
        guard bytes.count >= 2, bytes.count.isMultiple(of: 2) else { return nil }
        let text = decode(bytes.dropLast(2))
        return encodeTerminated(text) == bytes ? text : nil
    }

    static func decode(_ bytes: ArraySlice<UInt8>) -> String {
        let start = bytes.startIndex
        let units = stride(from: start, to: bytes.endIndex - 1, by: 2).map {
            UInt16(bytes[$0 + 1]) << 8 | UInt16(bytes[$0])
        }
        return String(decoding: units, as: UTF16.self)
    }
}
