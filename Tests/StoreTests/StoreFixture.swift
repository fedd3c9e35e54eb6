import Foundation
import Logging
import Store

/// A directory of the test's own, removed when the fixture goes.
final class StoreFixture: Sendable {
    let directory: String
    var path: String { directory + "/state/hostler.db" }

    var key: KeyFile { KeyFile(directory + "/state/seal.key") }

    init() throws {
        directory = NSTemporaryDirectory() + "/hostler-store-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    func open(_ options: SQLiteStore.Options = SQLiteStore.Options()) throws -> SQLiteStore {
        try SQLiteStore(path: path, options: options, logger: quiet)
    }

    func openSealed() async throws -> SealedStore { try await SealedStore.open(open(), keyFile: key, logger: quiet) }

    /// Which of these stand in any file of the state directory, its key files aside, or in `others`.
    func found(_ texts: some Sequence<String>, also others: [String] = []) throws -> [String] {
        let state = try FileManager.default.contentsOfDirectory(atPath: directory + "/state")
            .filter { !$0.hasSuffix(".key") }.map { directory + "/state/" + $0 }
        let contents = try (state + others).map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
        return texts.filter { text in contents.contains { $0.range(of: Data(text.utf8)) != nil } }
    }

    func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return (attributes[.posixPermissions] as? NSNumber)?.intValue ?? -1
    }

    func names() throws -> [String] {
        // SQLite's log and its index may outlive a close, empty, and go with the next.
        try FileManager.default.contentsOfDirectory(atPath: directory + "/state")
            .filter { !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") && !$0.hasSuffix(".mark") }.sorted()
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
