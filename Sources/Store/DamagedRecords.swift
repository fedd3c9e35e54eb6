internal import Synchronization

/// The records that could not be read: which, of which revision, and why. They stay where they are and count for nothing, and
/// everything else works; `hostler store repair` takes them out.
public final class DamagedRecords: Sendable {
    public struct Entry: Sendable, Equatable {
        public var key: String
        public var revision: Revision
        public var why: String

        public init(key: String, revision: Revision, why: String) {
            self.key = key
            self.revision = revision
            self.why = String(why.prefix(DamagedRecords.whyLimit))
        }

        /// Machines, operations, events and so on: what stands before its name.
        public var folder: String { key.lastIndex(of: "/").map { String(key[...$0]) } ?? key }
        public var name: String { key.lastIndex(of: "/").map { String(key[key.index(after: $0)...]) } ?? key }
    }

    /// More are counted, not named: where a thousand records are damaged their names are the smaller trouble.
    static let limit = 1000
    static let whyLimit = 300

    private struct State {
        var entries: [String: Entry] = [:]
        /// Those that nobody has been told of.
        var news: [Entry] = []
    }

    private let state = Mutex(State())

    public init() {}

    public var all: [Entry] { state.withLock { $0.entries.values.sorted { $0.key < $1.key } } }
    public var isEmpty: Bool { state.withLock { $0.entries.isEmpty } }

    public func note(_ key: String, _ revision: Revision, _ why: String) {
        let entry = Entry(key: key, revision: revision, why: why)
        state.withLock { state in
            guard state.entries[key]?.revision != revision, state.entries[key] != nil || state.entries.count < Self.limit else { return }
            state.entries[key] = entry
            state.news.append(entry)
        }
    }

    /// It was written anew, or deleted.
    public func clear(_ key: String) {
        state.withLock { if !$0.entries.isEmpty { $0.entries[key] = nil } }
    }

    /// Those that were found since this was asked last.
    public func takeNews() -> [Entry] {
        state.withLock { state in
            defer { state.news = [] }
            return state.news
        }
    }
}
