import NIOCore
import NIOPosix
import NetBoot

/// A TFTP client on loopback that can lose packets on purpose.
enum TFTPTestClient {
    typealias Envelope = AddressedEnvelope<ByteBuffer>

    enum Outcome: Equatable, Sendable {
        case file(ByteBuffer)
        case error(TFTPErrorCode)
    }

    static func withChannel<Result: Sendable>(
        _ body:
            @Sendable (NIOAsyncChannelInboundStream<Envelope>, NIOAsyncChannelOutboundWriter<Envelope>) async throws ->
            Result
    ) async throws -> Result {
        let channel = try await DatagramBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 4096))
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(inboundType: Envelope.self, outboundType: Envelope.self))
                }
            }
        return try await channel.executeThenClose(body)
    }

    /// Sends datagrams, waits for nothing.
    static func send(_ datagrams: [[UInt8]], to address: SocketAddress) async throws {
        try await withChannel { _, outbound in
            for bytes in datagrams {
                try await outbound.write(Envelope(remoteAddress: address, data: ByteBuffer(bytes: bytes)))
            }
        }
    }

    /// Sends one request and takes the error that answers it.
    static func exchange(_ packet: TFTPPacket, with address: SocketAddress) async throws -> Outcome? {
        try await withChannel { inbound, outbound in
            try await outbound.write(Envelope(remoteAddress: address, data: ByteBuffer(bytes: packet.serialize())))
            for try await envelope in inbound {
                if case .error(let code, _) = try TFTPPacket(parsing: Array(envelope.data.readableBytesView)) {
                    return .error(code)
                }
                return nil
            }
            return nil
        }
    }

    /// Fetches a file. `isLost` says of each packet that comes, counted from 0, whether the wire eats it.
    ///
    /// It has no timer: the server's makes it go on.
    static func get(
        _ name: String, from address: SocketAddress, options: [(String, String)] = [], mode: TFTPMode = .octet,
        isLost: @escaping @Sendable (Int) -> Bool = { _ in false }
    ) async throws -> Outcome? {
        let request = TFTPRequest(
            fileName: name, mode: mode, options: options.map { TFTPOption(name: $0.0, value: $0.1) })
        return try await withChannel { inbound, outbound in
            var receiver = Receiver(blockBytes: 512, windowBlocks: 1)
            try await outbound.write(
                Envelope(remoteAddress: address, data: ByteBuffer(bytes: TFTPPacket.readRequest(request).serialize())))
            var count = 0
            for try await envelope in inbound {
                defer { count += 1 }
                if isLost(count) { continue }
                let answer: UInt16?
                switch try TFTPPacket(parsing: Array(envelope.data.readableBytesView)) {
                case .error(let code, _): return .error(code)
                case .optionAcknowledgement(let agreed): answer = receiver.agree(agreed)
                case .data(let block, let bytes): answer = receiver.receive(block, bytes)
                default: answer = nil
                }
                if let answer {
                    let packet = TFTPPacket.acknowledgement(block: answer).serialize()
                    try await outbound.write(
                        Envelope(remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: packet)))
                }
                if receiver.isComplete { return .file(receiver.content) }
            }
            return nil
        }
    }

    /// The client's side of RFC 7440: acknowledges a whole window, or the last good block when one is missing.
    private struct Receiver {
        var blockBytes: Int
        var windowBlocks: Int
        var content = ByteBuffer()
        var isComplete = false
        private var last: UInt16 = 0
        private var inWindow = 0
        private var hasComplained = false

        init(blockBytes: Int, windowBlocks: Int) {
            self.blockBytes = blockBytes
            self.windowBlocks = windowBlocks
        }

        mutating func agree(_ options: [TFTPOption]) -> UInt16? {
            for option in options {
                if option.name == "blksize" { blockBytes = Int(option.value) ?? 512 }
                if option.name == "windowsize" { windowBlocks = Int(option.value) ?? 1 }
            }
            return 0
        }

        mutating func receive(_ block: UInt16, _ bytes: [UInt8]) -> UInt16? {
            guard block == last &+ 1 else {
                // Once a gap; a lone old block is acknowledged again, as its answer was lost.
                if windowBlocks > 1, hasComplained { return nil }
                hasComplained = true
                inWindow = 0
                return last
            }
            hasComplained = false
            last = block
            inWindow += 1
            content.writeBytes(bytes)
            isComplete = bytes.count < blockBytes
            guard isComplete || inWindow == windowBlocks else { return nil }
            inWindow = 0
            return last
        }
    }
}
