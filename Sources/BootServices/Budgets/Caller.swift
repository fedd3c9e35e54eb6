internal import Control
internal import Model
internal import NIOCore
internal import Sockets
internal import Wire

/// For whom a connection, a transfer or a request is counted, as far as the wire shows.
struct Caller: Hashable, Sendable {
    enum Owner: Hashable, Sendable {
        /// On this wire: one host has many addresses if it likes, and seldom many MAC addresses.
        case neighbour(MACAddress)
        /// Behind a router, or where the kernel has no neighbour for it.
        case address(IPv4Address)
        /// Whom nothing tells from others like it.
        case nobody
    }

    var owner: Owner
    /// Whether it is a machine of the record, by its MAC address or, behind a router, by the lease of its address.
    var isKnown: Bool
    /// Whether a router is between: anybody there can take one address after another.
    var isRouted = false

    var mac: MACAddress? { if case .neighbour(let mac) = owner { mac } else { nil } }

    static let nobody = Caller(owner: .nobody, isKnown: false)
}

/// Says who is behind an address of a network. Asks memory and the kernel, never the store.
struct CallerDirectory: Sendable {
    let network: BootNetwork
    let control: ControlPlane
    let leases: LeaseTable
    /// The MAC address that the kernel has for an address on this wire; nil: it has none.
    let neighbour: @Sendable (IPv4Address) -> MACAddress?

    func isKnown(_ mac: MACAddress) -> Bool { control.snapshot.isKnown(mac) }

    /// - Parameter frameSource: of the frame that came from there, where it is known: ARP's word is its sender's.
    func caller(at address: IPv4Address, frameSource: MACAddress? = nil) -> Caller {
        let isOnWire = network.address.contains(address)
        if isOnWire, let mac = neighbour(address) ?? frameSource {
            // A frame's source can be made up, and so can ARP's word: whose room it is, both must say.
            let agrees = frameSource == nil || frameSource == mac || control.snapshot.machine(with: mac).map { $0.owns(frameSource ?? mac) } == true
            return Caller(owner: .neighbour(mac), isKnown: agrees && isKnown(mac))
        }
        let lease = leases.lease(at: address)
        let isLeased = lease.map { $0.isActive(atMilliseconds: control.steady.milliseconds) && isKnown($0.mac) } ?? false
        let isThere = !control.snapshot.machines(knownAt: address).isEmpty
        return Caller(owner: .address(address), isKnown: isLeased || isThere, isRouted: !isOnWire)
    }

    func caller(at remote: SocketAddress?, frameSource: MACAddress? = nil) -> Caller {
        remote?.ipv4.map { caller(at: $0, frameSource: frameSource) } ?? .nobody
    }
}

extension Caller {
    /// For a log, where nothing better is known.
    var name: String {
        switch owner {
        case .neighbour(let mac): mac.description
        case .address(let address): address.description
        case .nobody: "an unknown address"
        }
    }
}
