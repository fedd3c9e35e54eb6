internal import Model

/// The system event log: the newest entries, oldest first.
struct SystemLog: Sendable {
    /// The flash of a small BMC; older entries give way (WrapsWhenFull).
    static let limit = 200
    /// Members of one page of the collection.
    static let page = 50

    struct Entry: Hashable, Sendable {
        let id: Int
        let at: Timestamp
        let severity: String
        let message: String
    }

    private(set) var entries: [Entry] = []
    private var nextID = 1

    mutating func add(_ message: String, severity: String = "OK", at: Timestamp) {
        entries.append(Entry(id: nextID, at: at, severity: severity, message: message))
        nextID += 1
        if entries.count > Self.limit { entries.removeFirst(entries.count - Self.limit) }
    }

    mutating func clear(at: Timestamp) {
        entries = []
        add("Log cleared.", at: at)
    }

    func entry(_ id: String) -> Entry? { Int(id).flatMap { id in entries.first { $0.id == id } } }
}
