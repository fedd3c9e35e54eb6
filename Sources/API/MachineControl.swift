public import Control
public import Model
public import Store
public import Wire

/// What the API asks of the control plane. Every failure that a client can do
/// something about is thrown as a `Problem`.
public protocol MachineControl: Sendable {
    var records: Records { get }
    /// By id or name.
    func machine(named name: String) async throws -> Versioned<Machine>
    /// - Parameter agreement: the confirmation of what it destroys; so with all that have one.
    func start(_ request: OperationRequest, on machine: String, by actor: String, agreement: String?) async throws -> Model.Operation
    func cancel(_ id: OperationID, by actor: String) async throws -> Model.Operation
    /// The second word to an operation that waits for it.
    func approve(_ id: OperationID, by actor: String, agreement: String?) async throws -> Model.Operation
    /// What an order would destroy; throws what the order would.
    func consequence(of act: MachineAct, on machine: String) async throws -> Consequence
    /// Nil: the rack is not frozen.
    var freeze: Freeze? { get }
    func beginFreeze(_ reason: String, by actor: String) async throws -> Freeze
    /// False: it was not frozen.
    func thaw(by actor: String) async throws -> Bool
    /// Runs `body` unless an operation needs the image.
    func removingImage(digest: String, names: Set<String>, isLast: Bool, _ body: @Sendable () async throws -> Void) async throws
    func update(
        machine: String, with patch: MachinePatch, expecting revision: Revision?, by actor: String
    ) async throws -> Versioned<Machine>
    func releaseHold(_ id: HoldID, on machine: String, by actor: String, agreement: String?) async throws -> Machine
    func delete(machine: String, by actor: String, agreement: String?) async throws
    /// Takes a machine's last boot as what it should be.
    func acceptBoot(machine: String, by actor: String) async throws -> Machine
    /// Forgets a machine's TPM.
    func forgetTPM(machine: String, by actor: String, agreement: String?) async throws -> Machine
    func setAttestationRule(_ rule: AttestationRule, machine: String, by actor: String) async throws -> Machine
    /// Gives a network port to a machine.
    func take(interface mac: MACAddress, into machine: String, by actor: String, agreement: String?) async throws -> Machine
    /// Puts a machine into the record that is known by one port only.
    func add(machine mac: MACAddress, name: String?, by actor: String) async throws -> Machine
    /// Gives a machine's disks to Hostler, whatever they hold.
    func takeDisks(of machine: String, by actor: String, agreement: String?) async throws -> Machine
    /// The last lines of the machine's agent, oldest first.
    func agentLog(machine: String) async throws -> [String]
    /// Adds to the audit log.
    func recordEvent(
        kind: String, machine: MachineID?, operation: OperationID?, actor: String, message: String, evidence: [String: String]
    ) async throws
}
