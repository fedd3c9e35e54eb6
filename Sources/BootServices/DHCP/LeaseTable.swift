internal import NetBoot
internal import Synchronization
internal import Wire

/// Who has which address of a network, as its DHCP server last granted it; for the services beside it.
public final class LeaseTable: Sendable {
    private let leases = Mutex<[IPv4Address: DHCPLease]>([:])

    public init() {}

    func set(_ lease: DHCPLease) { leases.withLock { $0[lease.address] = lease } }
    func lease(at address: IPv4Address) -> DHCPLease? { leases.withLock { $0[address] } }
}
