/// The keys below which secrets rest. A store keeps no history of them and shows them to no watch, and what is deleted
/// or replaced there is gone from its files soon after.
public enum SecretKeys {
    public static let prefix = "/secrets/"
    /// What all of them sort before.
    static let end = "/secrets0"

    public static func contains(_ key: String) -> Bool { StoreKey.matches(key, prefix: prefix) }
}
