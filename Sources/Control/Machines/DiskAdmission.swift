internal import Model
internal import Wire

/// Which disks an operation writes, decided when it is asked for, by the record as it is then.
///
/// What is pinned here is what the agent gets, after however many restarts; the agent looks whether it is still so.
enum DiskAdmission {
    /// More disks than ``AgentLimits`` lets a machine have cannot be meant.
    static let nameLimit = AgentLimits.disks

    /// The request with its disk pinned. A machine that was never inspected has none in the record: there its agent decides
    /// by the same rules, and what it has decided stays.
    static func pin(_ request: inout InstallRequest, image: InstallableImage, machine: Machine) throws(Problem) {
        guard let inventory = machine.observed.inventory else { return }
        let names = DiskNames(inventory.disks)
        let target: DiskTarget
        do throws(DiskChoiceError) {
            target =
                if let wanted = request.disk {
                    try DiskChoice.forInstall(named: wanted, among: names, minimumBytes: image.diskBytes)
                } else {
                    try DiskChoice.forInstall(among: names, minimumBytes: image.diskBytes)
                }
        } catch {
            let command = "hostler machine install \(machine.id) --image \(ShellWord.quoted(image.name))"
            var problem = DiskProblem(names, command: command, neededBytes: image.diskBytes, status: 422).problem(error)
            if case .tooSmall = error {
                problem.code = "image-too-large"
                problem.title = "Image \(image.name) (\(image.diskBytes / 1_000_000) MB) is larger than every disk it may go to"
            }
            throw problem
        }
        request.disk = target.name
        request.target = target
    }

    /// The request with its disks pinned.
    static func pinned(_ request: WipeRequest, machine: Machine) throws(Problem) -> WipeRequest {
        let command = "hostler machine wipe \(machine.id)"
        guard let inventory = machine.observed.inventory else {
            throw Problem(
                "machine-not-inspected", status: 409, title: "\(machine.name) was never inspected: the record has none of its disks",
                detail: "A wipe takes the disks that the record has when it is asked for.",
                remedy: "Inspect it: hostler machine inspect \(machine.id)")
        }
        if let wanted = request.disks {
            guard !wanted.isEmpty else {
                throw Problem(
                    "wipe-no-disks", status: 422, title: "The list of disks is empty, so there is nothing to wipe",
                    remedy: "Name disks, or leave the list out to wipe every disk inside the machine.")
            }
            guard wanted.count <= nameLimit else {
                throw Problem(
                    "disks-too-many", status: 422, title: "More than \(nameLimit) disks are named", remedy: "Name each disk once.")
            }
        }
        let names = DiskNames(inventory.disks)
        var pinned = WipeRequest()
        do throws(DiskChoiceError) {
            if let wanted = request.disks {
                pinned.targets = try DiskChoice.forWipe(named: wanted, among: names)
            } else {
                let choice = try DiskChoice.forWipe(among: names)
                pinned.targets = choice.targets
                if !choice.left.isEmpty { pinned.left = choice.left.map { names.description(of: $0) } }
            }
        } catch {
            throw DiskProblem(names, command: command, status: 422).problem(error)
        }
        pinned.disks = pinned.targets?.map(\.name)
        return pinned
    }
}

extension Model.Operation {
    /// The disk that an installation writes: the one that was pinned when it was asked for, else the one that its agent chose.
    /// Once there is one, no other takes its place.
    var installTarget: DiskTarget? {
        guard case .install(let request) = request else { return nil }
        if let target = request.target { return target }
        if let step = step(.chooseDisk), step.state == .succeeded,
            let target = DiskTarget(evidence: step.evidence, isNamed: request.disk != nil)
        {
            return target
        }
        return request.disk.map { DiskTarget(name: $0) }
    }
}

extension WipeRequest {
    /// Whether the disks to be wiped hold this system. Where that is not known, they do.
    func wipes(_ installed: Installation, disks: [Inventory.DiskFacts]) -> Bool {
        guard let wiped = self.disks, !wiped.isEmpty else { return true }
        if let disk = installed.disk, disk.wwn != nil || disk.serial != nil, let targets {
            return targets.contains { $0.isSameDisk(as: disk) }
        }
        // An earlier version's record has the serial of the system's disk, and its requests may have the WWN.
        guard let serial = installed.diskSerial ?? installed.disk?.serial else { return true }
        if wiped.contains(serial) || targets?.contains(where: { $0.serial == serial }) ?? false { return true }
        return disks.contains { disk in disk.serial == serial && disk.wwn.map { wiped.contains($0) } ?? false }
    }
}

extension OperationRequest {
    /// The disks that it writes, for the event of its start.
    var diskFacts: [String: String] {
        switch self {
        case .install(let request): EvidenceFacts.bounded(request.disk.map { ["disk": $0] } ?? [:])
        case .wipe(let request):
            EvidenceFacts.bounded(
                ["disks": request.disks, "left": request.left].compactMapValues { $0?.joined(separator: "; ") })
        case .inspect, .rescue: [:]
        }
    }
}

extension DiskTarget {
    /// What an agent said of the disk that it chose; nil where it said nothing that names one.
    init?(evidence: [String: String], isNamed: Bool) {
        let wwn = evidence["wwn"].flatMap(DiskIdentity.worldWide)
        let serial = evidence["serial"].flatMap(DiskIdentity.serial)
        // Agents of earlier versions say no name; of what they say, the WWN is the stronger.
        guard let name = evidence["disk"] ?? wwn ?? serial else { return nil }
        self.init(name: name, isNamed: isNamed)
        self.wwn = wwn
        self.serial = serial
        model = evidence["model"]
        bytes = evidence["bytes"].flatMap { Int64($0) }
        path = evidence["path"]
    }
}
