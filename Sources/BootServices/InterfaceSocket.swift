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
                    }.flatMap { hold(channel) }.flatMapThrowing { try prepare(channel) }
                }
                .bind(host: "0.0.0.0", port: port)
        }.get()
    }

    /// Room for what arrives while the loop is busy, some 3,000 datagrams: a rack that has its power back asks all at
    /// once. SO_RCVBUFFORCE goes beyond net.core.rmem_max, and is root's; without it the system's usual room remains.
    private static func hold(_ channel: any Channel) -> EventLoopFuture<Void> {
        guard let provider = channel as? any SocketOptionProvider else { return channel.eventLoop.makeSucceededVoidFuture() }
        return provider.unsafeSetSocketOption(level: .socket, name: .init(rawValue: CInt(33)), value: CInt(4 << 20))
            .flatMapError { _ in channel.eventLoop.makeSucceededVoidFuture() }
    }

    /// Before a server's channel is bound: ties it to its interface, and its connections with it; and where the kernel cannot
    /// accept one more (no open file is left, no memory), it tries again a little later, rather than without pause.
    static func prepareListener(_ channel: any Channel, interface: String?) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
                AcceptBackoffHandler(shouldForwardIOErrorCaught: false) { _ in .milliseconds(200) })
        }.flatMap {
            tie(channel, toAny: interface)
        }
    }

    /// - Parameter interface: nil: any will do.
    static func tie(_ channel: any Channel, toAny interface: String?) -> EventLoopFuture<Void> {
        interface.map { tie(channel, to: $0) } ?? channel.eventLoop.makeSucceededVoidFuture()
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
