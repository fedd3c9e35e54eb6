import Model

/// Where and as whom to log in to a machine: its system, or the rescue shell that is open on it.
struct SSHTarget: Equatable {
    var user: String
    var address: String
    var port: Int
    /// In `known_hosts` form without the host.
    var hostKeys: [String]
    /// Whether the host keys may be vouched for by the host authority.
    var isInstalled: Bool
    /// Whether anything vouches for the host keys; else a person compares them.
    var isProved = true

    /// - Parameters:
    ///   - operation: the machine's open operation.
    ///   - port: that of the system's SSH.
    static func decide(_ machine: Machine, operation: Model.Operation?, login: String?, port: Int) throws(Problem) -> SSHTarget {
        if let operation, operation.state != .waiting {
            if operation.kind == .rescue { return try rescue(machine, operation, login) }
            // A look at its parts leaves a running system alone.
            if operation.kind != .inspect || machine.systemOnDisk == nil { throw busy(machine, operation) }
        }
        if let hold = machine.holds.first, machine.state == .wiping || machine.systemOnDisk == nil {
            throw Problem(
                "machine-held", status: 409, title: "\(machine.name) is on hold, and runs no system that Hostler knows: \(hold.problem.title)",
                detail: hold.problem.detail, remedy: "Look at: hostler machine show \(machine.id)")
        }
        if machine.state == .wiping {
            throw Problem(
                "machine-not-clean", status: 409, title: "\(machine.name) has no system: its disks were being wiped",
                remedy: "Wipe it to the end: hostler machine wipe \(machine.id)")
        }
        guard let installed = machine.systemOnDisk else {
            throw Problem(
                "machine-not-installed", status: 409, title: "\(machine.name) runs no system that Hostler put on it",
                detail: "it is \(machine.stateText)", remedy: "Install it: hostler machine install \(machine.id) --image debian-12 --ssh-key FILE")
        }
        guard let address = machine.observed.address else {
            throw Problem(
                "address-unknown", status: 409, title: "The address of \(machine.name) is not known",
                detail: "it was not heard of since it was installed",
                remedy: "Look at its console: hostler machine console \(machine.id)")
        }
        let isProved = machine.installed != nil
        guard !installed.hostKeys.isEmpty || !isProved else {
            throw Problem("host-keys-unknown", title: "The host keys of \(machine.name) are not known", detail: "its proof named none")
        }
        return SSHTarget(
            user: login ?? "debian", address: address.description, port: port, hostKeys: installed.hostKeys, isInstalled: true,
            isProved: isProved)
    }

    private static func rescue(_ machine: Machine, _ operation: Model.Operation, _ login: String?) throws(Problem) -> SSHTarget {
        let evidence = operation.step(.shell)?.evidence ?? [:]
        // Its address is the one that its session is bound to, not what it says.
        guard let key = evidence["hostKey"], key.utf8.allSatisfy({ (0x20..<0x7f).contains($0) }),
            let port = evidence["port"].flatMap({ Int($0) }), (1...65_535).contains(port),
            let address = machine.observed.agent?.address ?? machine.observed.address
        else {
            throw Problem(
                "rescue-not-ready", status: 409, title: "\(machine.name) is being brought into its rescue shell",
                detail: "\(operation.id) is at \(operation.currentStep?.name.rawValue ?? "its end")",
                remedy: "Follow it with: hostler operation watch \(operation.id)")
        }
        guard login == nil || login == "root" else {
            throw Problem(
                "rescue-user", status: 409, title: "\(machine.name) is in its rescue shell, which knows root only",
                remedy: "Log in as root, or end it: hostler operation cancel \(operation.id)")
        }
        return SSHTarget(user: "root", address: address.description, port: port, hostKeys: [key], isInstalled: false)
    }

    private static func busy(_ machine: Machine, _ operation: Model.Operation) -> Problem {
        let step = operation.currentStep
        let progress = step?.progress.map { ", \(Int($0.fraction * 100)) % done" } ?? ""
        let doing =
            switch operation.kind {
            case .install: "being installed"
            case .wipe: "being wiped"
            case .inspect: "being inspected, and has no system"
            case .rescue: "being rescued"
            }
        return Problem(
            "machine-busy", status: 409, title: "\(machine.name) is \(doing)",
            detail: "\(operation.id) is at \(step?.name.rawValue ?? "its end")\(progress)",
            remedy: "Follow it with: hostler operation watch \(operation.id)")
    }
}
