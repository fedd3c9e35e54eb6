internal import FoundationEssentials
internal import GRDB

/// Revisions that were acknowledged and are not in the database any more.
public struct RevisionLoss: Sendable, Equatable {
    /// The key of a loss that no server has reported yet. A command that opens the store first settles the loss, and does not report it.
    public static let key = "/control/revisions-lost"

    public var first: Revision
    public var last: Revision

    public var count: Int64 { last.rawValue - first.rawValue + 1 }

    public init(first: Revision, last: Revision) {
        self.first = first
        self.last = last
    }

    /// Reads what is kept at ``key``: as `6,9`.
    public init(_ value: [UInt8]) throws(StoreError) {
        let numbers = String(decoding: value, as: UTF8.self).split(separator: ",", omittingEmptySubsequences: false).map { Int64($0) }
        guard numbers.count == 2, let first = numbers[0], let last = numbers[1], first > 0, first <= last, last <= StoreLimits.revision else {
            throw .corrupt("it names no revisions")
        }
        self.init(first: Revision(rawValue: first), last: Revision(rawValue: last))
    }

    var value: [UInt8] { Array("\(first.rawValue),\(last.rawValue)".utf8) }

    /// Writes the loss into the database at a revision of its own, together with an earlier loss that is not reported yet.
    func keep(at revision: Int64, _ db: Database) throws {
        var loss = self
        var created = revision
        let sql = "SELECT e.created, v.value FROM entries e LEFT JOIN versions v ON v.id = e.id WHERE e.key = ?"
        if let row = try Row.fetchOne(db, sql: sql, arguments: [Self.key]) {
            created = Int64.fromDatabaseValue(row[0]) ?? revision
            if let old = Data.fromDatabaseValue(row[1]).flatMap({ try? RevisionLoss([UInt8]($0)) }) {
                loss = RevisionLoss(first: min(first, old.first), last: max(last, old.last))
            }
        }
        let id = revision << SQLiteSchema.positionBits
        try db.execute(
            sql: "INSERT INTO versions (id, key, created, value) VALUES (?, ?, ?, ?)", arguments: [id, Self.key, created, Data(loss.value)])
        try db.execute(sql: "INSERT OR REPLACE INTO entries (key, id, created) VALUES (?, ?, ?)", arguments: [Self.key, id, created])
    }
}

extension SQLiteStore {
    /// The loss that no server has reported yet, whichever program settled it.
    public func untoldLoss() async throws(StoreError) -> RevisionLoss? {
        guard let stored = try await get(RevisionLoss.key) else { return loss }
        return (try? RevisionLoss(stored.value)) ?? loss
    }
}
