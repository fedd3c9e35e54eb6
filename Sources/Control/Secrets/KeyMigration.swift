internal import FoundationEssentials
internal import Model
internal import Store

/// Takes a store over in which the keys of installations were derived from the boot secret: whoever had that secret,
/// as out of a backup, had them all.
///
/// What checks each key is written down, so that running systems keep theirs; then the boot secret goes, in one
/// transaction with its successor. A kill before that costs nothing: the next start does the rest.
struct KeyMigration {
    private static let mutationsAtOnce = 500
    let records: Records

    /// Does nothing where it is done.
    func run() async throws {
        guard let former = try await records.store.get(StoredSecret.formerKey) else { return }
        let operations = try await records.all(Model.Operation.self)
        let machines = try await records.all(Machine.self)
        let open = Set(machines.compactMap(\.value.openOperation))
        var mutations: [Mutation] = []
        for found in machines {
            var machine = found.value
            guard let installed = machine.installed, installed.keyVerifiers == nil else { continue }
            machine.installed?.keyVerifiers = keys(former, machine.id, installed.operation).verifiers
            mutations.append(try machine.put(.revision(found.revision)))
        }
        for found in operations {
            var operation = found.value
            // One that a restore ended may have gone on: its system is adopted when the machine shows it.
            guard operation.kind == .install, operation.keyVerifiers == nil,
                open.contains(operation.id) || operation.problem?.code == OperationTransition.restoredCode
            else { continue }
            let keys = keys(former, operation.machine, operation.id)
            operation.keyVerifiers = keys.verifiers
            mutations.append(try operation.put(.revision(found.revision)))
            if let stored = try await records.store.get(SeedSecrets.key(operation.id)) {
                // One that cannot be read stays as it is.
                guard var secrets = try? RecordCoding.decode(SeedSecrets.self, from: stored) else { continue }
                secrets.keys = keys
                mutations.append(.put(key: stored.key, value: try RecordCoding.encode(secrets), if: .revision(stored.modifiedRevision)))
            }
            if mutations.count >= Self.mutationsAtOnce { try await commit(&mutations) }
        }
        try await commit(&mutations)
        try await records.store.commit([
            .delete(key: StoredSecret.formerKey, if: .revision(former.modifiedRevision)),
            .put(key: StoredSecret.session.key, value: StoredSecret.random(), if: .none),
        ])
    }

    private func keys(_ former: StoredValue, _ machine: MachineID, _ operation: OperationID) -> InstallationKeys {
        InstallationKeys.derived(from: former.value, machine: machine, operation: operation)
    }

    /// A few at a time: seeds may be large, and a transaction has its limit.
    private func commit(_ mutations: inout [Mutation]) async throws {
        while !mutations.isEmpty {
            var bytes = 0
            let count = mutations.prefix(Self.mutationsAtOnce).prefix { mutation in
                defer { if case .put(_, let value, _) = mutation { bytes += value.count } }
                return bytes < StoreLimits.valueBytes
            }.count
            try await records.store.commit(Array(mutations.prefix(count)))
            mutations.removeFirst(count)
        }
    }
}
