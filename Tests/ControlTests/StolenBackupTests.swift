import Foundation
import Logging
import Metadata
import Model
import Store
import Testing
import Wire

@testable import Control

@Suite("Whoever has a backup")
struct StolenBackupTests {
    /// What can be made of a secret that may stand somewhere in a file.
    private struct Target {
        var machine: MachineID
        var boot: String
        var operation: OperationID
        /// What the thief is after.
        var session: String
        var instanceKey: String
        var seedKey: String
    }

    /// Takes every 32 bytes of a file for the secret that sessions and keys hang on, now or in earlier versions.
    private func attack(_ bytes: [UInt8], _ target: Target) -> [String] {
        var found: Set<String> = []
        for start in 0...max(0, bytes.count - 32) {
            let candidate = Array(bytes[start..<min(start + 32, bytes.count)])
            // Text and empty pages are no random numbers.
            guard Set(candidate).count > 12 else { continue }
            if BootNonces(secret: candidate).session(machine: target.machine, boot: target.boot) == target.session { found.insert("session") }
            let keys = InstallationKeys.derived(from: candidate, machine: target.machine, operation: target.operation)
            if keys.instance == target.instanceKey { found.insert("instance key") }
            if keys.seed == target.seedKey { found.insert("seed key") }
        }
        return found.sorted()
    }

    private func stolen(from directory: String) async throws -> (target: Target, plain: [String], base: SQLiteStore) {
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let base = try SQLiteStore(path: directory + "/hostler.db", logger: logger)
        let store = try await SealedStore.open(base, keyFile: KeyFile(directory + "/seal.key"), logger: logger)
        let control = try await open(store)
        var target: Target?
        var plain: [String] = []
        try await running(control) { control in
            func secrets(_ operation: Model.Operation) async throws -> SeedSecrets {
                try RecordCoding.decode(SeedSecrets.self, from: try #require(try await store.get(SeedSecrets.key(operation.id))))
            }
            func install(_ agent: HelloReply, _ userData: String) async throws -> Model.Operation {
                let data = Base64Bytes(base64: Data(userData.utf8).base64EncodedString())
                let operation = try await control.start(
                    .install(InstallRequest(image: "debian-12", userData: data)), on: agent.machine.rawValue, by: "test")
                plain += [userData, data.text]
                let made = try await secrets(operation)
                let keys = try #require(made.keys)
                plain += [made.proof, keys.instance, keys.seed]
                _ = try await control.task(for: agent.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
                return operation
            }
            let agent = try await boot(control)
            try await control.record(inventory(), of: agent.machine, wantsProof: false)
            // One that was cancelled, one whose system runs; user-data for the next; and an agent that waits.
            let first = try await install(agent, "#!/bin/sh\n# the-first-user-data\n")
            _ = try await control.cancel(first.id, by: "test")
            let second = try await install(agent, "#!/bin/sh\n# the-second-user-data\n")
            let keys = try #require(try await secrets(second).keys)
            for step in InstallTests.order {
                _ = try await control.report(
                    StepReport(
                        operation: second.id, generation: second.generation, step: step, kind: .succeeded,
                        evidence: step == .chooseDisk ? ["serial": "D1"] : [:]), of: agent.machine, wantsProof: false)
            }
            try await control.callHome(operation: second.id, proof: try await secrets(second).proof, hostKeys: [], evidence: [:])
            let stored = "#!/bin/sh\n# the-stored-user-data\n"
            let data = Base64Bytes(base64: Data(stored.utf8).base64EncodedString())
            _ = try await control.update(
                machine: agent.machine.rawValue, with: MachinePatch(userData: UserDataPatch(content: data)), expecting: nil, by: "test")
            plain += [stored, data.text]
            let waiting = try await boot(control, key: String(repeating: "f", count: 64))
            plain += [agent.session, waiting.session].map { String($0.suffix(64)) }
            let boot = try #require(control.snapshot.machines[agent.machine]?.observed.agent?.boot)
            target = Target(
                machine: agent.machine, boot: boot, operation: second.id, session: waiting.session, instanceKey: keys.instance, seedKey: keys.seed)
        }
        return (try #require(target), plain, base)
    }

    @Test("finds no user-data, proof, key or session in it, and can make none of what is in it")
    func thief() async throws {
        let directory = NSTemporaryDirectory() + "/hostler-stolen-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let (target, plain, base) = try await stolen(from: directory)
        let backup = directory + "/stolen.db"
        try await base.backup(to: backup, atMilliseconds: 5)
        try await base.close()
        for path in [backup, directory + "/hostler.db"] {
            let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
            let data = Data(bytes)
            for secret in plain { #expect(data.range(of: Data(secret.utf8)) == nil, "\(secret) in \(path)") }
            #expect(attack(bytes, target) == [], "\(path)")
        }
        // The same thief succeeds where the secret rests readable, as it did.
        let sealing = try #require(try KeyFile(directory + "/seal.key").sealingKey())
        let store = SealedStore(try SQLiteStore(path: directory + "/hostler.db", logger: Logger(label: "test")), key: sealing)
        let secret = try #require(try await store.get(SessionSecret.key)).value
        #expect(attack([UInt8](repeating: 0, count: 50) + secret + [1, 2, 3], target) == ["session"])
        var former = target
        let keys = InstallationKeys.derived(from: secret, machine: target.machine, operation: target.operation)
        (former.instanceKey, former.seedKey) = (keys.instance, keys.seed)
        #expect(attack([9] + secret, former) == ["instance key", "seed key", "session"])
        try await store.close()
    }
}
