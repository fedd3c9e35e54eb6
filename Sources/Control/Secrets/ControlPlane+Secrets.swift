internal import FoundationEssentials
internal import Model
internal import Store

extension ControlPlane {
    /// A page of secrets while they are looked through: few, since each may be as large as a value can be.
    private static let secretPage = 20

    /// Deletes what no open installation and no machine needs any more, at the start, before anything is asked for.
    ///
    /// An operation deletes its seed when it ends; this is for those that a version before it forgot, and for what a
    /// restore left without its owner.
    func sweepSecrets() async throws {
        let open = Set(snapshot.operations.values.filter(\.isOpen).map(\.id.rawValue)).union(damagedOperations)
        try await delete(below: SeedSecrets.prefix) { !open.contains($0) }
        let wanted = Set(snapshot.machines.values.filter { $0.desired.userData != nil }.map(\.id.rawValue))
        // What a machine had whose record cannot be read may still be wanted.
        let unknown = Set(snapshot.damaged.keys.map(\.rawValue))
        let kept = try await delete(below: StoredUserData.prefix) { !wanted.contains($0) && !unknown.contains($0) }
        for id in wanted.subtracting(kept) {
            guard let machine = snapshot.machines.values.first(where: { $0.id.rawValue == id }),
                let reference = machine.desired.userData, reference.readAt == nil
            else { continue }
            // An installation without it would run, and not be what was asked for.
            _ = try await edit(machine: id, expecting: nil, kind: "machine.user-data-lost", by: "control") { machine, _ in
                machine.desired.userData = nil
                return
                    "The user-data of \(machine.name) is not in the record any more; give it again: hostler machine set \(machine.id) --user-data FILE"
            }
        }
    }

    /// - Returns: the names of those that stay.
    @discardableResult
    private func delete(below prefix: String, where isDue: (_ name: String) -> Bool) async throws -> Set<String> {
        var kept: Set<String> = []
        var after: String?
        repeat {
            let page = try await records.store.list(prefix: prefix, after: after, limit: Self.secretPage)
            let due = page.values.filter { isDue(String($0.key.dropFirst(prefix.count))) }
            kept.formUnion(page.values.map { String($0.key.dropFirst(prefix.count)) })
            if !due.isEmpty {
                try await records.store.commit(due.map { .delete(key: $0.key, if: .revision($0.modifiedRevision)) })
                kept.subtract(due.map { String($0.key.dropFirst(prefix.count)) })
            }
            after = page.nextKey
        } while after != nil
        return kept
    }
}
