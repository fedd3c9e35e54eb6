internal import Glibc
public import NIOCore
public import Wire

extension SocketAddress {
    /// Without the way through text, which costs a server of thousands of datagrams a second a tenth of its time.
    public init(_ address: Wire.IPv4Address, port: UInt16) {
        var socket = sockaddr_in()
        socket.sin_family = sa_family_t(AF_INET)
        socket.sin_port = port.bigEndian
        socket.sin_addr.s_addr = address.value.bigEndian
        self.init(socket)
    }

    /// Nil for IPv6 and for sockets of the file system.
    public var ipv4: Wire.IPv4Address? {
        guard case .v4(let address) = self else { return nil }
        return Wire.IPv4Address(value: UInt32(bigEndian: address.address.sin_addr.s_addr))
    }
}
