internal import NetBoot
internal import Synchronization
internal import Wire

/// Who has which address of a network, as its DHCP server last granted it; for the services beside it.
final class LeaseTable: Sendable {
    private let leases = Mutex<(byAddress: [IPv4Address: DHCPLease], byMAC: [MACAddress: IPv4Address])>(([:], [:]))

    func set(_ lease: DHCPLease) {
        leases.withLock {
            $0.byAddress[lease.address] = lease
            $0.byMAC[lease.mac] = lease.address
        }
    }

    func lease(at address: IPv4Address) -> DHCPLease? { leases.withLock { $0.byAddress[address] } }

    /// What a port was granted last, if it is still its own.
    func lease(of mac: MACAddress) -> DHCPLease? {
        leases.withLock { leases in leases.byMAC[mac].flatMap { leases.byAddress[$0] } }.flatMap { $0.mac == mac ? $0 : nil }
    }

    /// Who was last granted the address and has not given it back, be it that the lease's time is over.
    func holder(of address: IPv4Address) -> MACAddress? {
        lease(at: address).flatMap { $0.state == .bound ? $0.mac : nil }
    }
}
