import Crypto
import Foundation
import Logging
import Metadata
import Model
import Store
import Synchronization
import Testing
import Wire

@testable import Control

/// A store whose commits fail from some number on, before or after they are applied: what a kill leaves.
private final class DyingStore: StateStore {
    let base: any StateStore
    private let left: Mutex<Int>
    private let appliesLast: Bool

    init(_ base: any StateStore, after commits: Int, appliesLast: Bool) {
        self.base = base
        left = Mutex(commits)
        self.appliesLast = appliesLast
    }

    func commit(_ mutations: [Mutation]) async throws(StoreError) -> Revision {
        let number = left.withLock { left in
            left -= 1
            return left
        }
        if number >= 0 { return try await base.commit(mutations) }
        if number == -1, appliesLast { _ = try await base.commit(mutations) }
        throw .unavailable("killed")
    }

    func get(_ key: String) async throws(StoreError) -> StoredValue? { try await base.get(key) }
    func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> Listing {
        try await base.list(prefix: prefix, after: after, limit: limit)
    }
    func watch(prefix: String, after: Revision) async throws(StoreError) -> AsyncThrowingStream<WatchBatch, any Error> {
        try await base.watch(prefix: prefix, after: after)
    }
    func currentRevision() async throws(StoreError) -> Revision { try await base.currentRevision() }
    func compact(before: Revision) async throws(StoreError) { try await base.compact(before: before) }
    func close() async throws(StoreError) { try await base.close() }
}

@Suite("Secrets of the control plane")
struct ControlSecretTests {
    private let userData = "#!/bin/sh\n# <the-user-data-of-this-machine>\n"

    private func seeds(_ control: ControlPlane) async throws -> [String] {
        try await control.records.store.list(prefix: SeedSecrets.prefix, after: nil, limit: 99).values.map(\.key)
    }

    private func begin(_ control: ControlPlane) async throws -> (agent: HelloReply, operation: Model.Operation, keys: InstallationKeys) {
        let agent = try await boot(control)
        try await control.record(inventory(), of: agent.machine, wantsProof: false)
        let request = InstallRequest(image: "debian-12", userData: Base64Bytes(base64: Data(userData.utf8).base64EncodedString()))
        let operation = try await control.order(.install(request), on: agent.machine.rawValue, by: "test")
        _ = try await control.task(for: agent.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
        return (agent, operation, try #require(try await secrets(control, operation).keys))
    }

    private func secrets(_ control: ControlPlane, _ operation: Model.Operation) async throws -> SeedSecrets {
        try RecordCoding.decode(SeedSecrets.self, from: try #require(try await control.records.store.get(SeedSecrets.key(operation.id))))
    }

    private func report(
        _ control: ControlPlane, _ operation: Model.Operation, _ step: StepName, _ kind: StepReport.Kind = .succeeded, _ problem: Problem? = nil
    ) async throws {
        _ = try await control.report(
            StepReport(
                operation: operation.id, generation: operation.generation, step: step, kind: kind,
                evidence: step == .chooseDisk ? ["serial": "D1"] : [:], problem: problem), of: operation.machine, wantsProof: false)
    }

    private func finish(_ control: ControlPlane, _ operation: Model.Operation) async throws -> String {
        for step in InstallTests.order { try await report(control, operation, step) }
        let proof = try await secrets(control, operation).proof
        try await control.callHome(operation: operation.id, proof: proof, hostKeys: [], evidence: [:])
        return proof
    }

    private func asker(_ control: ControlPlane, _ id: MachineID) throws -> Asker {
        let machine = try #require(control.snapshot.machines[id])
        let operation = control.snapshot.openOperation(of: machine)
        return Asker(
            machine: id, incarnation: InstanceView.incarnation(of: machine, operation),
            keyVerifiers: InstanceView.keyVerifiers(of: machine, operation), address: try #require(IPv4Address("10.77.0.50")), mac: testMAC)
    }

    // MARK: The ends of an operation

    enum End: String, CaseIterable { case succeeded, cancelled, failed, silent, bootLoop, restored, unattested }

    @Test("whichever way an operation ends, its secrets are deleted with it", arguments: End.allCases)
    func ends(_ end: End) async throws {
        let clock = ManualClock()
        let store = MemoryStore()
        let networks = end == .unattested ? [try #require(IPv4Prefix("10.88.0.0/24"))] : []
        func start(epoch: Int = 0) async throws -> ControlPlane {
            try await ControlPlane.open(
                store: store, images: OneImage(),
                environment: ControlEnvironment(now: { clock.now }, logger: Logger(label: "test"), attestedNetworks: networks), restoreEpoch: epoch)
        }
        let control = try await start()
        var id: OperationID?
        try await running(control) { control in
            let (agent, operation, _) = try await begin(control)
            id = operation.id
            #expect(try await seeds(control) == [SeedSecrets.key(operation.id)])
            switch end {
            case .succeeded: _ = try await finish(control, operation)
            case .cancelled: _ = try await control.cancel(operation.id, by: "test")
            case .failed:
                try await report(control, operation, .chooseDisk, .failed, Problem("no-disk", title: "There is no disk"))
            case .silent:
                let changes = try await control.records.watch(Model.Operation.self, after: .zero)
                for try await change in changes {
                    guard case .put(let found) = change, found.value.id == operation.id else { continue }
                    if !found.value.isOpen { break }
                    clock.advance(.seconds(400))
                }
            case .bootLoop:
                for number in 0..<40 where try await control.operation(operation.id).value.isOpen {
                    _ = try await boot(control, key: Hex.encode((0..<32).map { _ in UInt8(number) }))
                }
            case .restored: break
            case .unattested:
                _ = try? await control.task(
                    for: agent.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: true,
                    patience: .milliseconds(1))
            }
        }
        let after = end == .restored ? try await start(epoch: 1) : control
        let ended = try await after.operation(try #require(id)).value
        #expect(!ended.isOpen, "\(ended.state)")
        #expect(try await seeds(after) == [])
        let expected: [End: String] = [
            .failed: "no-disk", .silent: "no-sign-of-life", .bootLoop: "boot-loop", .restored: "restored-from-backup",
        ]
        if let code = expected[end] { #expect(ended.problem?.code == code) }
    }

    @Test("what no open operation and no machine needs is deleted at the start; user-data that is lost is an event")
    func sweep() async throws {
        let store = MemoryStore()
        var control = try await open(store)
        var operation: OperationID?
        var machine: MachineID?
        try await running(control) { control in
            let (agent, begun, _) = try await begin(control)
            (operation, machine) = (begun.id, agent.machine)
            let patch = MachinePatch(userData: UserDataPatch(content: Base64Bytes(base64: "c2VjcmV0")))
            _ = try await control.update(machine: agent.machine.rawValue, with: patch, expecting: nil, by: "test")
        }
        let openKey = SeedSecrets.key(try #require(operation))
        let owner = try #require(machine)
        let seed = try #require(try await store.get(openKey)).value
        // More than a page of what earlier versions forgot.
        for number in 0..<50 {
            try await store.commit([
                .put(key: "/secrets/seeds/op-old\(number)", value: seed, if: .none),
                .put(key: "/secrets/user-data/m-old\(number)", value: seed, if: .none),
            ])
        }
        control = try await open(store)
        #expect(try await seeds(control) == [openKey])
        let kept = try await store.list(prefix: StoredUserData.prefix, after: nil, limit: 99).values.map(\.key)
        #expect(kept == [StoredUserData.key(owner)])

        try await store.commit([.delete(key: kept[0], if: .exists)])
        control = try await open(store)
        #expect(control.snapshot.machines[owner]?.desired.userData == nil)
        let events = try await control.records.all(Event.self).map(\.value)
        #expect(events.count { $0.kind == "machine.user-data-lost" && $0.machine == owner } == 1)
    }

    // MARK: Keys

    @Test("the keys of two installations have nothing in common, and of the record only what checks them is left when they end")
    func randomKeys() async throws {
        let store = MemoryStore()
        let control = try await open(store)
        try await running(control) { control in
            let (agent, first, keys) = try await begin(control)
            for key in [keys.instance, keys.seed] { #expect(key.wholeMatch(of: /m-[0-9a-z]+[.][0-9a-f]{64}/) != nil) }
            #expect(control.metadataSessions.check(key: keys.instance, of: try asker(control, agent.machine)) == .key, "before it is up")
            let proof = try await finish(control, first)
            #expect(control.metadataSessions.check(key: keys.instance, of: try asker(control, agent.machine)) == .key)
            #expect(control.metadataSessions.check(key: keys.seed, of: try asker(control, agent.machine)) == .seed)
            for stored in try await store.list(prefix: "/", after: nil, limit: 999).values {
                let text = String(decoding: stored.value, as: UTF8.self)
                for secret in [keys.instance, keys.seed, proof] { #expect(!text.contains(secret.suffix(64)), "\(stored.key)") }
            }
            // Another installation has other keys, and the first ones are good for nothing.
            _ = try await boot(control, key: String(repeating: "b", count: 64))
            let (_, second, others) = try await begin(control)
            #expect(Set([keys.instance, keys.seed, others.instance, others.seed].map { $0.suffix(64) }).count == 4)
            #expect(second.keyVerifiers != first.keyVerifiers)
            for key in [keys.instance, keys.seed] {
                #expect(control.metadataSessions.check(key: key, of: try asker(control, agent.machine)) == nil)
            }
        }
    }

    @Test("after a restore nothing counts that was made with the secret in the backup, and running systems keep their keys")
    func restore() async throws {
        let (store, clock) = (MemoryStore(), ManualClock())
        let control = try await open(store, clock: clock)
        var id: MachineID?
        var keys: InstallationKeys?
        var token = ""
        try await running(control) { control in
            let (agent, operation, made) = try await begin(control)
            _ = try await finish(control, operation)
            (id, keys) = (agent.machine, made)
            token = control.metadataSessions.token(for: try asker(control, agent.machine), proof: .key, seconds: 600, now: control.now, random: 1)
            #expect(control.metadataSessions.check(token, of: try asker(control, agent.machine), now: control.now) != nil)
        }
        let machine = try #require(id)
        let nonce = control.nonces.make(for: testMAC, now: control.now)
        let again = try await open(store, clock: clock)
        #expect(again.metadataSessions.check(token, of: try asker(again, machine), now: again.now) != nil, "a start alone ends nothing")
        for epoch in [1, 2] {
            clock.advance(.seconds(1))
            let restored = try await open(store, clock: clock, epoch: epoch)
            #expect(restored.metadataSessions.check(token, of: try asker(restored, machine), now: restored.now) == nil)
            await #expect(throws: Problem.self) {
                try await restored.hello(hello(nonce: nonce, key: String(repeating: "e", count: 64)), from: testSender, wantsProof: false)
            }
            let present = try #require(restored.snapshot.machines[machine])
            #expect(present.state == .running)
            let known = try #require(keys)
            #expect(restored.metadataSessions.check(key: known.instance, of: try asker(restored, machine)) == .key)
            #expect(restored.metadataSessions.check(key: known.seed, of: try asker(restored, machine)) == .seed)
            token = restored.metadataSessions.token(for: try asker(restored, machine), proof: .key, seconds: 600, now: restored.now, random: 1)
            let same = try await open(store, clock: clock, epoch: epoch)
            #expect(same.metadataSessions.check(token, of: try asker(same, machine), now: same.now) != nil, "it is settled once")
        }
    }

    @Test("a system that came up after the backup is taken back into the record; it shows its own key, and has an identity again")
    func adopted() async throws {
        let (store, clock) = (MemoryStore(), ManualClock())
        let control = try await open(store, clock: clock)
        var begun: Model.Operation?
        var keys: InstallationKeys?
        try await running(control) { control in
            let (_, operation, made) = try await begin(control)
            (begun, keys) = (operation, made)
        }
        clock.advance(.seconds(60))
        let restored = try await open(store, clock: clock, epoch: 1)
        try await running(restored) { control in
            let operation = try #require(begun)
            let known = try #require(keys)
            _ = try await boot(control, key: String(repeating: "b", count: 64))
            var facts = inventory()
            let record = InstallRecord(
                machine: operation.machine, operation: operation.id, generation: operation.generation, image: "debian-12",
                digest: OneImage.digest, hostname: "one")
            facts.installations = [.init(disk: "D1", record: try control.markers.sealed(record))]
            try await control.record(facts, of: operation.machine, wantsProof: false)
            #expect(control.snapshot.machines[operation.machine]?.installed?.isAdopted == true)
            let asker = try asker(control, operation.machine)
            #expect(control.metadataSessions.check(key: known.instance, of: asker) == .key)
            #expect(control.metadataSessions.check(key: known.seed, of: asker) == .seed)
            #expect(control.metadataSessions.check(key: InstallationKeys.random(for: operation.machine).instance, of: asker) == nil)
            for _ in 0..<2 { try await control.systemHasShownKey(operation.machine) }
            #expect(control.snapshot.machines[operation.machine]?.installed?.isAdopted == nil)
            let shown = try await control.records.all(Event.self).filter { $0.value.kind == "machine.key-shown" }
            #expect(shown.count == 1)
        }
    }

    @Test("a session of an agent ends with a restore")
    func agentSessions() async throws {
        let (store, clock) = (MemoryStore(), ManualClock())
        let control = try await open(store, clock: clock)
        var session = ""
        try await running(control) { session = try await boot($0).session }
        _ = try await open(store, clock: clock).machine(session: session)
        clock.advance(.seconds(1))
        let restored = try await open(store, clock: clock, epoch: 1)
        #expect(throws: Problem.self) { try restored.machine(session: session) }
    }

    // MARK: Stores in which keys were derived

    /// One machine runs, another's system is about to start; their records as they were when keys came from the boot secret.
    private func formerStore() async throws -> (store: MemoryStore, secret: [UInt8], running: MachineID, coming: Model.Operation) {
        let store = MemoryStore()
        let control = try await open(store)
        var machine: MachineID?
        try await running(control) { control in
            let (agent, operation, _) = try await begin(control)
            _ = try await finish(control, operation)
            machine = agent.machine
        }
        let secret = (0..<32).map { UInt8($0 &* 7 &+ 1) }
        var old = try await control.machine(named: try #require(machine).rawValue)
        old.value.installed?.keyVerifiers = nil
        var other = old.value
        other.id = MachineID(unchecked: "m-0ther1")
        other.name = try DisplayName("other")
        other.interfaces = [Interface(mac: MACAddress(value: 0x5254_0077_0002))]
        other.installed = nil
        other.state = .installing
        var coming = OperationTransition.begin(
            id: OperationID(unchecked: "op-c0mes001"), request: .install(InstallRequest(image: "debian-12")), machine: other, by: "test",
            now: control.now)
        for step in coming.operation.steps.indices where coming.operation.steps[step].name != .firstBoot {
            coming.operation.steps[step].state = .succeeded
        }
        var seed = SeedSecrets(for: InstallRequest(image: "debian-12"), of: other.id)
        seed.keys = nil
        let ended = try await control.records.all(Model.Operation.self).filter { $0.value.kind == .install }
        var mutations: [Mutation] = [
            .delete(key: StoredSecret.session.key, if: .exists), .put(key: StoredSecret.formerKey, value: secret, if: .absent),
            try old.value.put(.exists), try coming.machine.put(.absent), try coming.operation.put(.absent), try seed.put(for: coming.operation.id),
        ]
        for found in ended {
            var operation = found.value
            operation.keyVerifiers = nil
            mutations.append(try operation.put(.exists))
        }
        try await store.commit(mutations)
        return (store, secret, old.value.id, coming.operation)
    }

    /// As b044adb computed it.
    private func formerKey(_ purpose: String, _ secret: [UInt8], _ machine: MachineID, _ incarnation: String) -> String {
        let metadata = HMAC<SHA256>.authenticationCode(for: Array("metadata".utf8), using: SymmetricKey(data: secret))
        let code = HMAC<SHA256>.authenticationCode(for: Array("\(purpose)|\(machine)|\(incarnation)".utf8), using: SymmetricKey(data: Data(metadata)))
        return "\(machine)." + code.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    private func checkMigrated(_ control: ControlPlane, _ secret: [UInt8], _ running: MachineID, _ coming: Model.Operation) async throws {
        let installed = try #require(control.snapshot.machines[running]?.installed).operation.rawValue
        for (machine, operation) in [(running, installed), (coming.machine, coming.id.rawValue)] {
            let asker = try asker(control, machine)
            #expect(control.metadataSessions.check(key: formerKey("instance-key", secret, machine, operation), of: asker) == .key)
            #expect(control.metadataSessions.check(key: formerKey("seed-key", secret, machine, operation), of: asker) == .seed)
            #expect(control.metadataSessions.check(key: formerKey("instance-key", secret, machine, "op-another1"), of: asker) == nil)
        }
        let store = control.records.store
        #expect(try await store.get(StoredSecret.formerKey) == nil)
        let now = try #require(try await store.get(StoredSecret.session.key)).value
        #expect(now != secret && now.count == 32)
        // The seed of a system that has yet to start is the one that is on its disk.
        let seed = try await control.seed(of: coming.id, base: testBase, wantsProof: false)
        #expect(
            String(decoding: seed.bytes, as: UTF8.self).contains(formerKey("instance-key", secret, coming.machine, coming.id.rawValue) + "\n"))
    }

    @Test("systems whose keys were derived from the boot secret keep them, the secret goes, and a kill at any commit of it costs nothing")
    func migration() async throws {
        var commits = 0
        while true {
            for appliesLast in [false, true] {
                let (store, secret, running, coming) = try await formerStore()
                let dying = DyingStore(store, after: commits, appliesLast: appliesLast)
                let first = try? await open(dying)
                let control = try await open(store)
                try await checkMigrated(control, secret, running, coming)
                // A third start changes nothing.
                let settled = try await store.get(StoredSecret.session.key)?.value
                _ = try await open(store)
                #expect(try await store.get(StoredSecret.session.key)?.value == settled)
                if first != nil {
                    #expect(commits >= 2, "the migration was one commit: nothing was killed in between")
                    return
                }
            }
            commits += 1
        }
    }

    @Test("with the former boot secret no session, no nonce and no key can be made any more")
    func formerSecretIsVoid() async throws {
        let (store, secret, machine, _) = try await formerStore()
        let control = try await open(store)
        try await running(control) { control in
            let reply = try await boot(control, key: String(repeating: "c", count: 64))
            let forger = BootNonces(secret: secret)
            let boot = try #require(control.snapshot.machines[reply.machine]?.observed.agent?.boot)
            #expect(throws: Problem.self) { try control.machine(session: forger.session(machine: reply.machine, boot: boot)) }
            #expect(try control.machine(session: reply.session).id == machine)
            let nonce = forger.make(for: testMAC, now: control.now)
            await #expect(throws: Problem.self) {
                try await control.hello(hello(nonce: nonce, key: String(repeating: "d", count: 64)), from: testSender, wantsProof: false)
            }
        }
    }
}
