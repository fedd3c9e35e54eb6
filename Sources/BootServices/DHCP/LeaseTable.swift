internal import NetBoot
internal import Synchronization
internal import Wire

/// Who has which address of a network, as its DHCP server last granted it; for the services beside it.
final class LeaseTable: Sendable {
    private let leases = Mutex<(byAddress: [IPv4Address: DHCPLease], byMAC: [MACAddress: IPv4Address])>(([:], [:]))

    func set(_ lease: DHCPLease) {
        leases.withLock {
            if let former = $0.byAddress.updateValue(lease, forKey: lease.address), former.mac != lease.mac,
                $0.byMAC[former.mac] == lease.address
            {
                $0.byMAC[former.mac] = nil
            }
            $0.byMAC[lease.mac] = lease.address
        }
    }

    /// The lease counts no more.
    func remove(_ address: IPv4Address) {
        leases.withLock {
            guard let former = $0.byAddress.removeValue(forKey: address), $0.byMAC[former.mac] == address else { return }
            $0.byMAC[former.mac] = nil
        }
    }

    /// How many ports it remembers: those that have a lease, or had the last one of its address.
    var portCount: Int { leases.withLock { $0.byMAC.count } }

    func lease(at address: IPv4Address) -> DHCPLease? { leases.withLock { $0.byAddress[address] } }

    /// The lease of an address whose time is not over.
    func activeLease(at address: IPv4Address, nowMilliseconds now: Int64) -> DHCPLease? {
        lease(at: address).flatMap { $0.isActive(atMilliseconds: now) ? $0 : nil }
    }

    /// What a port was granted last, if it is still its own.
    func lease(of mac: MACAddress) -> DHCPLease? {
        leases.withLock { leases in leases.byMAC[mac].flatMap { leases.byAddress[$0] } }.flatMap { $0.mac == mac ? $0 : nil }
    }

    /// Who was last granted the address and has not given it back, be it that the lease's time is over.
    func holder(of address: IPv4Address) -> MACAddress? {
        lease(at: address).flatMap { $0.state == .bound ? $0.mac : nil }
    }
}
