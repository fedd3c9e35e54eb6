internal import FoundationEssentials
internal import GRDB

/// Where the values of secrets rest in the database: in rows of one size, of which a page of the file holds exactly one.
///
/// `secure_delete` overwrites what is deleted, but not the copies that SQLite leaves behind where it moved a row from one
/// page to another: in a table of small rows 3 of 1,000 deleted values were still in the file. A row that fills its page
/// is overwritten by the next one in the same place, or its page is freed and overwritten as a whole.
enum SecretPages {
    /// Two rows of this size do not fit into a page of ``SQLiteStore/pageBytes``, and one fits without an overflow page.
    static let bytes = 4000
    /// So large that every row's number has the same length in the file (a varint of 9 bytes).
    private static let firstID: Int64 = 1 << 56

    static let tables = """
        -- id: as entries.id; the value is byte_count bytes from first_page on
        CREATE TABLE secrets (
            id INTEGER PRIMARY KEY,
            first_page INTEGER NOT NULL,
            byte_count INTEGER NOT NULL
        );
        CREATE TABLE secret_pages (
            id INTEGER PRIMARY KEY,
            bytes BLOB NOT NULL
        );
        """

    static func write(_ value: some Collection<UInt8>, id: Int64, _ db: Database) throws {
        let newest = try Int64.fetchOne(db.cachedStatement(sql: "SELECT max(id) FROM secret_pages"))
        let first = newest.map { $0 + 1 } ?? firstID
        let statement = try db.cachedStatement(sql: "INSERT INTO secret_pages (id, bytes) VALUES (?, ?)")
        var rest = value[...]
        for page in 0..<pageCount(value.count) {
            var bytes = Data(rest.prefix(Self.bytes))
            bytes.append(contentsOf: [UInt8](repeating: 0, count: Self.bytes - bytes.count))
            try statement.execute(arguments: [first + page, bytes])
            rest = rest.dropFirst(Self.bytes)
        }
        try db.cachedStatement(sql: "INSERT INTO secrets (id, first_page, byte_count) VALUES (?, ?, ?)")
            .execute(arguments: [id, first, value.count])
    }

    static func read(id: Int64, _ db: Database) throws -> [UInt8] {
        let (first, count) = try place(of: id, db)
        var value: [UInt8] = []
        value.reserveCapacity(count)
        let sql = "SELECT bytes FROM secret_pages WHERE id >= ? AND id < ? ORDER BY id"
        let rows = try Row.fetchCursor(db.cachedStatement(sql: sql), arguments: [first, first + pageCount(count)])
        while let row = try rows.next() {
            try row.withUnsafeData(atIndex: 0) { value += ($0 ?? Data()).prefix(count - value.count) }
        }
        guard value.count == count else { throw StoreError.corrupt("pages of the secret \(id) are missing") }
        return value
    }

    static func remove(id: Int64, _ db: Database) throws {
        // One whose place is damaged has no pages that could be named.
        guard let (first, count) = try? place(of: id, db) else {
            return try db.cachedStatement(sql: "DELETE FROM secrets WHERE id = ?").execute(arguments: [id])
        }
        try db.cachedStatement(sql: "DELETE FROM secret_pages WHERE id >= ? AND id < ?").execute(arguments: [first, first + pageCount(count)])
        try db.cachedStatement(sql: "DELETE FROM secrets WHERE id = ?").execute(arguments: [id])
    }

    private static func place(of id: Int64, _ db: Database) throws -> (first: Int64, count: Int) {
        let statement = try db.cachedStatement(sql: "SELECT first_page, byte_count FROM secrets WHERE id = ?")
        guard let row = try Row.fetchOne(statement, arguments: [id]), let first = Int64.fromDatabaseValue(row[0]),
            let count = Int.fromDatabaseValue(row[1]),
            (0...StoreLimits.valueBytes).contains(count), (firstID..<(.max - Int64(StoreLimits.valueBytes))).contains(first)
        else { throw StoreError.corrupt("the secret \(id) is missing") }
        return (first, count)
    }

    private static func pageCount(_ bytes: Int) -> Int64 { Int64(max(1, (bytes + Self.bytes - 1) / Self.bytes)) }

    /// Moves the secrets out of `versions`, where the first schema kept them with their history.
    static func moveFromVersions(_ db: Database) throws {
        let bounds: StatementArguments = [SecretKeys.prefix, SecretKeys.end]
        for id in try Int64.fetchAll(db, sql: "SELECT id FROM entries WHERE key >= ? AND key < ?", arguments: bounds) {
            guard let value = try Data.fetchOne(db, sql: "SELECT value FROM versions WHERE id = ?", arguments: [id]) else {
                throw StoreError.corrupt("the version \(id) is missing")
            }
            try write(value, id: id, db)
        }
        try db.execute(sql: "DELETE FROM versions WHERE key >= ? AND key < ?", arguments: bounds)
    }

    /// Takes out the secrets for which `keeps` says false, and answers their keys.
    static func remove(from db: Database, unless keeps: (_ key: String, _ value: [UInt8]) -> Bool) throws -> [String] {
        let unwanted = try unwanted(in: db, unless: keeps)
        for (key, id) in unwanted {
            try remove(id: id, db)
            try db.execute(sql: "DELETE FROM entries WHERE key = ?", arguments: [key])
        }
        return unwanted.map(\.key)
    }

    static func unwanted(in db: Database, unless keeps: (_ key: String, _ value: [UInt8]) -> Bool) throws -> [(key: String, id: Int64)] {
        let sql = "SELECT key, id FROM entries WHERE key >= ? AND key < ? ORDER BY key"
        return try Row.fetchAll(db, sql: sql, arguments: [SecretKeys.prefix, SecretKeys.end]).compactMap { row in
            guard let key = String.fromDatabaseValue(row[0]), let id = Int64.fromDatabaseValue(row[1]) else {
                throw StoreError.corrupt("a secret has no key")
            }
            // One that cannot be read does not open either.
            guard let value = try? read(id: id, db) else { return (key, id) }
            return keeps(key, value) ? nil : (key, id)
        }
    }
}
