/// What is kept of the two keys of an installation: the SHA-256 of each, in lower-case hexadecimal. The keys are random
/// numbers of 256 bits, so nothing leads back to them from here.
public struct KeyVerifiers: Codable, Sendable, Equatable {
    /// Of the key that root of the installed system reads, and that its identity is given for.
    public var instance: String
    /// Of the key that its first-boot data is fetched with.
    public var seed: String

    public init(instance: String, seed: String) {
        self.instance = instance
        self.seed = seed
    }
}
