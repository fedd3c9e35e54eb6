/// What people are told when a disk is not chosen, or not written: the disks by names that are accepted.
public struct DiskProblem: Sendable {
    let names: DiskNames
    /// What to say again with a name, as `hostler machine wipe m-7f3k2q`; nil: not known here.
    let command: String?
    /// Nil: not for an installation.
    let neededBytes: Int64?
    let status: Int

    public init(_ names: DiskNames, command: String?, neededBytes: Int64? = nil, status: Int) {
        self.names = names
        self.command = command
        self.neededBytes = neededBytes
        self.status = status
    }

    public func problem(_ error: DiskChoiceError) -> Problem {
        switch error {
        case .name(let error): return problem(error)
        case .ambiguous(let disks):
            return Problem(
                "disk-ambiguous", status: status, title: "\(disks.count) disks match equally; Hostler does not guess",
                detail: list(disks, separator: " and "), remedy: sayWhich(disks))
        case .tooSmall(let disks, let needed):
            return Problem(
                "disk-too-small", status: status, title: "No disk has the \(needed) bytes that are needed",
                detail: "There is: \(list(disks)).", remedy: "Take a smaller image or put a larger disk in." + otherwise())
        case .noOwnDisk:
            guard !names.disks.isEmpty else {
                return Problem(
                    "no-disk", status: status, title: "The machine has no disk",
                    remedy: "Put one in, or check the disks and their controller in the firmware's set-up; then inspect the machine again.")
            }
            return Problem(
                "no-disk", status: status, title: "The machine has no disk of its own",
                detail: "Other hosts may have data on these, or they may be pulled: \(list(Array(names.disks.indices))).",
                remedy: sayWhich(Array(names.disks.indices)))
        case .unidentified(let disk):
            return Problem(
                "disk-unidentified", status: status, title: "Nothing tells the disk \(names.disks[disk].name) from another",
                detail: "It has neither WWN nor serial number that no other disk has: \(names.description(of: disk)).",
                remedy: "Inspect the machine again. Where that changes nothing, use a disk that has one; a virtual disk is given one in its "
                    + "machine's definition.")
        }
    }

    public func problem(_ error: DiskNameError) -> Problem {
        switch error {
        case .notFound(let name):
            return Problem(
                "disk-not-found", status: status, title: "The machine has no disk “\(name)”",
                detail: names.disks.isEmpty ? "It has no disks." : "It has: \(list(Array(names.disks.indices))).",
                remedy: names.disks.isEmpty ? "Inspect it again." : sayWhich(Array(names.disks.indices)))
        case .ambiguous(let name, let disks):
            return Problem(
                "disk-ambiguous", status: status, title: "\(disks.count) disks answer to “\(name)”; Hostler does not guess",
                detail: list(disks, separator: " and "), remedy: sayWhich(disks))
        }
    }

    /// For the agent, which has found the disks otherwise than the record had them.
    public func problem(_ error: DiskTargetError) -> Problem {
        switch error {
        case .name(let error): return problem(error)
        case .changed(let name, let was, let now):
            return Problem(
                "disk-changed", status: status, title: "The disk “\(name)” is not the one that the record had",
                detail: "The record had \(was), the machine shows \(now). Nothing was written.",
                remedy: "Look at its disks: hostler machine show. The record has them as they are now; ask again if they are the right ones.")
        case .notOwn(let disk):
            return Problem(
                "disk-not-own", status: status, title: "The disk \(names.disks[disk].name) is not inside the machine",
                detail: "\(names.description(of: disk)). Nobody named it, and nothing was written.", remedy: sayWhich([disk]))
        }
    }

    private static let listLimit = 8

    private func list(_ disks: [Int], separator: String = "; ") -> String {
        let shown = disks.prefix(Self.listLimit).map { names.description(of: $0) }.joined(separator: separator)
        return disks.count > Self.listLimit ? "\(shown)\(separator)\(disks.count - Self.listLimit) more" : shown
    }

    /// The names that are accepted for these disks, each in a form that can be copied.
    private func sayWhich(_ disks: [Int]) -> String {
        let options = disks.filter(isAccepted).prefix(Self.listLimit).compactMap { names.name(of: $0) }.map { ShellWord.option("--disk", $0) }
        guard let first = options.first else {
            return "Inspect the machine again, so that the record has its disks as they are now. One that nothing tells from another, or that "
                + "is too small, is not accepted by any name."
        }
        let others = options.dropFirst().map { ", or \($0)" }.joined()
        return "Say which: " + (command.map { "\($0) " } ?? "") + first + others
    }

    private func isAccepted(_ disk: Int) -> Bool {
        guard let neededBytes else { return true }
        return names.disks[disk].isIdentified && names.disks[disk].bytes >= neededBytes
    }

    /// Disks that are left out unless they are named.
    private func otherwise() -> String {
        let others = names.disks.indices.filter { !names.isOwn($0) && isAccepted($0) }
        return others.isEmpty ? "" : " Not considered, as they are not inside the machine: \(list(others)); name one with --disk."
    }
}
