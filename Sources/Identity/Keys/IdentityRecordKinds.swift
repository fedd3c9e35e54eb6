internal import FoundationEssentials
public import Store

extension RecordKind {
    /// What the issuer keeps in the store.
    public static let ofIdentity = [
        RecordKind("issuer's keys", prefix: "/secrets/identity/") { stored in
            _ = try JSONDecoder().decode([KeyVault.Entry].self, from: Data(stored.value))
        }
    ]
}
