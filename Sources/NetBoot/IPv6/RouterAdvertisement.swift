public import Wire

/// A router advertisement (RFC 4861 §4.2) of somebody who is no router. It says nothing; or of one prefix that it is on
/// this link, so that machines reach an address in it, and have one of their own there.
public struct RouterAdvertisement: Sendable, Equatable {
    static let type: UInt8 = 134

    /// /64, as machines need it to make an address of their own (RFC 4862 §5.5.3).
    public var prefix: IPv6Address?
    /// How long the prefix is good without another advertisement; 0: not any more.
    public var lifetimeSeconds: UInt32

    public init(prefix: IPv6Address?, lifetimeSeconds: UInt32) {
        self.prefix = prefix
        self.lifetimeSeconds = lifetimeSeconds
    }

    /// No router, no prefix, no DHCPv6. Whoever waits for a router hears that it need not, and nothing of its
    /// configuration changes.
    public static let nothing = RouterAdvertisement(prefix: nil, lifetimeSeconds: 0)

    /// Without a checksum, which the kernel computes for a raw ICMPv6 socket (RFC 3542 §3.1).
    public var bytes: [UInt8] {
        var writer = ByteWriter(reservingCapacity: 48)
        writer.write(Self.type)
        writer.write(UInt8(0))
        writer.write(UInt16(0))
        // Hop limit: not said. Flags: no DHCPv6. Router lifetime 0: no default router (RFC 4861 §4.2). Timers: not said.
        writer.writeZeros(4)
        writer.writeZeros(8)
        guard let prefix else { return writer.bytes }
        // Prefix information, RFC 4861 §4.6.2: four units of 8 bytes; on-link and autonomous.
        writer.write(UInt8(3))
        writer.write(UInt8(4))
        writer.write(UInt8(64))
        writer.write(UInt8(0xc0))
        writer.write(lifetimeSeconds)
        writer.write(lifetimeSeconds)
        writer.writeZeros(4)
        writer.write(prefix.bytes.prefix(8))
        writer.writeZeros(8)
        return writer.bytes
    }
}
