internal import Glibc
internal import NIOCore
internal import NIOPosix

/// UDP on one interface and no other.
enum InterfaceSocket {
    /// Opens `port` on all addresses of `interface`. The socket is tied to the interface before it has its port:
    /// so it never holds a datagram of another one.
    ///
    /// - Parameter prepare: adds the channel's handlers, on its event loop.
    static func bind(
        port: Int, interface: String, on loop: any EventLoop, prepare: @escaping @Sendable (any Channel) throws -> Void
    ) async throws -> any Channel {
        try await loop.flatSubmit {
            DatagramBootstrap(group: loop)
                .channelOption(.socketOption(.so_reuseaddr), value: 1)
                .channelOption(.socketOption(.so_broadcast), value: 1)
                .channelOption(.datagramVectorReadMessageCount, value: 32)
                .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 32 * 1536))
                .channelInitializer { channel in
                    tie(channel, to: interface).flatMapErrorThrowing { error in
                        if (error as? IOError)?.errnoCode == ENODEV { throw BootServiceError.noInterface(interface) }
                        throw error
                    }.flatMapThrowing { try prepare(channel) }
                }
                .bind(host: "0.0.0.0", port: port)
        }.get()
    }

    /// SO_BINDTODEVICE: nothing is heard from, or said to, any other interface.
    static func tie(_ channel: any Channel, to interface: String) -> EventLoopFuture<Void> {
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        // The option takes the name as C text; 16 bytes is IFNAMSIZ.
        var name: (UInt64, UInt64) = (0, 0)
        withUnsafeMutableBytes(of: &name) { $0.copyBytes(from: interface.utf8.prefix(15)) }
        return provider.unsafeSetSocketOption(level: .socket, name: .init(rawValue: CInt(25)), value: name)
    }
}
