internal import Control
internal import Metadata
internal import Model
internal import NetBoot
internal import Wire

/// Says which machine is behind an address: the frame that opened the connection, what the kernel's neighbour table has for
/// the address, the machine that owns that MAC address, and the lease of the address must agree. Behind a router no MAC address is seen: there the lease says who it
/// is, and the machine's key proves it (docs/decisions/0023).
final class WireWitness: Sendable {
    enum Testimony: Sendable, Equatable {
        case machine(Asker)
        /// Nobody that we know: no neighbour, or a MAC address of no machine.
        case stranger(why: String)
        /// The address is another machine's, or nobody's: somebody gave it to itself.
        case impostor(mac: MACAddress, rightful: MACAddress?, machine: MachineID?)
        /// A key or token that is none of the machine that it names.
        case unproved(MachineID)
        /// A key or token that is right, on a network that its machine has nothing to do with.
        case misplaced(MachineID)
    }

    /// A token that is shown by IPv6 is tried with each.
    private static let addressLimit = 8
    private let network: BootNetwork
    private let control: ControlPlane
    private let leases: LeaseTable
    private let routers: RouterPorts
    private let lookUp: @Sendable (MetadataSource) -> MACAddress?

    init(
        network: BootNetwork, control: ControlPlane, leases: LeaseTable, routers: RouterPorts? = nil,
        lookUp: @escaping @Sendable (MetadataSource) -> MACAddress?
    ) {
        self.network = network
        self.control = control
        self.leases = leases
        self.routers = routers ?? RouterPorts(network: network)
        self.lookUp = lookUp
    }

    /// What the kernel's neighbour table has for an address on this wire.
    func neighbour(at source: MetadataSource) -> MACAddress? { lookUp(source) }

    /// Whether it is leased, or a machine has it.
    func isKnown(_ address: IPv4Address) -> Bool {
        activeLease(at: address) != nil || !control.snapshot.machines(knownAt: address).isEmpty
    }

    func isBehindRouter(_ source: MetadataSource) -> Bool {
        if case .v4(let address) = source { network.subnet(of: address) != nil } else { false }
    }

    /// - Parameters:
    ///   - frame: what opened the connection: the machine's own on this wire, its router's behind one.
    ///   - claim: what the request says of itself; it matters behind a router, and of a port that no machine has shown to be its
    ///     own.
    func testimony(
        on source: MetadataSource, _ frame: FrameEvidence, claiming claim: MachineClaim?, in snapshot: RackSnapshot
    ) -> Testimony {
        if case .v4(let address) = source, let subnet = network.subnet(of: address) {
            switch frame {
            case .lost where routers.hasPorts(of: subnet): return .stranger(why: "no frame shows who has \(source)")
            case .port(let port):
                if case .foreign(let known) = routers.judge(port, of: subnet) {
                    return .impostor(mac: port, rightful: known.first, machine: nil)
                }
            case .lost, .noDevice: break
            }
            return testimony(on: address, behindRouterIn: subnet, claiming: claim, in: snapshot)
        }
        guard let neighbour = lookUp(source) else { return .stranger(why: "no neighbour has \(source)") }
        let mac: MACAddress
        switch frame {
        case .noDevice: mac = neighbour
        case .lost: return .stranger(why: "no frame shows who has \(source)")
        case .port(let port):
            // The answer goes to the neighbour: it must be who asked.
            guard snapshot.isReached(port, by: neighbour) else {
                return .impostor(mac: port, rightful: neighbour, machine: snapshot.machine(with: port)?.id)
            }
            mac = port
        }
        switch source {
        case .v4(let address): return testimony(on: address, mac, claiming: claim, in: snapshot)
        case .v6: return testimony(on: mac, in: snapshot)
        }
    }

    private func testimony(
        on address: IPv4Address, _ mac: MACAddress, claiming claim: MachineClaim?, in snapshot: RackSnapshot
    ) -> Testimony {
        let machine = snapshot.machine(with: mac)
        let lease = activeLease(at: address)
        if let lease, lease.mac != mac, !Self.isOneMachine(lease.mac, machine) {
            return .impostor(mac: mac, rightful: lease.mac, machine: machine?.id)
        }
        guard let machine, snapshot.onlyMachine(with: mac) != nil else {
            return testimony(onClaimedPort: mac, address, claiming: claim, in: snapshot)
        }
        if network.mode == .server {
            guard lease != nil || Self.isKnown(address, of: machine) || isFree(address, for: machine, in: snapshot) else {
                return .impostor(mac: mac, rightful: nil, machine: machine.id)
            }
        }
        return .machine(asker(machine, address, mac, in: snapshot))
    }

    /// Of a port that has not booted, as a system's second one, or that several records have: its machine's key, or a token that was got with it, shows whose
    /// it is, where that machine's agent had named the port.
    private func testimony(
        onClaimedPort mac: MACAddress, _ address: IPv4Address, claiming claim: MachineClaim?, in snapshot: RackSnapshot
    ) -> Testimony {
        guard let claim, let machine = snapshot.machines[claim.machine], machine.claims(mac) || machine.owns(mac) else {
            let owners = snapshot.machines(with: mac).map(\.id.rawValue)
            return .stranger(why: owners.count > 1 ? "\(owners.joined(separator: " and ")) have \(mac)" : "\(mac) is no machine's")
        }
        let claimed = asker(machine, address, mac, shows: nil, in: snapshot)
        return control.metadataSessions.proves(claim, of: claimed, now: control.steady) ? .machine(claimed) : .unproved(machine.id)
    }

    /// Whether it is in its desired network, or is where its system called home from.
    private static func isKnown(_ address: IPv4Address, of machine: Machine) -> Bool {
        machine.desired.network?.staticAddresses.contains(address) ?? false || machine.observed.address == address
    }

    /// Whether an installed system that has yet to call home may have given itself this address: one that stands in its
    /// network-config or its user-data, which Hostler passes on as they are, and that is nobody else's. Whoever copied its
    /// MAC address could as well have taken the address of its lease.
    private func isFree(_ address: IPv4Address, for machine: Machine, in snapshot: RackSnapshot) -> Bool {
        guard snapshot.openOperation(of: machine)?.kind == .install, network.address.contains(address) else { return false }
        return !snapshot.machines(knownAt: address).contains { $0.id != machine.id }
    }

    /// Behind a router: its lease says whose an address is. Whoever is on that network can take any address of it, so this shows
    /// little, or nothing at all, until the machine's key does. Where there is no lease (the address is static, or another DHCP
    /// server's), a key that is right, or a token that was got with it, says it alone: of a machine that is of that network.
    private func testimony(
        on address: IPv4Address, behindRouterIn subnet: BootNetwork.Subnet, claiming claim: MachineClaim?, in snapshot: RackSnapshot
    ) -> Testimony {
        guard subnet.metadata.access != .none else { return .stranger(why: "\(subnet.prefix) has no metadata service") }
        let shows: Proof? = subnet.metadata.access == .address ? .address : nil
        let lease = activeLease(at: address)
        if let lease, let machine = snapshot.onlyMachine(with: lease.mac) {
            return .machine(asker(machine, address, lease.mac, shows: shows, in: snapshot))
        }
        guard let claim else {
            return .stranger(why: lease.map { "\($0.mac) is no machine's" } ?? "\(address) is leased to nobody, and no key is shown")
        }
        guard let machine = snapshot.machines[claim.machine], let port = machine.observed.agent?.mac ?? machine.interfaces.first?.mac else {
            return .unproved(claim.machine)
        }
        // The address shows nothing here, not even where others' do.
        let claimed = asker(machine, address, port, shows: nil, in: snapshot)
        guard control.metadataSessions.proves(claim, of: claimed, now: control.steady) else { return .unproved(machine.id) }
        guard isOf(subnet.prefix, machine) else { return .misplaced(machine.id) }
        return .machine(claimed)
    }

    /// Whether the machine has, had or is to have an address there.
    private func isOf(_ prefix: IPv4Prefix, _ machine: Machine) -> Bool {
        let leased = machine.interfaces.lazy.compactMap { self.leases.lease(of: $0.mac)?.address }
        let known = (machine.observed.address.map { [$0] } ?? []) + (machine.desired.network?.staticAddresses ?? [])
        return known.contains(where: prefix.contains) || leased.contains(where: prefix.contains)
    }

    private func activeLease(at address: IPv4Address) -> DHCPLease? {
        leases.activeLease(at: address, nowMilliseconds: control.steady.milliseconds)
    }

    /// By IPv6: machines give themselves these addresses, so none is another's; who asks is who has the MAC address.
    /// What it is told, and what its tokens are bound to, is its IPv4 address here: one that it has on another network is
    /// none of this one's.
    private func testimony(on mac: MACAddress, in snapshot: RackSnapshot) -> Testimony {
        guard let machine = snapshot.onlyMachine(with: mac) else { return .stranger(why: "\(mac) is no machine's, or several have it") }
        let own = addresses(of: machine, in: snapshot)
        guard let address = own.first else { return .stranger(why: "\(machine.id) has no IPv4 address here that is known") }
        return .machine(asker(machine, address, mac, elsewhere: Array(own.dropFirst()), in: snapshot))
    }

    /// The IPv4 addresses that the machine may ask from, the likeliest first.
    ///
    /// A system's is where it called home from. Its lease may be its agent's, who had DHCP where the system has a static
    /// address; so may be, until it calls home, where it was seen last.
    private func addresses(of machine: Machine, in snapshot: RackSnapshot) -> [IPv4Address] {
        let now = control.steady.milliseconds
        let leased = machine.interfaces.lazy.compactMap { self.leases.lease(of: $0.mac) }
            .filter { $0.isActive(atMilliseconds: now) }.map(\.address)
        let seen = machine.observed.address.map { [$0] } ?? []
        let fixed = machine.desired.network?.staticAddresses ?? []
        let isComingUp = snapshot.openOperation(of: machine)?.kind == .install
        var found: [IPv4Address] = []
        for address in (isComingUp ? fixed + seen : seen + fixed) + leased {
            guard network.address.contains(address), !found.contains(address), found.count < Self.addressLimit else { continue }
            if let lease = activeLease(at: address), !Self.isOneMachine(lease.mac, machine) { continue }
            found.append(address)
        }
        return found
    }

    private func asker(
        _ machine: Machine, _ address: IPv4Address, _ mac: MACAddress, shows: Proof? = .wire, elsewhere: [IPv4Address] = [],
        in snapshot: RackSnapshot
    ) -> Asker {
        let operation = snapshot.openOperation(of: machine)
        return Asker(
            machine: machine.id, incarnation: InstanceView.incarnation(of: machine, operation),
            keyVerifiers: InstanceView.keyVerifiers(of: machine, operation), address: address, mac: mac, shows: shows, elsewhere: elsewhere)
    }

    /// A machine's bond may speak with the MAC address of another of its ports than the one that has the lease.
    private static func isOneMachine(_ mac: MACAddress, _ machine: Machine?) -> Bool { machine?.owns(mac) ?? false }
}
