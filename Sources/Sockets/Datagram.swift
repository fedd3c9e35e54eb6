internal import Glibc
public import NIOCore

/// Datagrams that may be lost without the socket being lost.
///
/// NIO closes a channel whose socket refuses a datagram. A server's port must outlive a client that no route leads to,
/// a link that is down for a while and a kernel that has no room: whoever is not answered asks again.
public enum Datagram {
    /// Sends at once or not at all; on the channel's event loop. 0, or the errno that it was refused with.
    public static func send(_ bytes: [UInt8], to remote: SocketAddress, on channel: any Channel) -> CInt {
        let outcome = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { socket in
            switch remote {
            case .v4(let address): send(bytes, address.address, by: socket)
            case .v6(let address): send(bytes, address.address, by: socket)
            case .unixDomainSocket: EAFNOSUPPORT
            }
        }
        return outcome ?? EBADF
    }

    private static func send<Address>(_ bytes: [UInt8], _ address: Address, by socket: CInt) -> CInt {
        let count = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(
                    socket, bytes, bytes.count, CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL), $0, socklen_t(MemoryLayout<Address>.size))
            }
        }
        return count < 0 ? errno : 0
    }
}
