import API
import BootServices
import Control
import Identity
import Model
import Store
import Wire

/// Looks at every record: whether it can be read, and whether what it refers to is there.
struct RecordCheck {
    static let kinds = RecordKind.ofControl + RecordKind.ofAPI + RecordKind.ofBootServices + RecordKind.ofIdentity

    struct Finding: Codable, Equatable {
        var key: String
        var what: String
        /// Whether the record itself cannot be read; else what it refers to is not as it should be.
        var isDamaged: Bool
    }

    static let unseen = "secrets, not looked at"

    /// Opens the secrets; nil: there is no key, and what they hold is not looked at.
    let seal: SealingKey?
    private var hasOpened = false
    /// Secrets that were sealed with another key. Beside others that open they are damaged; where none opens, the key is another one.
    private var foreign: [Finding] = []
    /// Whether the key is not the one that the secrets were sealed with; as ``SealedStore`` judges it.
    private(set) var isSealForeign = false
    /// All keys of what belongs to a machine or an operation beside its record.
    private var belongings: Set<String> = []
    private(set) var findings: [Finding] = []
    /// How many of each kind can be read.
    private(set) var counts: [String: Int] = [:]
    private var machines: [MachineID: Machine] = [:]
    private var operations: [OperationID: Model.Operation] = [:]
    private var bmcs: [BMC] = []
    private var damaged: Set<String> = []

    init(seal: SealingKey?) { self.seal = seal }

    mutating func add(_ stored: StoredValue) {
        guard let kind = Self.kinds.first(where: { $0.holds(stored.key) }) else {
            counts["unknown to this version", default: 0] += 1
            return
        }
        if Self.belongingPrefixes.contains(where: { stored.key.hasPrefix($0) }) { belongings.insert(stored.key) }
        if seal == nil, SecretKeys.contains(stored.key) {
            counts[Self.unseen, default: 0] += 1
            return
        }
        do {
            try kind.check(try opened(stored))
            counts[kind.name, default: 0] += 1
            try note(stored)
        } catch let error as Unsealed {
            let finding = Finding(key: stored.key, what: error.what, isDamaged: true)
            if let seal, SealedStore.isOfAnotherKey(stored.value, than: seal) { foreign.append(finding) } else { findings.append(finding) }
        } catch {
            damaged.insert(stored.key)
            findings.append(Finding(key: stored.key, what: String("\(error)".prefix(300)), isDamaged: true))
        }
    }

    private static let belongingPrefixes = ["/secrets/user-data/", "/secrets/seeds/", "/attestation/logs/"]

    private struct Unsealed: Error { var what: String }

    private mutating func opened(_ stored: StoredValue) throws -> StoredValue {
        guard SecretKeys.contains(stored.key), let seal else { return stored }
        guard let value = SealedStore.open(stored.value, at: stored.key, with: seal) else {
            if !SealedStore.isOfAnotherKey(stored.value, than: seal), SealedStore.isSealed(stored.value) { hasOpened = true }
            throw Unsealed(what: "it does not open with seal.key")
        }
        hasOpened = true
        var opened = stored
        opened.value = value
        return opened
    }

    private mutating func note(_ stored: StoredValue) throws {
        if stored.key.hasPrefix(Machine.prefix) {
            let machine = try RecordCoding.decode(Machine.self, from: stored)
            machines[machine.id] = machine
        } else if stored.key.hasPrefix(Model.Operation.prefix) {
            let operation = try RecordCoding.decode(Model.Operation.self, from: stored)
            operations[operation.id] = operation
        } else if stored.key.hasPrefix(BMC.prefix) {
            bmcs.append(try RecordCoding.decode(BMC.self, from: stored))
        }
    }

    /// What can be said once all records were seen.
    mutating func finish() {
        isSealForeign = !foreign.isEmpty && !hasOpened
        if isSealForeign { counts[Self.unseen, default: 0] += foreign.count } else { findings += foreign }
        func refers(_ key: String, _ what: String) { findings.append(Finding(key: key, what: what, isDamaged: false)) }
        for machine in machines.values.sorted(by: { $0.id < $1.id }) {
            guard let open = machine.openOperation else { continue }
            if let operation = operations[open] {
                if operation.machine != machine.id { refers(machine.key, "its open operation \(open) is of \(operation.machine)") }
            } else if !damaged.contains(Model.Operation.prefix + open.rawValue) {
                refers(machine.key, "its open operation \(open) is not in the record; the server puts the machine on hold at its next start")
            }
        }
        for operation in operations.values.sorted(by: { $0.id < $1.id }) where operation.isOpen {
            guard let machine = machines[operation.machine] else { continue }
            if machine.openOperation != operation.id { refers(operation.key, "it is open, and \(machine.id) does not know of it") }
        }
        for bmc in bmcs {
            guard let machine = bmc.machine, machines[machine] == nil, !damaged.contains(Machine.prefix + machine.rawValue) else { continue }
            refers(bmc.key, "its machine \(machine) is not in the record: hostler bmc unbind \(bmc.id), and then hostler bmc bind \(bmc.id) MACHINE")
        }
        for (name, same) in Dictionary(grouping: machines.values, by: \.name.text) where same.count > 1 {
            refers(same.map(\.key).sorted().joined(separator: ", "), "they have one name, “\(name)”")
        }
        let ports = machines.values.flatMap { machine in machine.interfaces.map { ($0.mac, machine) } }
        for (mac, same) in Dictionary(grouping: ports, by: \.0) where Set(same.map(\.1.id)).count > 1 {
            refers(Set(same.map(\.1.key)).sorted().joined(separator: ", "), "they have one port, \(mac)")
        }
    }

    /// The operations of machines whose records are damaged: they go with them, since without its machine an operation would
    /// only say that what is on the disk is known.
    func operations(ofDamagedMachines keys: Set<String>) -> [String] {
        operations.values.filter { keys.contains(Machine.prefix + $0.machine.rawValue) }.map(\.key).sorted()
    }

    /// What lies below other keys for these machines and operations, and would be deleted without them.
    func belongings(of keys: some Sequence<String>) -> [String] {
        keys.flatMap { key -> [String] in
            if key.hasPrefix(Machine.prefix) {
                let id = key.dropFirst(Machine.prefix.count)
                return ["/secrets/user-data/\(id)", "/attestation/logs/\(id)"]
            }
            return key.hasPrefix(Model.Operation.prefix) ? ["/secrets/seeds/\(key.dropFirst(Model.Operation.prefix.count))"] : []
        }.filter { belongings.contains($0) }.sorted()
    }

    /// BMCs that are bound to one of these machines.
    func bmcs(ofMachines keys: Set<String>) -> [BMC] {
        bmcs.filter { $0.machine.map { keys.contains(Machine.prefix + $0.rawValue) } == true }.sorted { $0.id < $1.id }
    }
}
