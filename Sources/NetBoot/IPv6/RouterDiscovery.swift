public import Wire

/// A message of IPv6 router discovery, without its checksum, which the kernel makes and checks (RFC 4861 §4.1, §4.2).
public enum RouterDiscovery: Equatable, Sendable {
    /// A host asks which routers there are. `source`: the link-layer address that it gives, of six bytes.
    case solicitation(source: MACAddress?)
    /// A router says that it is there. `lifetimeSeconds`: how long it is a default router; 0: it is none.
    case advertisement(lifetimeSeconds: UInt16)

    private enum MessageType {
        static let solicitation: UInt8 = 133
        static let advertisement: UInt8 = 134
    }

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
        case MessageType.solicitation:
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
        case MessageType.advertisement:
            try reader.skip(2)
            let lifetime = try reader.readUInt16()
            try reader.skip(8)
            return .advertisement(lifetimeSeconds: lifetime)
        default:
            return nil
        }
    }

    /// An advertisement that says nothing: no router, no prefix, no DHCPv6, no hop limit (RFC 4861 §4.2). Whoever
    /// waits for a router hears that it need not, and nothing of its configuration changes.
    public static let nothingHere: [UInt8] = {
        var writer = ByteWriter(reservingCapacity: 16)
        writer.write(MessageType.advertisement)
        writer.writeZeros(15)
        return writer.bytes
    }()

    /// The same, and that the /64 of `prefix` is on this link for as long as the link is up, so that machines reach an
    /// address in it. None gets one of its own there, and none another router (RFC 4861 §4.6.2: on-link, not autonomous).
    public static func onLink(_ prefix: IPv6Address) -> [UInt8] {
        var writer = ByteWriter(reservingCapacity: 48)
        writer.write(nothingHere)
        writer.write(PrefixInformation.kind)
        writer.write(PrefixInformation.blocks)
        writer.write(UInt8(64))
        writer.write(PrefixInformation.isOnLink)
        writer.write(UInt32.max)
        writer.write(UInt32.max)
        writer.writeZeros(4)
        writer.write(prefix.bytes.prefix(8))
        writer.writeZeros(8)
        return writer.bytes
    }

    private enum PrefixInformation {
        static let kind: UInt8 = 3
        /// Of eight bytes.
        static let blocks: UInt8 = 4
        static let isOnLink: UInt8 = 0x80
    }
}
