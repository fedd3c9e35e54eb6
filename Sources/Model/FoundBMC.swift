/// A BMC that a scan found on the network. Nothing but what it says before a login.
public struct FoundBMC: Codable, Sendable, Equatable {
    public var address: String
    /// How it answered.
    public var kinds: [BMCKind]
    public var vendor: String?
    public var product: String?
    public var redfishVersion: String?
    /// Of its certificate.
    public var fingerprint: String?
    /// The BMC in the record with this address.
    public var known: BMCID?

    public init(address: String, kinds: [BMCKind] = []) {
        self.address = address
        self.kinds = kinds
    }
}
