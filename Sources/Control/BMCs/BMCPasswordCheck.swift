public import Hardware
internal import Model
public import Store

/// Whether the password of a BMC, as it lies in the record, opens with a vault's key.
public enum BMCPasswordCheck {
    public static let prefix = "/secrets/bmcs/"

    /// - Parameter stored: the record, with the server's seal taken off.
    public static func check(_ stored: StoredValue, with vault: Vault) throws {
        guard let id = BMCID(rawValue: String(stored.key.dropFirst(prefix.count))) else { throw StoreError.corrupt("\(stored.key) is of no BMC") }
        let secret = try RecordCoding.decode(BMCSecret.self, from: stored.value)
        for sealed in [secret.current, secret.pending].compactMap(\.self) { _ = try vault.open(sealed, context: BMCSecret.context(id)) }
    }
}
