internal import GRDB

extension SQLiteStore {
    /// Whether old bytes of secrets may still be in the files: for moments after a deletion, or while a long read prevents it.
    public var isErasing: Bool { eraser.isPending }

    /// Whether nothing deleted is left in the files; false for a store that the first schema has written to, until
    /// ``eraseRemains()``.
    public func isErased() async throws(StoreError) -> Bool { try await read { db in try SQLiteSchema.isErased(db) } }

    /// Writes the whole database anew, so that nothing that was ever deleted from it is left in its files.
    /// Needs room for a second copy meanwhile.
    func eraseRemains() async throws(StoreError) {
        try await write { db in
            try db.execute(sql: "VACUUM")
            try db.execute(sql: "UPDATE meta SET is_erased = 1 WHERE id = 1")
        }
        eraser.erase()
    }
}
