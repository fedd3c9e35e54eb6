internal import NIOCore
internal import NIOPosix
internal import Wire

/// The Ethernet source address of the frame that opened a TCP connection.
///
/// The neighbour table holds what ARP packets say of themselves, which their sender chooses. The kernel keeps the headers
/// of the SYN for each accepted connection (TCP_SAVE_SYN, tcp(7)), with 2 the Ethernet header too (Linux 5.10), so this is
/// the frame as our own interface received it.
enum FrameSource {
    /// IPPROTO_TCP (tcp(7)).
    private static let level = NIOBSDSocket.OptionLevel(rawValue: 6)
    private static let saveSYN = NIOBSDSocket.Option(rawValue: 27)
    private static let savedSYN = NIOBSDSocket.Option(rawValue: 28)
    private static let withEthernetHeader: CInt = 2

    /// Room for an Ethernet header, an IPv6 header and a TCP header with all its options: 14 + 40 + 60 bytes.
    private struct Headers {
        var words:
            (
                UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64,
                UInt64
            ) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    }

    /// Has the kernel keep them for the connections that a listening channel accepts.
    static func keep(on channel: any Channel) -> EventLoopFuture<Void> {
        guard let provider = channel as? any SocketOptionProvider else { return channel.eventLoop.makeSucceededVoidFuture() }
        return provider.unsafeSetSocketOption(level: level, name: saveSYN, value: withEthernetHeader)
    }

    /// Of an accepted connection, once: the kernel gives its copy away. Nil where it has none (a SYN cookie, a device without
    /// Ethernet headers).
    static func read(from channel: any Channel) -> EventLoopFuture<MACAddress?> {
        let loop = channel.eventLoop
        guard let provider = channel as? any SocketOptionProvider, let remote = channel.remoteAddress,
            let source = MetadataSource(remote)
        else { return loop.makeSucceededFuture(nil) }
        let headers: EventLoopFuture<Headers> = provider.unsafeGetSocketOption(level: level, name: savedSYN)
        return headers.map { headers in
            withUnsafeBytes(of: headers) { source.port(inFrame: Array($0)) }
        }.recover { _ in nil }
    }
}

/// What a connection's first frame says of who opened it.
enum FrameEvidence: Sendable, Equatable {
    case port(MACAddress)
    /// The kernel has kept none: nothing shows who it is.
    case lost
    /// On loopback, where there are no frames: tests say themselves who a neighbour is.
    case noDevice

    var mac: MACAddress? { if case .port(let mac) = self { mac } else { nil } }
}

extension MetadataSource {
    /// The Ethernet source of a frame (IEEE 802.3 §3.2) whose IP packet has this source address (RFC 791 §3.1, RFC 8200 §3);
    /// nil for any other frame, and for one that no Ethernet device sent.
    func port(inFrame bytes: [UInt8]) -> MACAddress? {
        guard bytes.count >= 54 else { return nil }
        let type = UInt16(bytes[12]) << 8 | UInt16(bytes[13])
        let isOurs =
            switch self {
            case .v4(let address): type == 0x0800 && bytes[14] >> 4 == 4 && Array(bytes[26..<30]) == address.bytes
            case .v6(let address): type == 0x86dd && bytes[14] >> 4 == 6 && Array(bytes[22..<38]) == address.bytes
            }
        guard isOurs, let mac = MACAddress(bytes[6..<12]), mac.value != 0, !mac.isMulticast else { return nil }
        return mac
    }
}
