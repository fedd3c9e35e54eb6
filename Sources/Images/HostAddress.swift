internal import Glibc
internal import Model
internal import NIOPosix
internal import Wire

/// An address that a host's name stands for.
enum HostAddress: Equatable, CustomStringConvertible {
    case v4(IPv4Address)
    case v6(IPv6Address)

    var description: String {
        switch self {
        case .v4(let address): address.description
        case .v6(let address): address.description
        }
    }

    /// Whether it is on the public Internet: neither this host, nor a link, nor a private network, nor anything that
    /// IANA's special-purpose registries (RFC 6890) keep for other ends.
    var isPublic: Bool {
        switch self {
        case .v4(let address): Self.isPublic(address)
        case .v6(let address): Self.isPublic(address)
        }
    }

    private static let specialV4 = [
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    ].compactMap { IPv4Prefix($0) }

    private static func isPublic(_ address: IPv4Address) -> Bool { !specialV4.contains { $0.contains(address) } }

    private static func isPublic(_ address: IPv6Address) -> Bool {
        let groups = address.groups
        // RFC 6052: an IPv4 address behind a translator. What it stands for decides.
        if groups.starts(with: [0x64, 0xff9b, 0, 0, 0, 0]) {
            return isPublic(IPv4Address(value: UInt32(groups[6]) << 16 | UInt32(groups[7])))
        }
        // Of what is not global unicast there is no public address: ::, ::1, ::ffff:0:0/96, fc00::/7, fe80::/10, ff00::/8.
        guard groups[0] & 0xe000 == 0x2000 else { return false }
        // Protocol assignments with Teredo, documentation (RFC 3849, RFC 9637), 6to4.
        if groups[0] == 0x2001, groups[1] < 0x200 || groups[1] == 0xdb8 { return false }
        return groups[0] != 0x2002 && !(groups[0] == 0x3fff && groups[1] < 0x1000)
    }

    /// What the resolver says of a name; an address stands for itself.
    static func resolve(_ host: String) async throws -> [HostAddress] {
        try await NIOThreadPool.singleton.runIfActive { try lookUp(host) }
    }

    private static func lookUp(_ host: String) throws(Problem) -> [HostAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else {
            throw Problem(
                "download-failed", status: 502, title: "There is no address for \(host)", detail: String(cString: gai_strerror(code)),
                remedy: "Check the URL, and this host's resolver.")
        }
        defer { freeaddrinfo(list) }
        var found: [HostAddress] = []
        var entry = list
        while let item = entry {
            if let address = item.pointee.ai_addr.flatMap(parse), !found.contains(address) { found.append(address) }
            entry = item.pointee.ai_next
        }
        return found
    }

    private static func parse(_ address: UnsafeMutablePointer<sockaddr>) -> HostAddress? {
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                .v4(IPv4Address(value: UInt32(bigEndian: $0.pointee.sin_addr.s_addr)))
            }
        case AF_INET6:
            address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { address in
                withUnsafeBytes(of: address.pointee.sin6_addr) { IPv6Address(Array($0)) }.map(HostAddress.v6)
            }
        default: nil
        }
    }
}
