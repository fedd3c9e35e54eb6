/// What a lab answers when it cannot do what was asked.
public struct LabError: Error, Codable, Hashable, Sendable, CustomStringConvertible {
    /// Stable text for programs; never renamed.
    public enum Code: String, Codable, Sendable {
        case invalidName = "lab_invalid_name"
        case invalidMachine = "lab_invalid_machine"
        case invalidFault = "lab_invalid_fault"
        case noSuchMachine = "lab_no_such_machine"
        case machineExists = "lab_machine_exists"
        case noSuchDisk = "lab_no_such_disk"
        case wrongPowerState = "lab_wrong_power_state"
        case notRunning = "lab_not_running"
        case alreadyRunning = "lab_already_running"
        case missingProgram = "lab_missing_program"
        case commandFailed = "lab_command_failed"
        case qemuFailed = "lab_qemu_failed"
        case qmpFailed = "lab_qmp_failed"
        case badRequest = "lab_bad_request"
        case fileFailed = "lab_file_failed"
        case tracesLeft = "lab_traces_left"
    }

    public let code: Code
    /// What happened.
    public let what: String
    /// What to do about it.
    public let remedy: String

    public init(_ code: Code, _ what: String, remedy: String) {
        self.code = code
        self.what = what
        self.remedy = remedy
    }

    public var description: String { "\(code.rawValue): \(what). \(remedy)" }
}
