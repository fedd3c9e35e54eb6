internal import NIOCore
internal import Wire

/// Says to which of several sockets that listen at one address (SO_REUSEPORT) a connection comes, by the network that it comes
/// from. The sockets are numbered as they began to listen; the first is for whatever is of no network that is named.
///
/// Already the answer to SYN is of the listening socket, and carries its time to live: networks at different distances want
/// sockets of their own. A classic BPF program (SO_ATTACH_REUSEPORT_CBPF, socket(7)), whose result is a socket's number.
struct ReuseportFilter: Equatable {
    /// `struct sock_filter`s: code, jumps, operand, from the lowest bits on.
    let program: [UInt64]

    init(_ sockets: [(network: IPv4Prefix, number: UInt32)]) {
        var program: [UInt64] = []
        for (network, number) in sockets {
            // BPF_LD | BPF_W | BPF_ABS: the source address, 12 bytes from the IP header on (SKF_NET_OFF).
            program.append(Self.instruction(0x20, operand: 0xfff0_0000 + 12))
            // BPF_ALU | BPF_AND | BPF_K, BPF_JMP | BPF_JEQ | BPF_K: over the next where it differs. BPF_RET | BPF_K.
            program.append(Self.instruction(0x54, operand: network.mask.value))
            program.append(Self.instruction(0x15, jumpIfFalse: 1, operand: network.network.value))
            program.append(Self.instruction(0x06, operand: number))
        }
        program.append(Self.instruction(0x06, operand: 0))
        self.program = program
    }

    private static func instruction(_ code: UInt64, jumpIfFalse: UInt64 = 0, operand: UInt32) -> UInt64 {
        code | jumpIfFalse << 24 | UInt64(operand) << 32
    }

    /// Before the first of the channels is bound, on its event loop. The others have it by listening where that one does; one
    /// that had a program of its own could not be bound there.
    func attach(to channel: any Channel) -> EventLoopFuture<Void> {
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        return program.withUnsafeBufferPointer { raw in
            // `struct sock_fprog`: the number of instructions, and where they are. The kernel copies them within the call.
            let value = (UInt64(raw.count), UInt64(UInt(bitPattern: raw.baseAddress)))
            return provider.unsafeSetSocketOption(level: .socket, name: .init(rawValue: CInt(51)), value: value)
        }
    }

    /// Lets the channel listen where others do (SO_REUSEPORT).
    static func share(_ channel: any Channel) -> EventLoopFuture<Void> {
        channel.setOption(ChannelOptions.Types.SocketOption(level: .socket, name: NIOBSDSocket.Option(rawValue: 15)), value: 1)
    }
}
