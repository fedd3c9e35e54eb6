internal import Control
internal import NetBoot
public import Store

extension RecordKind {
    /// What the services for machines keep in the store.
    public static let ofBootServices = [
        RecordKind("DHCP lease", prefix: "/leases/") { stored in
            let lease = try RecordCoding.decode(DHCPLease.self, from: stored.value)
            guard stored.key.hasSuffix("/" + lease.address.description) else { throw StoreError.corrupt("it says that it is of \(lease.address)") }
        }
    ]
}
