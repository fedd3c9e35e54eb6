public import Wire

/// A message of IPv6 router discovery, without its checksum, which the kernel makes and checks (RFC 4861 §4.1, §4.2).
public enum RouterDiscovery: Equatable, Sendable {
    /// A host asks which routers there are. `source`: the link-layer address that it gives, of six bytes.
    case solicitation(source: MACAddress?)
    /// A router says that it is there. `lifetimeSeconds`: how long it is a default router; 0: it is none.
    case advertisement(lifetimeSeconds: UInt16)

    private static let solicitationType: UInt8 = 133
    /// An option's type, RFC 4861 §4.6.1.
    private static let sourceLinkLayerAddress: UInt8 = 1

    /// Nil for what is not such a message, or is cut off, or has an option of length 0 (RFC 4861 §6.1.1, §6.1.2).
    public init?(parsing bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let message = try? Self.read(&reader) else { return nil }
        self = message
    }

    private static func read(_ reader: inout ByteReader) throws(TruncatedError) -> RouterDiscovery? {
        let type = try reader.readUInt8()
        let code = try reader.readUInt8()
        try reader.skip(2)
        guard code == 0 else { return nil }
        switch type {
        case solicitationType:
            try reader.skip(4)
            var source: MACAddress?
            while !reader.isAtEnd {
                let kind = try reader.readUInt8()
                let blocks = try reader.readUInt8()
                guard blocks > 0 else { return nil }
                let value = try reader.read(Int(blocks) * 8 - 2)
                if kind == sourceLinkLayerAddress { source = MACAddress(value) }
            }
            return .solicitation(source: source)
        case RouterAdvertisement.type:
            try reader.skip(2)
            let lifetime = try reader.readUInt16()
            try reader.skip(8)
            return .advertisement(lifetimeSeconds: lifetime)
        default:
            return nil
        }
    }
}
