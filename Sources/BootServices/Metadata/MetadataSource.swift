internal import NIOCore
internal import Sockets
internal import Wire

/// The address that a request to the metadata service comes from, or goes to.
enum MetadataSource: Hashable, Sendable, CustomStringConvertible {
    case v4(IPv4Address)
    case v6(IPv6Address)

    init?(_ address: SocketAddress) {
        switch address {
        case .v4:
            guard let address = address.ipv4 else { return nil }
            self = .v4(address)
        case .v6(let inner):
            guard let address = withUnsafeBytes(of: inner.address.sin6_addr, { IPv6Address(Array($0)) }) else { return nil }
            self = .v6(address)
        case .unixDomainSocket: return nil
        }
    }

    var ipv6: IPv6Address? {
        if case .v6(let address) = self { address } else { nil }
    }

    var description: String {
        switch self {
        case .v4(let address): address.description
        case .v6(let address): address.description
        }
    }
}
