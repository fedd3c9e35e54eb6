internal import NetBoot
internal import Synchronization
internal import Wire

/// Who has which address of a network, as its DHCP server last granted it; for the services beside it.
final class LeaseTable: Sendable {
    private let leases = Mutex<[IPv4Address: DHCPLease]>([:])

    func set(_ lease: DHCPLease) { leases.withLock { $0[lease.address] = lease } }
    func lease(at address: IPv4Address) -> DHCPLease? { leases.withLock { $0[address] } }

    /// Who was last granted the address and has not given it back, be it that the lease's time is over.
    func holder(of address: IPv4Address) -> MACAddress? {
        lease(at: address).flatMap { $0.state == .bound ? $0.mac : nil }
    }
}
