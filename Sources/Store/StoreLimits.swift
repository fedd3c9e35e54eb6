/// What every store holds to.
public enum StoreLimits {
    /// The longest key, in bytes of UTF-8.
    public static let keyBytes = 512
    /// The largest value, in bytes (16 MiB of user data fits in base64).
    public static let valueBytes = 24 << 20
    /// The largest revision: its number stands above ``SQLiteSchema/positionBits`` in 63 bits, and a restore goes beyond it.
    static let revision: Int64 = 1 << 50
    /// The most mutations in one transaction.
    public static let mutationsPerCommit = 4096
    /// The most bytes of keys and values in one transaction.
    public static let commitBytes = 64 << 20
    /// The most values in one page.
    public static let listLimit = 10_000
    /// The most bytes of values in one page; a page holds at least one value.
    public static let listBytes = 64 << 20
    /// The most unread batches of one watcher.
    public static let watchBuffer = 8192
    /// The most unread bytes of one watcher; one batch always fits.
    public static let watchBufferBytes = 128 << 20
    /// The same of a watcher at the other end of a connection: some seconds of a busy rack. What waits is shared by all
    /// watchers of the same kind, so a thousand that do not read take little more than one.
    public static let remoteWatchBuffer = 1024
    public static let remoteWatchBufferBytes = 4 << 20
    /// The most transactions waiting to be written at one time.
    public static let waitingCommits = 65_536
    /// The most bytes of transactions waiting to be written at one time.
    public static let waitingCommitBytes = 256 << 20
}

/// What a key must look like: `/a/b/c`, no empty part, no control characters.
enum StoreKey {
    static func validate(_ key: String) throws(StoreError) {
        if let reason = fault(key) { throw .invalidKey("\(key.prefix(80).debugDescription): \(reason)") }
    }

    private static func fault(_ key: String) -> String? {
        var key = key
        return key.withUTF8 { bytes -> String? in
            if bytes.isEmpty { return "it is empty" }
            if bytes.count > StoreLimits.keyBytes {
                return "it has \(bytes.count) bytes, the limit is \(StoreLimits.keyBytes)"
            }
            if bytes[0] != UInt8(ascii: "/") { return "it does not begin with /" }
            if bytes[bytes.count - 1] == UInt8(ascii: "/") { return "it ends with /" }
            var previous: UInt8 = 0
            for byte in bytes {
                if byte < 0x20 || byte == 0x7f { return "it holds a control character" }
                if byte == UInt8(ascii: "/"), previous == byte { return "it has an empty part (//)" }
                previous = byte
            }
            return nil
        }
    }

    /// Whether `key` starts with `prefix`, byte by byte (String's own `hasPrefix`
    /// takes canonically equal text for the same).
    static func matches(_ key: String, prefix: String) -> Bool {
        key.utf8.starts(with: prefix.utf8)
    }

    /// The least text that sorts after everything that starts with `prefix`; nil
    /// when there is none. UTF-8 sorts as its scalars do.
    static func end(ofPrefix prefix: String) -> String? {
        var scalars = Array(prefix.unicodeScalars)
        while let last = scalars.popLast() {
            let next = last.value == 0xd7ff ? 0xe000 : last.value + 1
            guard let successor = Unicode.Scalar(next) else { continue }
            scalars.append(successor)
            var text = ""
            text.unicodeScalars.append(contentsOf: scalars)
            return text
        }
        return nil
    }
}

/// A transaction that was found well formed, with its size.
struct CheckedTransaction: Sendable {
    let mutations: [Mutation]
    let bytes: Int

    init(_ mutations: [Mutation]) throws(StoreError) {
        guard mutations.count <= StoreLimits.mutationsPerCommit else {
            throw .invalidTransaction(
                "it has \(mutations.count) mutations, the limit is \(StoreLimits.mutationsPerCommit)")
        }
        var bytes = 0
        var changed: Set<ByteKey> = []
        for mutation in mutations {
            try StoreKey.validate(mutation.key)
            bytes += mutation.key.utf8.count
            if case .put(let key, let value, _) = mutation {
                guard value.count <= StoreLimits.valueBytes else {
                    throw .valueTooLarge(key: key, bytes: value.count, limit: StoreLimits.valueBytes)
                }
                bytes += value.count
            }
            if case .check = mutation { continue }
            if mutations.count > 1, !changed.insert(ByteKey(mutation.key)).inserted {
                throw .invalidTransaction("it changes \(mutation.key) more than once")
            }
        }
        guard bytes <= StoreLimits.commitBytes else {
            throw .invalidTransaction("it has \(bytes) bytes, the limit is \(StoreLimits.commitBytes)")
        }
        self.mutations = mutations
        self.bytes = bytes
    }
}

/// A key that is equal and ordered by its UTF-8 bytes, as in a database; String
/// compares canonically equal text as the same.
struct ByteKey: Hashable, Comparable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: ByteKey, right: ByteKey) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }
    static func < (left: ByteKey, right: ByteKey) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }
    func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
    }
}

extension Mutation {
    var key: String {
        switch self {
        case .put(let key, _, _), .delete(let key, _), .check(let key, _): key
        }
    }

    var precondition: Precondition {
        switch self {
        case .put(_, _, let precondition), .delete(_, let precondition), .check(_, let precondition): precondition
        }
    }
}

extension Precondition {
    /// Whether it holds for a key last modified at `current` (nil: not there).
    func holds(for current: Revision?) -> Bool {
        switch self {
        case .none: true
        case .absent: current == nil
        case .exists: current != nil
        case .revision(let revision): current == revision
        }
    }
}
