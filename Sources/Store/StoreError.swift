/// Why a store did not do what was asked.
public enum StoreError: Error, Sendable, Equatable {
    /// A precondition did not hold; `current` is the key's revision, nil if absent.
    case conflict(key: String, current: Revision?)
    /// The history asked for is gone; a watch can start after `oldest` or later.
    case compacted(oldest: Revision)
    /// A watcher read too slowly and would have missed events.
    case watcherTooSlow
    /// The key, with what is wrong with it.
    case invalidKey(String)
    /// A value above ``StoreLimits/valueBytes``.
    case valueTooLarge(key: String, bytes: Int, limit: Int)
    /// A transaction that no state could satisfy, with the reason.
    case invalidTransaction(String)
    /// No room for the write; nothing of it was applied.
    case diskFull(String)
    /// The stored data is damaged.
    case corrupt(String)
    /// The file is sound but is not what it should be: not ours, or not a backup.
    case foreign(String)
    /// The secret at this key was sealed with another key, or was changed, or is another one.
    case sealed(String)
    /// A newer version of this program wrote the data.
    case schemaTooNew(found: Int, supported: Int)
    /// A process has the store open.
    case inUse(String)
    /// The store cannot be used now. Of a commit: it may or may not be applied.
    case unavailable(String)
    /// The store was closed.
    case closed
}

extension StoreError: CustomStringConvertible {
    /// Whether it lies in the disk, and what could not be written now may be written later.
    public var isOfTheDisk: Bool {
        switch self {
        case .diskFull, .unavailable: true
        default: false
        }
    }

    /// A stable name for the case, such as `store-conflict`.
    public var code: String {
        switch self {
        case .conflict: "store-conflict"
        case .compacted: "store-compacted"
        case .watcherTooSlow: "store-watcher-too-slow"
        case .invalidKey: "store-invalid-key"
        case .valueTooLarge: "store-value-too-large"
        case .invalidTransaction: "store-invalid-transaction"
        case .diskFull: "store-disk-full"
        case .corrupt: "store-corrupt"
        case .foreign: "store-foreign-file"
        case .sealed: "store-sealed"
        case .schemaTooNew: "store-schema-too-new"
        case .inUse: "store-in-use"
        case .unavailable: "store-unavailable"
        case .closed: "store-closed"
        }
    }

    /// What happened, in one sentence.
    public var description: String {
        switch self {
        case .conflict(let key, let current?): "\(key) is at revision \(current), not as the change expected"
        case .conflict(let key, nil): "\(key) does not exist, but the change expected it"
        case .compacted(let oldest): "the history before revision \(oldest) has been compacted away"
        case .watcherTooSlow: "a watcher read too slowly and was cut off before it could miss a change"
        case .invalidKey(let what): "invalid key \(what)"
        case .valueTooLarge(let key, let bytes, let limit):
            "the value of \(key) has \(bytes) bytes, the limit is \(limit)"
        case .invalidTransaction(let why): "invalid transaction: \(why)"
        case .diskFull(let what): "no room to write the state: \(what)"
        case .corrupt(let what): "the stored state is damaged: \(what)"
        case .foreign(let what): "not a file of this program: \(what)"
        case .sealed(let key): "the secret at \(key) does not open with this server's seal.key"
        case .schemaTooNew(let found, let supported):
            "the state has schema version \(found); this program knows versions up to \(supported)"
        case .inUse(let what): "the state is in use: \(what)"
        case .unavailable(let what): "the state cannot be used now: \(what)"
        case .closed: "the store is closed"
        }
    }

    /// What to do about it.
    public var remedy: String {
        switch self {
        case .conflict: "Read it again, look at what changed, and repeat the change."
        case .compacted: "List again, and watch from the revision of the listing."
        case .watcherTooSlow: "Watch again after the last revision that was read."
        case .invalidKey: "Use a key such as /hosts/h-1, of at most \(StoreLimits.keyBytes) bytes."
        case .valueTooLarge: "Make the value smaller; large data belongs in the image store."
        case .invalidTransaction: "Split the transaction, or name each key once."
        case .diskFull: "Free room on the disk that holds the state; no restart is needed."
        case .corrupt: "Stop the server and restore the newest backup; keep the damaged file for a diagnosis."
        case .foreign: "Check the path: name a file that this program wrote."
        case .sealed: "Put the seal.key of this record back into the state directory, or restore the newest backup."
        case .schemaTooNew: "Upgrade this program, or restore a backup that it made."
        case .inUse: "Stop the server that has it open, or use another state directory."
        case .unavailable: "Check the disk and the permissions of the state directory, then try again."
        case .closed: "Start the server again."
        }
    }
}
