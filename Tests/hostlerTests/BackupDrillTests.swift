import Control
import Foundation
import Glibc
import Hardware
import Logging
import Model
import Store
import Testing

@testable import hostler

@Suite("backups for a new host", .serialized)
struct BackupDrillTests {
    private let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    private let machine = MachineID(unchecked: "m-dr0001")
    private let bmc = BMCID(unchecked: "bmc-dr0001")
    private let verifiers = KeyVerifiers(instance: String(repeating: "ab", count: 32), seed: String(repeating: "cd", count: 32))

    /// A host with a server that has run, a machine whose system runs, and a BMC with a password.
    private func furnish(_ state: String, port: Int) async throws {
        let first = try HostlerProcess.Server(state: state, port: port)
        try first.waitUntilItListens()
        first.end()
        let store = try await open(state)
        var running = Machine(id: machine, name: try DisplayName("web-1"), interfaces: [], now: Timestamp(milliseconds: 1))
        running.state = .running
        running.installed = Installation(
            operation: OperationID(unchecked: "op-dr0001"), generation: 1, image: "debian-12", digest: "sha256:00", hostname: "web-1",
            diskSerial: "S", installedAt: Timestamp(milliseconds: 1))
        running.installed?.keyVerifiers = verifiers
        let vault = try Vault(keyFile: state + "/vault.key")
        let password = try vault.seal("correct horse", context: "bmc-password:" + bmc.rawValue)
        // Nothing listens at port 9.
        let record = BMC(id: bmc, kind: .redfish, address: "127.0.0.1:9", now: Timestamp(milliseconds: 1))
        try await store.commit([
            .put(key: running.key, value: RecordCoding.encode(running), if: .absent),
            .put(key: record.key, value: RecordCoding.encode(record), if: .absent),
            .put(key: "/secrets/bmcs/" + bmc.rawValue, value: Array(#"{"current":"\#(password)"}"#.utf8), if: .absent),
        ])
        try await store.close()
    }

    private func open(_ state: String) async throws -> SealedStore {
        try await SealedStore.open(
            SQLiteStore(path: state + "/hostler.db", logger: quiet), keyFile: KeyFile(state + "/seal.key"), logger: quiet)
    }

    private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

    @Test("the drill: from one backup a new, empty host runs: the CLI, the CA, the tokens, BMC passwords, running systems' keys")
    func drill() async throws {
        let folder = try TestFolder()
        let (old, new) = (folder.path + "/old", folder.path + "/new")
        let port = try TakenPort()
        port.free()
        try await furnish(old, port: port.number)
        let passphrase = folder.path + "/passphrase"
        try Data("six words that nobody else has\n".utf8).write(to: URL(fileURLWithPath: passphrase))
        let (file, bare) = (folder.path + "/whole.backup", folder.path + "/bare.backup")

        let server = try HostlerProcess.Server(state: old, port: port.number)
        try server.waitUntilItListens()
        let taken = try HostlerProcess.run("backup", file, "--passphrase-file", passphrase, "--config", old + ".yaml", state: old)
        #expect(taken.status == 0 && taken.error.isEmpty, "\(taken.error)")
        let without = try HostlerProcess.run("backup", bare, state: old)
        #expect(without.status == 0 && without.error.contains("none of the server's keys"), "\(without.error)")
        #expect(try HostlerProcess.run("backup", bare, state: old).status == 6)
        let said = try HostlerProcess.run("backup", bare, "--without-keys", "--force", state: old)
        #expect(said.status == 0 && said.error.isEmpty, "\(said.error)")
        for inside in [old + "/hostler.db", old + "/x.backup"] {
            let refused = try HostlerProcess.run("backup", inside, "--force", state: old)
            #expect(refused.status != 0 && refused.error.contains("backup-target-state"), "\(refused.error)")
        }
        server.end()
        let verified = try HostlerProcess.run("backup", "verify", file, "--passphrase-file", passphrase, state: folder.path + "/nowhere")
        #expect(
            verified.status == 0 && verified.output.contains("it restores") && verified.output.contains("tls/ca.key"),
            "\(verified.output)\(verified.error)")
        let bareVerified = try HostlerProcess.run("backup", "verify", bare, state: old)
        #expect(bareVerified.status == 0 && bareVerified.output.contains("none of the server's keys"), "\(bareVerified.output)\(bareVerified.error)")

        let restored = try HostlerProcess.run("restore", file, "--passphrase-file", passphrase, "--yes", state: new)
        #expect(
            restored.status == 0 && !restored.output.contains("left out") && restored.output.contains("images"), "\(restored.output)\(restored.error)"
        )
        for name in ["seal.key", "identity.key", "vault.key", "tls/ca.pem", "tls/ca.key"] {
            #expect(try bytes(new + "/" + name) == bytes(old + "/" + name), "\(name)")
            #expect(try FileManager.default.attributesOfItem(atPath: new + "/" + name)[.posixPermissions] as? Int == 0o600)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: new).contains { $0.hasPrefix("hostler.yaml.from-backup-") })

        let second = try HostlerProcess.Server(state: new, port: port.number)
        try second.waitUntilItListens()
        #expect(!second.log.contains("no identities are issued"), "\(second.log)")
        let status = try HostlerProcess.run("status", state: new)
        #expect(status.status == 0, "\(status.error)")
        // A client elsewhere goes on with the token and the CA that it has.
        let client = try #require(SavedServer.read(old + "/admin.json"))
        let elsewhere = folder.path + "/elsewhere"
        try FileManager.default.createDirectory(atPath: elsewhere, withIntermediateDirectories: true)
        try client.write(to: elsewhere + "/admin.json")
        #expect(try HostlerProcess.run("status", state: elsewhere).status == 0)
        let shown = try HostlerProcess.run("machine", "show", machine.rawValue, "-o", "json", state: new)
        #expect(shown.output.contains("\"running\"") && shown.output.contains(verifiers.instance), "\(shown.output)\(shown.error)")
        second.end()
        let check = try HostlerProcess.run("store", "check", state: new)
        #expect(check.status == 0, "\(check.output)")
        let store = try await open(new)
        let stored = try #require(try await store.get("/secrets/bmcs/" + bmc.rawValue))
        try BMCPasswordCheck.check(stored, with: try Vault(keyFile: new + "/vault.key"))
        try await store.close()
    }

    @Test("verify finds what a new host could not do: a key that is not there, another server's, a damaged file, a bad record")
    func faults() async throws {
        let folder = try TestFolder()
        let state = folder.path + "/state"
        let port = try TakenPort()
        port.free()
        try await furnish(state, port: port.number)
        let passphrase = Array("six words that nobody else has".utf8)
        let plain = folder.path + "/plain.backup"
        #expect(try HostlerProcess.run("backup", plain, "--offline", "--without-keys", state: state).status == 0)
        func faults(_ change: (inout [String: [UInt8]]) -> Void) throws -> [String] {
            var keys = try ServerKeys(stateDirectory: state).readAll(configuration: nil)
            change(&keys)
            let file = folder.path + "/changed.backup"
            try? FileManager.default.removeItem(atPath: file)
            try FileManager.default.copyItem(atPath: plain, toPath: file)
            try BackupKeys.add(keys, toBackup: file, passphrase: passphrase)
            return try BackupVerification(file: file, passphrase: passphrase).faults
        }
        #expect(try faults { _ in } == [])
        #expect(try faults { $0["vault.key"] = nil }.contains { $0.contains("vault.key is not in it") })
        #expect(
            try faults { $0["vault.key"] = Array("k1 \(String(repeating: "00", count: 32))\n".utf8) }.contains {
                $0.contains("does not open with vault.key")
            })
        #expect(try faults { $0["identity.key"] = [UInt8](repeating: 1, count: 32) }.contains { $0.contains("does not open with identity.key") })
        #expect(try faults { $0["identity.key"] = nil }.contains { $0.contains("identity.key is not in it") })
        #expect(try faults { $0["seal.key"] = [UInt8](repeating: 1, count: 32) }.contains { $0.contains("not sealed with that seal.key") })
        #expect(try faults { $0["tls/ca.key"] = nil }.contains { $0.contains("CA") })

        var cut = try bytes(plain)
        cut.removeLast(4096)
        try cut.write(to: URL(fileURLWithPath: folder.path + "/cut.backup"))
        #expect(try HostlerProcess.run("backup", "verify", folder.path + "/cut.backup", state: state).status != 0)
        // A backup of a version that knew of three key files restores, and says what it lacks.
        let former = folder.path + "/former.backup"
        try FileManager.default.copyItem(atPath: plain, toPath: former)
        try BackupKeys.add(ServerKeys(stateDirectory: state).read(), toBackup: former, passphrase: passphrase)
        try Data(passphrase).write(to: URL(fileURLWithPath: folder.path + "/passphrase"))
        let restored = try HostlerProcess.run(
            "restore", former, "--passphrase-file", folder.path + "/passphrase", "--yes", state: folder.path + "/former")
        #expect(restored.status == 0 && restored.output.contains("the CA is not in"), "\(restored.output)\(restored.error)")

        let store = try await open(state)
        try await store.commit([.put(key: "/rack/machines/m-bad001", value: [1], if: .none)])
        try await store.close()
        let bad = folder.path + "/bad.backup"
        #expect(try HostlerProcess.run("backup", bad, "--offline", "--without-keys", state: state).status == 0)
        let verified = try HostlerProcess.run("backup", "verify", bad, state: state)
        #expect(verified.status == 1 && verified.output.contains("/rack/machines/m-bad001"), "\(verified.output)")
    }
}
