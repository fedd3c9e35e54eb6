public import Wire

/// The DHCP servers of one wire: of the network that it is, and of the networks whose relays send to it.
///
/// Which one a message is for, its relay says (RFC 2131 §4.3.1, RFC 3527), or the address that its client has.
public struct DHCPNetworks: Sendable {
    /// The wire's own first.
    private var servers: [DHCPServer]

    /// `leases` are those that were durable when the servers last ran; each takes its own.
    public init(
        local: DHCPServerConfiguration, remote: [DHCPServerConfiguration] = [], leases: some Sequence<DHCPLease> = [],
        isKnown: @escaping @Sendable (MACAddress) -> Bool = { _ in true }
    ) throws(DHCPConfigurationError) {
        var servers: [DHCPServer] = []
        for configuration in [local] + remote {
            for other in servers.map(\.configuration.prefix)
            where other.contains(configuration.prefix.network) || configuration.prefix.contains(other.network) {
                throw .overlappingNetworks(other, configuration.prefix)
            }
            servers.append(try DHCPServer(configuration, leases: leases, isKnown: isKnown))
        }
        self.servers = servers
    }

    /// Everything that is not free, in no order; offers included.
    public var leases: [DHCPLease] { servers.flatMap(\.pool.leases) }

    /// As ``LeasePool/takeForgotten()`` of all of them.
    public mutating func takeForgotten() -> [IPv4Address] {
        var all: [IPv4Address] = []
        for index in servers.indices { all += servers[index].takeForgotten() }
        return all
    }

    /// As ``DHCPServer/receive(_:on:nowMilliseconds:boot:)`` of the server that the message is for.
    public mutating func receive(
        _ message: DHCPMessage, on context: ReceiveContext, nowMilliseconds now: Int64, boot: BootAnswer?
    ) -> DHCPAction {
        servers[index(for: message)].receive(message, on: context, nowMilliseconds: now, boot: boot)
    }

    /// The wire's own server where no other is meant: it says what is wrong with the message.
    private func index(for message: DHCPMessage) -> Int {
        guard servers.count > 1, let hint = message.networkHint else { return 0 }
        return servers.firstIndex { $0.configuration.prefix.contains(hint) } ?? 0
    }
}
