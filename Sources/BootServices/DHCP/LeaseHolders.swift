internal import Synchronization
internal import Wire

/// Who holds which address by our own leases: what ties a question that comes over HTTP to a machine.
///
/// A source address alone proves little on a shared wire, but it keeps one machine from being
/// given what is another's for the mere asking.
final class LeaseHolders: Sendable {
    private let holders = Mutex<[IPv4Address: MACAddress]>([:])

    func set(_ address: IPv4Address, to mac: MACAddress?) { holders.withLock { $0[address] = mac } }
    func holder(of address: IPv4Address) -> MACAddress? { holders.withLock { $0[address] } }
}
