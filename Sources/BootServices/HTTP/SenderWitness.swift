internal import Control
internal import Model
internal import NIOCore
internal import NetBoot
internal import Sockets
internal import Wire

/// Says which port a machine's request came from. It goes by what the sender cannot choose without taking that port's
/// address for itself: the frame that opened the connection, and the lease. Without such evidence there is no sender.
struct SenderWitness: Sendable {
    /// Why there is no sender, as a word for counters and events.
    enum Refusal: String, Error {
        case noAddress = "no-address"
        /// Neither this wire's nor a relayed network's.
        case foreignNetwork = "foreign-network"
        /// The kernel kept no frame, as where it answered with SYN cookies.
        case noFrame = "no-frame"
        case noNeighbour = "no-neighbour"
        case noLease = "no-lease"
        /// The address is another port's by the neighbour table: the answer would go there.
        case foreignNeighbour = "foreign-neighbour"
        /// The address belongs to a network behind a router, and the frame did not come from that router.
        case foreignRouter = "foreign-router"
        /// The address is leased to another machine.
        case foreignLease = "foreign-lease"
        /// The port, or the address, is not the one that is named, or that the session is bound to.
        case foreignMAC = "foreign-mac"

        /// Whether it may be otherwise in a moment: the machine is to ask again.
        /// A neighbour entry too: anybody can make it another's for a moment, and a machine must not restart for that.
        var mayPass: Bool { [.noFrame, .noNeighbour, .noLease, .foreignNeighbour].contains(self) }
    }

    let network: BootNetwork
    let control: ControlPlane
    let leases: LeaseTable
    let routers: RouterPorts
    /// What the kernel's neighbour table has for an address on this wire.
    let neighbour: @Sendable (IPv4Address) -> MACAddress?

    /// Who asks for a nonce, or shows one.
    func sender(of request: BootRequest) throws(Refusal) -> Sender {
        guard let address = request.remote?.ipv4 else { throw .noAddress }
        if network.address.contains(address) {
            let frame = try port(at: address, request.frameSource)
            if network.mode == .server {
                guard let holder = leases.holder(of: address) else { throw .noLease }
                guard isOneMachine(frame, holder) else { throw .foreignLease }
            }
            return Sender(mac: frame, address: address, interface: network.interface)
        }
        // Behind a relay the frame is the router's, and the lease says whose the address is.
        try checkRouter(of: address, request.frameSource)
        guard let lease = leases.activeLease(at: address, nowMilliseconds: control.steady.milliseconds) else { throw .noLease }
        return Sender(mac: lease.mac, address: address, interface: network.interface)
    }

    /// Checks that a request with a session comes from the port and the address that the session is bound to. The lease need
    /// not be there any more, since anybody can release it; it must not be another's.
    func check(_ request: BootRequest, isFrom agent: AgentPresence) throws(Refusal) {
        guard let address = request.remote?.ipv4 else { throw .noAddress }
        // A session of an older version is bound to no address, and one before that to no port.
        guard agent.address == nil || agent.address == address else { throw .foreignMAC }
        if network.address.contains(address) {
            let frame = try port(at: address, request.frameSource)
            guard agent.mac == nil || agent.mac == frame else { throw .foreignMAC }
            if network.mode == .server, let holder = leases.holder(of: address), !isOneMachine(frame, holder) { throw .foreignLease }
        } else {
            try checkRouter(of: address, request.frameSource)
            if let mac = agent.mac, let lease = leases.activeLease(at: address, nowMilliseconds: control.steady.milliseconds),
                !isOneMachine(mac, lease.mac)
            {
                throw .foreignLease
            }
        }
    }

    /// The frame says who asked, the neighbour table where the answer goes: both must be one machine.
    private func port(at address: IPv4Address, _ frame: MACAddress?) throws(Refusal) -> MACAddress {
        guard let frame else { throw .noFrame }
        guard let neighbour = neighbour(address) else { throw .noNeighbour }
        guard control.snapshot.isReached(frame, by: neighbour) else { throw .foreignNeighbour }
        return frame
    }

    private func checkRouter(of address: IPv4Address, _ frame: MACAddress?) throws(Refusal) {
        guard let subnet = network.subnet(of: address) else { throw .foreignNetwork }
        guard routers.hasPorts(of: subnet) else { return }
        guard let frame else { throw .noFrame }
        guard case .router = routers.judge(frame, of: subnet) else { throw .foreignRouter }
    }

    private func isOneMachine(_ port: MACAddress, _ other: MACAddress) -> Bool {
        port == other || control.snapshot.machine(with: port)?.owns(other) == true
    }
}
