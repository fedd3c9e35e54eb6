internal import Control
internal import Model
internal import NetBoot
internal import Store
internal import Synchronization
internal import Wire

/// The ports on our own wire by which the networks behind relays and routers are reached.
///
/// A message of a relay, and a connection of a machine behind it, counts only in a frame of one of these ports: who is on our
/// wire can write any `giaddr`, and can take the router's IP address by ARP. The configuration names the ports. Where it names
/// none, the port of the first relay's message is the one, and is kept: a change of it is a person's to make.
final class RouterPorts: Sendable {
    enum Verdict: Equatable {
        case router
        /// Another port than those that are known.
        case foreign(known: [MACAddress])
        /// No port of that network is known.
        case none
    }

    private let network: BootNetwork
    private let learned = Mutex<[IPv4Prefix: MACAddress]>([:])

    init(network: BootNetwork) { self.network = network }

    func judge(_ frame: MACAddress, of subnet: BootNetwork.Subnet) -> Verdict {
        let known = ports(of: subnet)
        if known.isEmpty { return .none }
        return known.contains(frame) ? .router : .foreign(known: known)
    }

    func hasPorts(of subnet: BootNetwork.Subnet) -> Bool { !ports(of: subnet).isEmpty }

    /// Takes a relay's port for that of a network of which none is known.
    ///
    /// - Returns: whether it is the first.
    func learn(_ frame: MACAddress, of subnet: BootNetwork.Subnet) -> Bool {
        guard subnet.routerPorts.isEmpty else { return false }
        return learned.withLock {
            guard $0[subnet.prefix] == nil else { return false }
            $0[subnet.prefix] = frame
            return true
        }
    }

    private func ports(of subnet: BootNetwork.Subnet) -> [MACAddress] {
        guard subnet.routerPorts.isEmpty else { return subnet.routerPorts }
        return learned.withLock { $0[subnet.prefix] }.map { [$0] } ?? []
    }

    // MARK: In the store

    /// As it is kept.
    struct Record: Codable, Equatable {
        var prefix: IPv4Prefix
        var port: MACAddress
    }

    private var keyPrefix: String { "/routers/\(network.name)/" }

    func load(from store: any StateStore) async throws {
        // Fewer than a configuration names, so one page has them all.
        let page = try await store.list(prefix: keyPrefix, after: nil, limit: 1000)
        let records = try page.values.map { try RecordCoding.decode(Record.self, from: $0) }
        learned.withLock { for record in records { $0[record.prefix] = record.port } }
    }

    func keep(_ port: MACAddress, of subnet: BootNetwork.Subnet, in store: any StateStore) async throws {
        let value = try RecordCoding.encode(Record(prefix: subnet.prefix, port: port))
        let key = "\(keyPrefix)\(subnet.prefix.network)-\(subnet.prefix.length)"
        _ = try await store.commit([.put(key: key, value: value, if: .none)])
    }

    /// What an event says of a message that came by another port.
    static func evidence(of subnet: BootNetwork.Subnet, _ known: [MACAddress]) -> [String: String] {
        ["subnet": subnet.prefix.description, "routerPorts": known.map(\.description).joined(separator: ", ")]
    }
}

extension DHCPService {
    /// Keeps the port of a network's first relay, and says which it is: a person can compare it with the router's.
    func keep(router port: MACAddress, of subnet: BootNetwork.Subnet) async {
        logger.notice(
            "a network behind a relay is reached by this port from now on",
            metadata: ["subnet": "\(subnet.prefix)", "port": "\(port)", "interface": "\(network.interface)"])
        do {
            try await routers.keep(port, of: subnet, in: store)
            try await control.recordEvent(
                kind: "network.router-port", actor: "dhcp",
                message:
                    "\(subnet.prefix) is reached by the port \(port) on \(network.interface): its relay was the first that was seen, and no other is believed. If it is not your router's, or there are several, name them in the configuration (routerPorts)",
                evidence: ["subnet": subnet.prefix.description, "port": port.description, "interface": network.interface])
        } catch {
            logger.error("the port of a relay could not be kept", metadata: ["port": "\(port)", "error": "\(error)"])
        }
    }
}
