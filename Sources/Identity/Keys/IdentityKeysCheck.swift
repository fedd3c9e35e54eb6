internal import FoundationEssentials
public import Store

/// Whether the issuer's keys, as they lie in the record, open with an identity.key.
public enum IdentityKeysCheck {
    public static let prefix = "/secrets/identity/"

    /// - Parameter stored: the record, with the server's seal taken off.
    public static func check(_ stored: StoredValue, with sealing: SealingKey) throws {
        let purpose = String(stored.key.dropFirst(prefix.count))
        for entry in try JSONDecoder().decode([KeyVault.Entry].self, from: Data(stored.value)) {
            let sealed = Data(base64Encoded: entry.sealed.text).map { Array($0) } ?? []
            _ = try sealing.open(sealed, for: purpose)
        }
    }
}
