import Foundation
import Logging
import Store

/// A directory of the test's own, removed when the fixture goes.
final class StoreFixture: Sendable {
    let directory: String
    var path: String { directory + "/state/hostler.db" }

    init() throws {
        directory = NSTemporaryDirectory() + "/hostler-store-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    func open(_ options: SQLiteStore.Options = SQLiteStore.Options()) throws -> SQLiteStore {
        try SQLiteStore(path: path, options: options, logger: quiet)
    }

    func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return (attributes[.posixPermissions] as? NSNumber)?.intValue ?? -1
    }

    func names() throws -> [String] {
        // SQLite's log and its index may outlive a close, empty, and go with the next.
        try FileManager.default.contentsOfDirectory(atPath: directory + "/state")
            .filter { !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") }.sorted()
    }
}

let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

extension StateStore {
    @discardableResult
    func put(_ key: String, _ value: String) async throws -> Revision {
        try await commit([.put(key: key, value: Array(value.utf8), if: .none)])
    }

    func text(_ key: String) async throws -> String? {
        try await get(key).map { String(decoding: $0.value, as: UTF8.self) }
    }
}
