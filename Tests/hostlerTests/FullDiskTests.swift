import API
import Control
import Foundation
import Logging
import Model
import Store
import Testing

@testable import hostler

@Suite("a start on a full disk")
struct FullDiskTests {
    private let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    private struct NoImages: ImageCatalog {
        func image(named name: String) async throws -> InstallableImage? { nil }
        func image(digest: String) async throws -> InstallableImage? { nil }
    }

    private func isFull(_ store: SealedStore, _ key: String, _ bytes: Int) async throws -> Bool {
        do throws(StoreError) {
            try await store.commit([.put(key: key, value: [UInt8](repeating: 1, count: bytes), if: .none)])
            return false
        } catch {
            guard case .diskFull = error else { throw error }
            return true
        }
    }

    @Test("the control plane opens, a token that root left waits on in its file, and is good once there is room")
    func start() async throws {
        let folder = try TestFolder()
        let state = folder.path + "/state"
        func open(limit: Int?) async throws -> SealedStore {
            var options = SQLiteStore.Options()
            options.sizeLimitBytes = limit
            return try await SealedStore.open(
                SQLiteStore(path: state + "/hostler.db", options: options, logger: quiet), keyFile: KeyFile(state + "/seal.key"), logger: quiet)
        }
        let environment = ControlEnvironment(clock: .system(), logger: quiet)
        let first = try await open(limit: 1 << 20)
        _ = try await ControlPlane.open(store: first, images: NoImages(), environment: environment)
        func fill(_ store: SealedStore, _ name: String) async throws {
            for bytes in [50_000, 1000, 1] {
                var number = 0
                while try await !isFull(store, "/leases/rack/\(name)-\(bytes)-\(number)", bytes) { number += 1 }
            }
        }
        try await fill(first, "first")
        try await first.close()

        // Opened anew it has a little room again.
        let full = try await open(limit: 1 << 20)
        try await fill(full, "second")
        let revision = try await full.currentRevision()
        let control = try await ControlPlane.open(store: full, images: NoImages(), environment: environment)
        #expect(control.snapshot.machines.isEmpty)
        let local = LocalTokens(stateDirectory: state)
        let made = try local.leave(name: "me", role: .admin, expiresAt: nil, now: TokenStore.wallClock())
        let file = state + "/new-tokens/\(made.token.id)"
        let tokens = TokenStore(store: full, local: local)
        let error = try await tokens.takeLocal()
        guard case .diskFull? = error else { throw error ?? .closed }
        #expect(FileManager.default.fileExists(atPath: file))
        // Others are listed all the same, and its own use says why it is not good yet.
        #expect(try await tokens.list().isEmpty)
        await #expect(throws: StoreError.self) { _ = try await tokens.verify(made.secret) }
        #expect(FileManager.default.fileExists(atPath: file))
        #expect(try await full.currentRevision() == revision)
        try await full.close()

        // A server that was ended while it took one in takes it at its next start.
        try FileManager.default.moveItem(atPath: file, toPath: state + "/new-tokens/taking-\(made.token.id)")
        let roomy = try await open(limit: nil)
        let again = TokenStore(store: roomy, local: local)
        #expect(try await again.takeLocal() == nil)
        #expect(try await again.verify(made.secret)?.name == "me")
        #expect(try FileManager.default.contentsOfDirectory(atPath: state + "/new-tokens").isEmpty)
        try await roomy.close()
    }
}
