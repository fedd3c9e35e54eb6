/// A kind of record, for who looks through all of them: where its keys lie, and how one is read.
public struct RecordKind: Sendable {
    public var name: String
    /// Ends with a slash, or is the whole key.
    public var prefix: String
    /// Throws what is wrong with a record; secrets come as they are, not sealed.
    public var check: @Sendable (_ stored: StoredValue) throws -> Void

    public init(_ name: String, prefix: String, check: @escaping @Sendable (_ stored: StoredValue) throws -> Void) {
        self.name = name
        self.prefix = prefix
        self.check = check
    }

    public func holds(_ key: String) -> Bool { prefix.hasSuffix("/") ? StoreKey.matches(key, prefix: prefix) : key == prefix }
}
