public import Wire

/// Why a frame is no LLDP frame.
public enum LLDPParseError: Error, Equatable, Sendable, CustomStringConvertible {
    case truncated(TruncatedError)
    /// The EtherType is another than 0x88cc.
    case notLLDP(etherType: UInt16)
    /// Chassis ID, Port ID and TTL have to come first, in this order (IEEE 802.1AB §8.2).
    case wrongOrder(type: UInt8, position: Int)
    /// A mandatory TLV has a length that it cannot have.
    case badLength(type: UInt8, length: Int)

    public var description: String {
        switch self {
        case .truncated(let error): "LLDP frame \(error)"
        case .notLLDP(let type): "not LLDP: EtherType 0x\(hex(type, 4))"
        case .wrongOrder(let type, let position): "LLDP: TLV type \(type) in place \(position)"
        case .badLength(let type, let length): "LLDP: TLV type \(type) of \(length) bytes"
        }
    }
}

/// What a neighbour says of itself, mostly the switch at the other end of the
/// cable (IEEE 802.1AB §8). All text is made safe to show.
public struct LLDPDataUnit: Equatable, Sendable {
    /// The switch: MAC address, name or address, whatever its subtype, as text.
    public let chassisID: String
    /// The port, as text.
    public let portID: String
    /// How long this holds; 0 says that the neighbour leaves.
    public let timeToLiveSeconds: UInt16
    public private(set) var portDescription: String?
    public private(set) var systemName: String?
    public private(set) var systemDescription: String?
    /// What the neighbour does, such as `[.bridge, .router]`.
    public private(set) var capabilities: Set<LLDPCapability> = []
    public private(set) var managementAddresses: [String] = []
    /// The port's untagged VLAN (802.1 PVID); nil where the neighbour has none or does not tell.
    public private(set) var portVLAN: UInt16?
    /// VLANs with the names that the neighbour gives them.
    public private(set) var vlanNames: [UInt16: String] = [:]
    /// Link aggregation: whether the port can, whether it does, and as which aggregate.
    public private(set) var aggregation: LLDPAggregation?
    /// In bytes with the Ethernet header and checksum (802.3 §79.3.4).
    public private(set) var maximumFrameBytes: Int?

    public static let etherType: UInt16 = 0x88cc

    /// A whole Ethernet frame, with up to two VLAN tags before the EtherType.
    public init(parsingFrame frame: [UInt8]) throws(LLDPParseError) {
        var reader = ByteReader(frame)
        var type: UInt16
        do throws(TruncatedError) {
            try reader.skip(12)
            type = try reader.readUInt16()
            for _ in 0..<2 where type == 0x8100 || type == 0x88a8 {
                try reader.skip(2)
                type = try reader.readUInt16()
            }
        } catch { throw .truncated(error) }
        guard type == Self.etherType else { throw .notLLDP(etherType: type) }
        try self.init(parsing: Array(reader.readRest()))
    }

    /// The data unit, what follows the EtherType. An optional TLV that makes
    /// no sense is left out; the mandatory ones must be right.
    public init(parsing bytes: [UInt8]) throws(LLDPParseError) {
        var reader = ByteReader(bytes)
        let chassis = try Self.mandatory(1, in: &reader, lengths: 2...256)
        let port = try Self.mandatory(2, in: &reader, lengths: 2...256)
        let lifetime = try Self.mandatory(3, in: &reader, lengths: 2...511)
        chassisID = Self.identifier(chassis, macSubtype: 4, networkSubtype: 5)
        portID = Self.identifier(port, macSubtype: 3, networkSubtype: 4)
        timeToLiveSeconds = UInt16(lifetime[0]) << 8 | UInt16(lifetime[1])
        while !reader.isAtEnd {
            let (type, value) = try Self.next(&reader)
            if type == 0 { break }
            read(type, value)
        }
    }

    private static func next(_ reader: inout ByteReader) throws(LLDPParseError) -> (UInt8, [UInt8]) {
        do throws(TruncatedError) {
            let header = try reader.readUInt16()
            return (UInt8(header >> 9), Array(try reader.read(Int(header & 0x1ff))))
        } catch { throw .truncated(error) }
    }

    private static func mandatory(
        _ wanted: UInt8, in reader: inout ByteReader, lengths: ClosedRange<Int>
    ) throws(LLDPParseError) -> [UInt8] {
        let (type, value) = try next(&reader)
        guard type == wanted else { throw .wrongOrder(type: type, position: Int(wanted)) }
        guard lengths.contains(value.count) else { throw .badLength(type: type, length: value.count) }
        return value
    }

    private mutating func read(_ type: UInt8, _ value: [UInt8]) {
        switch type {
        case 4: portDescription = Self.text(value)
        case 5: systemName = Self.text(value)
        case 6: systemDescription = Self.text(value)
        case 7 where value.count >= 4:
            // System capabilities, then the enabled ones; the enabled ones count (§8.5.8).
            let enabled = UInt16(value[2]) << 8 | UInt16(value[3])
            capabilities = Set(LLDPCapability.allCases.filter { enabled >> $0.rawValue & 1 == 1 })
        case 8:
            // Length of subtype and address, subtype, address (§8.5.9).
            if let length = value.first, length >= 2, value.count > Int(length) {
                managementAddresses.append(Self.address(family: value[1], value[2...Int(length)]))
            }
        case 127 where value.count >= 4: readOrganisation(Array(value[..<3]), value[3], Array(value[4...]))
        default: break
        }
    }

    private mutating func readOrganisation(_ oui: [UInt8], _ subtype: UInt8, _ value: [UInt8]) {
        switch (oui, subtype) {
        case ([0x00, 0x80, 0xc2], 1) where value.count >= 2:
            let vlan = UInt16(value[0]) << 8 | UInt16(value[1])
            portVLAN = (1...4094).contains(vlan) ? vlan : nil
        case ([0x00, 0x80, 0xc2], 3) where value.count >= 3:
            let vlan = UInt16(value[0]) << 8 | UInt16(value[1])
            vlanNames[vlan] = FirmwareText.decode(value[3...].prefix(Int(value[2])))
        case ([0x00, 0x80, 0xc2], 7) where value.count >= 5, ([0x00, 0x12, 0x0f], 3) where value.count >= 5:
            // The same TLV, moved from 802.3 to 802.1.
            let port = value[1...4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            aggregation = LLDPAggregation(isCapable: value[0] & 1 != 0, isEnabled: value[0] & 2 != 0, portID: port)
        case ([0x00, 0x12, 0x0f], 4) where value.count >= 2:
            maximumFrameBytes = Int(value[0]) << 8 | Int(value[1])
        default: break
        }
    }

    /// §8.5.2 and §8.5.3: a subtype byte, then the identifier.
    private static func identifier(_ value: [UInt8], macSubtype: UInt8, networkSubtype: UInt8) -> String {
        let content = value.dropFirst()
        switch value[0] {
        case macSubtype: return MACAddress(content)?.description ?? Hex.encode(content)
        case networkSubtype: return address(family: content[1], content.dropFirst())
        default:
            let text = FirmwareText.decode(content)
            // Some switches send raw bytes as "locally assigned".
            return text.isEmpty || text.unicodeScalars.contains("\u{fffd}") ? Hex.encode(content) : text
        }
    }

    /// IANA address family numbers: 1 IPv4, 2 IPv6, 6 all 802 media.
    private static func address(family: UInt8, _ bytes: some Collection<UInt8>) -> String {
        switch (family, bytes.count) {
        case (1, 4): return IPv4Address(bytes)?.description ?? Hex.encode(bytes)
        case (2, 16):
            let all = Array(bytes)
            return stride(from: 0, to: 16, by: 2)
                .map { String(UInt16(all[$0]) << 8 | UInt16(all[$0 + 1]), radix: 16) }.joined(separator: ":")
        case (6, 6): return MACAddress(bytes)?.description ?? Hex.encode(bytes)
        default: return Hex.encode(bytes)
        }
    }

    private static func text(_ value: [UInt8]) -> String? {
        let text = FirmwareText.decode(value)
        return text.isEmpty ? nil : text
    }
}

/// What a neighbour does; the raw value is the bit of IEEE 802.1AB table 8-4.
public enum LLDPCapability: Int, CaseIterable, Sendable {
    case other, repeater, bridge, accessPoint, router, telephone, cableDevice, station, customerVLAN, serviceVLAN
    case twoPortRelay
}

/// A neighbour's link aggregation state of the port (IEEE 802.1AX).
public struct LLDPAggregation: Equatable, Sendable {
    public let isCapable: Bool
    public let isEnabled: Bool
    /// Interface number of the aggregate; 0 where there is none.
    public let portID: UInt32
}
