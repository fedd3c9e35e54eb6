/// Who or what did what to what, with which evidence, when. Events are only ever added.
public struct Event: Codable, Sendable, Equatable, Identifiable {
    /// Sorts by time: milliseconds in hex, a dash, a counter.
    public var id: String
    public var at: Timestamp
    /// A stable word for programs, as `machine.discovered`.
    public var kind: String
    public var machine: MachineID?
    public var operation: OperationID?
    /// The person's token, `agent`, or the part of Hostler that acted.
    public var actor: String
    public var message: String
    public var evidence: [String: String]

    public init(
        id: String, at: Timestamp, kind: String, machine: MachineID? = nil, operation: OperationID? = nil,
        actor: String, message: String, evidence: [String: String] = [:]
    ) {
        self.id = id
        self.at = at
        self.kind = kind
        self.machine = machine
        self.operation = operation
        self.actor = actor
        self.message = message
        self.evidence = evidence
    }
}
