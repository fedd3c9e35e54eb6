internal import Model

/// Where a download may be led: what the operator named, and from there to public servers by TLS. A server on the
/// Internet must not have this one ask its own neighbours: the metadata service of a cloud, a BMC, a router.
struct RedirectRule {
    /// What the operator asked for.
    let origin: WebAddress
    /// RFC 9110 §15.4 leaves the number open; mirrors need two or three.
    static let limitHops = 8

    /// Throws where `next` must not be asked because `current` says so.
    func check(from current: WebAddress, to next: WebAddress) throws(Problem) {
        if current.scheme == .https, next.scheme == .http {
            throw Self.refused(current, next.description, "It leads from https to http.")
        }
        guard next.host == origin.host || next.scheme == .https else {
            throw Self.refused(current, next.description, "It leads to another host, and not by https.")
        }
    }

    /// Throws where the host of `address` is another than the one that was asked for, and is not on the public Internet.
    /// One address that is not is enough: which one is taken is the resolver's choice.
    func check(_ addresses: [HostAddress], of address: WebAddress) throws(Problem) {
        guard address.host != origin.host, let inner = addresses.first(where: { !$0.isPublic }) else { return }
        throw Self.refused(origin, address.description, "\(address.host) is \(inner), which is not a public address.")
    }

    static func refused(_ current: WebAddress, _ location: String, _ why: String) -> Problem {
        Problem(
            "download-redirect-refused", status: 502, title: "\(current) leads to \(location.prefix(512)), which is not followed",
            detail: why, remedy: "If the image is to come from there, give that URL itself.")
    }
}
