/// What is asked of a lab process on its control socket: one JSON object a
/// line, one connection per request.
struct LabRequest: Codable, Hashable, Sendable {
    enum Verb: String, Codable, Sendable {
        case status, add, remove, power, inject, clear, console, down
    }

    var verb: Verb
    var machine: String?
    var spec: VirtualMachineSpec?
    var power: PowerAction?
    var fault: Fault?
}

/// The answer, one line. After `console` was answered without an error, the
/// connection carries the console's raw bytes both ways.
struct LabReply: Codable, Sendable {
    var error: LabError?
    var status: RackStatus?
    var machine: MachineStatus?
    /// What `down` could not remove.
    var left: [String]?
}
