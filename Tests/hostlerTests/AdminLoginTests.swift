import API
import Foundation
import Logging
import Model
import Store
import Testing

@testable import hostler

@Suite("nobody is locked out", .serialized)
struct AdminLoginTests {
    private let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    private func login(_ folder: TestFolder, port: Int, tls: Bool = true, address: String = "127.0.0.1") -> AdminLogin {
        AdminLogin(
            stateDirectory: folder.path,
            api: APIConfiguration(address: address, port: port, tls: tls ? .generated(directory: folder.path + "/tls") : .off), logger: quiet)
    }

    @Test("the login is made where there is none, left alone where it fits, and mended where it does not")
    func kept() async throws {
        let folder = try TestFolder()
        let store = MemoryStore()
        let tokens = TokenStore(store: store)
        try await login(folder, port: 8443).keep(tokens, port: 8443)
        let path = folder.path + "/admin.json"
        let first = try #require(SavedServer.read(path))
        #expect(first.server == "https://127.0.0.1:8443")
        #expect(try await tokens.verify(first.token)?.role == .admin)
        #expect(try first.ca == String(contentsOfFile: folder.path + "/tls/ca.pem", encoding: .utf8))
        #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)

        let before = try Data(contentsOf: URL(fileURLWithPath: path))
        try await login(folder, port: 8443).keep(tokens, port: 8443)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
        // Another port, no TLS, another CA: the token stays.
        try await login(folder, port: 9000).keep(tokens, port: 9000)
        #expect(SavedServer.read(path)?.server == "https://127.0.0.1:9000")
        try await login(folder, port: 9000, tls: false).keep(tokens, port: 9000)
        #expect(SavedServer.read(path) == SavedServer(server: "http://127.0.0.1:9000", token: first.token, ca: nil))
        try FileManager.default.removeItem(atPath: folder.path + "/tls")
        try await login(folder, port: 9000).keep(tokens, port: 9000)
        let other = try #require(SavedServer.read(path))
        #expect(other.ca != first.ca && other.ca != nil && other.token == first.token)
        #expect(try await tokens.list().count == 1)

        // Missing, torn, of another record, revoked: another token.
        for damage in ["", "{", #"{"server":"x","token":"hst_t-00000000_00"}"#] {
            try Data(damage.utf8).write(to: URL(fileURLWithPath: path))
            try await login(folder, port: 9000).keep(tokens, port: 9000)
            let found = try #require(SavedServer.read(path))
            #expect(try await tokens.verify(found.token)?.role == .admin, "\(damage)")
        }
        try FileManager.default.removeItem(atPath: path)
        try await login(folder, port: 9000).keep(tokens, port: 9000)
        let last = try #require(SavedServer.read(path))
        let id = try #require(try await tokens.verify(last.token)?.id)
        try await tokens.revoke(id)
        try await login(folder, port: 9000).keep(tokens, port: 9000)
        #expect(try await tokens.verify(SavedServer.read(path)?.token ?? "")?.role == .admin)
        // A token of less power is not one to lock root in with.
        let viewer = try await tokens.create(name: "v", role: .viewer).secret
        try SavedServer(server: "x", token: viewer).write(to: path)
        try await login(folder, port: 9000).keep(tokens, port: 9000)
        #expect(SavedServer.read(path)?.token != viewer)
    }

    @Test("a kill between the file and the record costs nothing: the next start sees that the token opens nothing")
    func between() async throws {
        let folder = try TestFolder()
        let closed = MemoryStore()
        try await closed.close()
        await #expect(throws: StoreError.self) { try await login(folder, port: 1).keep(TokenStore(store: closed), port: 1) }
        let stale = try #require(SavedServer.read(folder.path + "/admin.json"))
        let tokens = TokenStore(store: MemoryStore())
        try await login(folder, port: 1).keep(tokens, port: 1)
        let found = try #require(SavedServer.read(folder.path + "/admin.json"))
        #expect(found.token != stale.token)
        #expect(try await tokens.verify(found.token) != nil)
    }

    @Test("an address that stands for all is called by one that can be reached")
    func addresses() throws {
        let folder = try TestFolder()
        for (address, url) in [
            ("0.0.0.0", "http://127.0.0.1:1"), ("::", "http://[::1]:1"), ("fd00::1", "http://[fd00::1]:1"), ("rack.example", "http://rack.example:1"),
        ] {
            #expect(login(folder, port: 1, tls: false, address: address).server(port: 1).server == url)
        }
    }

    @Test("a token that root leaves is good at its first use, once, and does not come back after it is revoked")
    func local() async throws {
        let folder = try TestFolder()
        let local = LocalTokens(stateDirectory: folder.path)
        let tokens = TokenStore(store: MemoryStore(), local: local)
        let now = TokenStore.wallClock()
        let made = try local.leave(name: "me", role: .admin, expiresAt: nil, now: now)
        let file = folder.path + "/new-tokens/\(made.token.id)"
        #expect(try !String(contentsOfFile: file, encoding: .utf8).contains(made.secret.suffix(64)))
        #expect(try await tokens.verify(made.secret.dropLast(1) + "x") == nil)
        #expect(try await tokens.verify(made.secret)?.name == "me")
        #expect(!FileManager.default.fileExists(atPath: file))
        let second = try local.leave(name: "two", role: .admin, expiresAt: nil, now: now)
        #expect(try await tokens.list().map(\.name).sorted() == ["me", "two"])
        try await tokens.revoke(made.token.id)
        #expect(try await tokens.verify(made.secret) == nil)
        #expect(try await tokens.verify(second.secret) != nil)

        // What others could have put there says nothing.
        let third = try local.leave(name: "three", role: .admin, expiresAt: nil, now: now)
        let path = folder.path + "/new-tokens/\(third.token.id)"
        #expect(chmod(path, 0o644) == 0)
        #expect(try await tokens.verify(third.secret) == nil)
        #expect(chmod(path, 0o600) == 0 && chmod(folder.path + "/new-tokens", 0o777) == 0)
        #expect(try await tokens.verify(third.secret) == nil)
        #expect(chmod(folder.path + "/new-tokens", 0o700) == 0)
        let elsewhere = folder.path + "/elsewhere"
        #expect(rename(path, elsewhere) == 0 && symlink(elsewhere, path) == 0)
        #expect(try await tokens.verify(third.secret) == nil)
        // The file of one id with the record of another.
        #expect(unlink(path) == 0 && rename(elsewhere, folder.path + "/new-tokens/t-0123456789") == 0)
        #expect(try await tokens.verify(third.secret) == nil)
        #expect(try await tokens.list().count == 1)
    }

    @Test("a first start with the API's port taken, kills in the first moments, another port: the command line works on this host")
    func starts() throws {
        let folder = try TestFolder()
        let state = folder.path + "/state"
        let taken = try TakenPort()
        let refused = try HostlerProcess.Server(state: state, port: taken.number)
        refused.end(0)
        #expect(refused.process.terminationStatus != 0)
        #expect(SavedServer.read(state + "/admin.json") != nil)
        taken.free()

        var random = SystemRandomNumberGenerator()
        for _ in 0..<6 {
            let killed = folder.path + "/killed"
            try? FileManager.default.removeItem(atPath: killed)
            let first = try HostlerProcess.Server(state: killed, port: taken.number)
            usleep(UInt32.random(in: 0...300_000, using: &random))
            first.end(SIGKILL)
            let second = try HostlerProcess.Server(state: killed, port: taken.number)
            try second.waitUntilItListens()
            let status = try HostlerProcess.run("status", state: killed)
            second.end()
            #expect(status.status == 0, "\(status.error)")
        }

        let port = try TakenPort()
        port.free()
        let server = try HostlerProcess.Server(state: state, port: port.number, "--no-tls")
        try server.waitUntilItListens()
        defer { server.end() }
        #expect(try HostlerProcess.run("status", state: state).status == 0)
        // Its login is lost and its token with it: root makes another while the server runs.
        try FileManager.default.removeItem(atPath: state + "/admin.json")
        #expect(try HostlerProcess.run("status", state: state).status != 0)
        let made = try HostlerProcess.run("token", "create", "me", "--role", "admin", "--local", state: state)
        let token = made.output.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(made.status == 0 && token.hasPrefix("hst_"), "\(made.error)")
        let url = "http://127.0.0.1:\(port.number)"
        let status = try HostlerProcess.run("status", "--server", url, "--token", token, state: state)
        #expect(status.status == 0, "\(status.error)")
        server.end()
        // And while it does not run.
        let offline = try HostlerProcess.run("token", "create", "off", "--role", "admin", "--local", state: state)
        #expect(offline.status == 0, "\(offline.error)")
        let again = try HostlerProcess.Server(state: state, port: port.number, "--no-tls")
        try again.waitUntilItListens()
        let secret = offline.output.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(try HostlerProcess.run("status", "--server", url, "--token", secret, state: state).status == 0)
        again.end()
        #expect(try HostlerProcess.run("token", "create", "x", "--local", state: folder.path + "/none").status != 0)
    }
}
