import FoundationEssentials
import Model
import Store
import Testing
import Wire

@testable import Control

/// Which disks an operation writes: as the record has them when it is asked for, and no others however it goes on.
@Suite("The disks of an operation")
struct DiskAdmissionTests {
    private static let a = "600605b00d1e2f3a2c0a1b2c3d4e5f60"
    private static let b = "600605b00d1e2f3a2c0a1b2c3d4e5f61"
    private static let volumes = [reported("sda", serial: "SAME", wwn: a), reported("sdb", serial: "SAME", wwn: b)]
    private static let twins = [
        reported("sda", serial: "SAME", path: "pci-0000:00:17.0-ata-1"), reported("sdb", serial: "SAME", path: "pci-0000:00:17.0-ata-2"),
    ]
    private static let paths = [
        reported("sda", serial: "S1", wwn: "5000c500a1b2c3d4", path: "pci-0000:01:00.0-sas-0x5000c500a1b2c3d5-lun-0"),
        reported("sdb", serial: "S1", wwn: "5000c500a1b2c3d4", path: "pci-0000:02:00.0-sas-0x5000c500a1b2c3d6-lun-0"),
    ]

    /// A machine whose agent has reported these disks, and waits.
    private func with(_ disks: [Inventory.DiskFacts], _ body: (ControlPlane, HelloReply) async throws -> Void) async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let reply = try await boot(control)
            try await control.record(Self.inventory(disks), of: reply.machine, wantsProof: false)
            try await body(control, reply)
        }
    }

    private static func inventory(_ disks: [Inventory.DiskFacts]) throws -> Inventory {
        var facts = ControlTests.inventory(disks: [])
        facts.disks = disks
        // As it comes by the wire.
        return try JSONDecoder().decode(Inventory.self, from: JSONEncoder().encode(facts))
    }

    private func install(_ disk: String? = nil) -> OperationRequest { .install(InstallRequest(image: "debian-12", disk: disk)) }
    private func wipe(_ disks: [String]? = nil) -> OperationRequest { .wipe(WipeRequest(disks: disks)) }

    private func work(_ control: ControlPlane, _ session: String) async throws -> AgentWork {
        try await control.task(
            for: session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false, patience: .seconds(1)
        ).work
    }

    private func refusal(_ control: ControlPlane, _ request: OperationRequest, _ reply: HelloReply) async throws -> Problem? {
        do {
            _ = try await control.order(request, on: reply.machine.rawValue, by: "test")
            return nil
        } catch let problem as Problem {
            #expect(try await control.machine(named: reply.machine.rawValue).value.openOperation == nil, "nothing was begun")
            return problem
        }
    }

    /// The names that a remedy offers, as a shell would hand them on.
    private func offered(_ problem: Problem) -> [String] {
        (problem.remedy ?? "").split(separator: "--disk").dropFirst().map { part in
            let text = part.drop { $0 == " " || $0 == "=" }
            return text.first == "'"
                ? String(text.dropFirst().prefix { $0 != "'" }) : String(text.prefix { $0 != "," && $0 != " " && $0 != ";" })
        }
    }

    struct Ambiguous: Sendable, CustomTestStringConvertible {
        var what: String
        var disks: [Inventory.DiskFacts]
        var said: String?
        var isWipe: Bool
        var testDescription: String { what }
    }

    static let ambiguous: [Ambiguous] = [
        .init(what: "a wipe by the serial number of two volumes", disks: volumes, said: "SAME", isWipe: true),
        .init(what: "an install by the serial number of two volumes", disks: volumes, said: "SAME", isWipe: false),
        .init(what: "an install on two volumes that fit equally", disks: volumes, said: nil, isWipe: false),
        .init(what: "a wipe by the serial number of two disks without WWN", disks: twins, said: "SAME", isWipe: true),
        .init(what: "an install by the serial number of two disks without WWN", disks: twins, said: "SAME", isWipe: false),
        .init(what: "an install on two disks without WWN that fit equally", disks: twins, said: nil, isWipe: false),
        .init(what: "a wipe by the WWN of a disk with two paths", disks: paths, said: "5000c500a1b2c3d4", isWipe: true),
        .init(what: "an install by the WWN of a disk with two paths", disks: paths, said: "naa.5000C500A1B2C3D4", isWipe: false),
        .init(
            what: "an install on two disks whose serial numbers a shell would read otherwise",
            disks: [reported("sda", serial: "$(reboot)"), reported("sdb", serial: "a b; c")], said: nil, isWipe: false),
    ]

    @Test("are refused where a name means two, and each name that the remedy offers means one and is accepted", arguments: ambiguous)
    func remedies(_ row: Ambiguous) async throws {
        let request = row.isWipe ? wipe(row.said.map { [$0] }) : install(row.said)
        var names: [String] = []
        try await with(row.disks) { control, reply in
            let problem = try #require(try await refusal(control, request, reply))
            #expect(problem.code == "disk-ambiguous" && problem.status == 422)
            #expect(problem.remedy?.contains("hostler machine \(row.isWipe ? "wipe" : "install") \(reply.machine)") == true)
            names = offered(problem)
        }
        #expect(Set(names).count == 2)
        var written: Set<String> = []
        for name in names {
            try await with(row.disks) { control, reply in
                _ = try await control.order(row.isWipe ? wipe([name]) : install(name), on: reply.machine.rawValue, by: "test")
                let target: DiskTarget?
                switch try await work(control, reply.session) {
                case .wipe(let work):
                    #expect(work.disks == [name])
                    target = work.targets?.first
                case .install(let work):
                    #expect(work.disk == name)
                    target = work.target
                default: target = nil
                }
                let index = try #require(target).find(among: DiskNames(row.disks))
                written.insert(row.disks[index].name)
            }
        }
        #expect(written == ["sda", "sdb"], "each of them can be meant")
    }

    @Test("of an install by WWN are sent again by WWN, after the agent and after the control plane were started anew", arguments: [a, b])
    func sentAgain(_ wwn: String) async throws {
        let store = MemoryStore()
        var control = try await open(store)
        var operation: Model.Operation?
        var machine: MachineID?
        try await running(control) { control in
            let reply = try await boot(control)
            machine = reply.machine
            try await control.record(Self.inventory(Self.volumes), of: reply.machine, wantsProof: false)
            operation = try await control.order(install(wwn), on: reply.machine.rawValue, by: "test")
            guard case .install(let work) = try await work(control, reply.session) else { Issue.record("no work"); return }
            #expect(work.disk == wwn && work.target?.wwn == wwn && work.target?.serial == "SAME")
            let chosen = StepReport(
                operation: try #require(operation).id, generation: try #require(operation).generation, step: .chooseDisk, kind: .succeeded,
                evidence: ["disk": wwn, "serial": "SAME", "wwn": wwn, "name": "sdb"])
            #expect(try await control.report(chosen, of: reply.machine, wantsProof: false))
        }
        control = try await open(store)
        try await running(control) { control in
            let reply = try await boot(control, key: String(repeating: "b", count: 64))
            // The kernel numbers them otherwise now, and the agent says so.
            try await control.record(
                Self.inventory([reported("sda", serial: "SAME", wwn: Self.b), reported("sdb", serial: "SAME", wwn: Self.a)]),
                of: try #require(machine), wantsProof: false)
            guard case .install(let work) = try await work(control, reply.session) else { Issue.record("no work"); return }
            #expect(work.done.contains(.chooseDisk))
            #expect(work.disk == wwn && work.target?.name == wwn && work.target?.wwn == wwn)
        }
    }

    @Test("of a machine that was never inspected are what its agent has chosen, by all that it said of it")
    func chosenByAgent() throws {
        var operation = Model.Operation(
            id: OperationID(unchecked: "op-first001"), machine: MachineID(unchecked: "m-test01"), generation: 1, request: install(),
            steps: OperationRequest.inspect.stepNames.map(Step.init) + [Step(.chooseDisk)], requestedBy: "t", createdAt: Timestamp(milliseconds: 0))
        #expect(operation.installTarget == nil)
        func chosen(_ evidence: [String: String]) -> DiskTarget? {
            operation.steps[2].state = .succeeded
            operation.steps[2].evidence = evidence
            return operation.installTarget
        }
        let full = try #require(chosen(["disk": Self.b, "serial": "SAME", "wwn": Self.b, "bytes": "8", "model": "M", "path": "p"]))
        #expect(full.name == Self.b && full.wwn == Self.b && full.bytes == 8 && full.path == "p" && !full.isNamed)
        // An agent of an earlier version says no name: the WWN, not the serial number.
        #expect(chosen(["serial": "SAME", "wwn": Self.b])?.name == Self.b)
        let weak = try #require(chosen(["serial": "S1", "wwn": "nvme.1b36-53-51-00000001"]))
        #expect(weak.name == "S1" && weak.wwn == nil)
        #expect(chosen(["serial": "0000"]) == nil)
        // What was pinned goes before what an agent says.
        operation.request = .install(InstallRequest(image: "debian-12", disk: Self.a))
        #expect(chosen([:])?.name == Self.a)
        var pinned = InstallRequest(image: "debian-12", disk: Self.a)
        pinned.target = DiskTarget(name: Self.a)
        operation.request = .install(pinned)
        #expect(chosen(["disk": Self.b, "wwn": Self.b])?.name == Self.a)
    }

    @Test("of a wipe are those that the record had when it was asked for, whatever comes later")
    func wipeIsPinned() async throws {
        try await with([reported("sda", serial: "S1"), reported("sdb", serial: "S2")]) { control, reply in
            let operation = try await control.order(wipe(), on: reply.machine.rawValue, by: "test")
            guard case .wipe(let request) = operation.request else { return }
            #expect(request.disks == ["S1", "S2"] && request.left == nil)
            // One more is put in, and another is pulled.
            try await control.record(
                Self.inventory([reported("sda", serial: "S1"), reported("sdb", serial: "S3")]), of: reply.machine, wantsProof: false)
            guard case .wipe(let work) = try await work(control, reply.session) else { Issue.record("no work"); return }
            #expect(work.disks == ["S1", "S2"] && work.targets?.map(\.serial) == ["S1", "S2"])
            #expect(work.targets?.allSatisfy { !$0.isNamed } == true, "the agent is to look whether they are inside")
        }
    }

    @Test("of a wipe that names none are those inside the machine; what is left is said")
    func inside() async throws {
        let disks = [
            reported("sda", serial: "OWN"), reported("sdb", serial: "LUN1", wwn: Self.a, place: .fibreChannel),
            reported("sdc", serial: "LUN2", place: .iscsi), reported("sdd", serial: "SHELF", place: .enclosure),
            reported("nvme1n1", serial: "NVMF", place: .nvmeFabric), reported("nbd0", serial: "NBD", place: .software),
        ]
        try await with(disks + Self.paths) { control, reply in
            let operation = try await control.order(wipe(), on: reply.machine.rawValue, by: "test")
            guard case .wipe(let request) = operation.request else { return }
            #expect(request.disks == ["OWN"])
            #expect(request.left?.count == 7)
            #expect(request.left?.first == "\(Self.a), serial LUN1, 8000 MB, Fibre Channel")
            let started = try await control.records.all(Event.self).map(\.value).first {
                $0.operation == operation.id && $0.kind == "operation.started"
            }
            #expect(started?.evidence["disks"] == "OWN" && started?.evidence["left"]?.contains("LUN2") == true)
            guard case .wipe(let work) = try await work(control, reply.session) else { Issue.record("no work"); return }
            #expect(work.disks == ["OWN"])
        }
        try await with(disks) { control, reply in
            _ = try await control.order(wipe(["LUN1", "OWN"]), on: reply.machine.rawValue, by: "test")
            guard case .wipe(let work) = try await work(control, reply.session) else { Issue.record("no work"); return }
            #expect(work.disks == [Self.a, "OWN"] && work.targets?.allSatisfy(\.isNamed) == true)
        }
        for request in [wipe(), install()] {
            try await with(Array(disks.dropFirst())) { control, reply in
                let problem = try #require(try await refusal(control, request, reply))
                #expect(problem.code == "no-disk" && offered(problem).contains("LUN2"))
            }
        }
    }

    @Test("of an install that names none are inside the machine, however small a SAN's unit is")
    func installInside() async throws {
        try await with([reported("sda", serial: "LUN", bytes: 4_000_000_000, place: .fibreChannel), reported("sdb", serial: "S1")]) {
            control, reply in
            let operation = try await control.order(install(), on: reply.machine.rawValue, by: "test")
            guard case .install(let request) = operation.request else { return }
            #expect(request.disk == "S1" && request.target?.isNamed == false)
        }
        try await with([reported("sda", serial: "LUN", place: .fibreChannel), reported("sdb", serial: "S1")]) { control, reply in
            let operation = try await control.order(install("LUN"), on: reply.machine.rawValue, by: "test")
            guard case .install(let request) = operation.request else { return }
            #expect(request.disk == "LUN" && request.target?.isNamed == true)
        }
    }

    @Test("of a wipe with an empty list are none: it is refused")
    func emptyList() async throws {
        try await with([reported("sda", serial: "S1")]) { control, reply in
            let refused: [(OperationRequest, String)] = [
                (wipe([]), "wipe-no-disks"), (wipe([""]), "disk-not-found"), (wipe(["S1", "S9"]), "disk-not-found"),
                // The kernel's name is none.
                (wipe(["sda"]), "disk-not-found"), (install("sda"), "disk-not-found"),
                (wipe(Array(repeating: "S1", count: 1025)), "disks-too-many"),
            ]
            for (request, code) in refused {
                let problem = try await refusal(control, request, reply)
                #expect(problem?.code == code)
            }
        }
    }

    @Test("of a wipe are not guessed for a machine that was never inspected")
    func neverInspected() throws {
        let unknown = try machine(.ready)
        let problem = #expect(throws: Problem.self) { try DiskAdmission.pinned(WipeRequest(), machine: unknown) }
        #expect(problem?.code == "machine-not-inspected" && problem?.remedy?.contains("hostler machine inspect m-test01") == true)
    }

    @Test("of a wipe that an earlier version began without naming disks are none: no agent gets it, and it ends with a hold")
    func earlierOperation() async throws {
        try await with([reported("sda", serial: "S1")]) { control, reply in
            let operation = try await control.order(wipe(), on: reply.machine.rawValue, by: "test")
            // As that version wrote it down.
            let found = try await control.records.get(Model.Operation.self, id: operation.id.rawValue)
            var old = try #require(found)
            old.value.request = .wipe(WipeRequest(disks: []))
            let revision = try await control.records.store.commit([try old.value.put(.revision(old.revision))])
            await control.snapshots.reached(revision)
            guard case .wait = try await work(control, reply.session) else { Issue.record("an agent got it"); return }
            let ended = try await control.operation(operation.id).value
            #expect(ended.state == .failed && ended.problem?.code == "wipe-no-disks")
            #expect(try await control.machine(named: reply.machine.rawValue).value.holds.first?.problem.code == "wipe-no-disks")
        }
    }

    @Test("of earlier versions can still be read")
    func earlierForms() throws {
        func decode<T: Decodable>(_ type: T.Type, _ json: String) throws -> T { try JSONDecoder().decode(type, from: Data(json.utf8)) }
        #expect(try decode(WipeRequest.self, #"{"disks":[]}"#).disks == [])
        #expect(try decode(WipeRequest.self, "{}").disks == nil)
        #expect(throws: DecodingError.self) { try decode(WipeRequest.self, #"{"disks":null}"#) }
        #expect(try decode(InstallRequest.self, #"{"image":"debian-12","disk":"S1"}"#).target == nil)
        #expect(try decode(WipeWork.self, #"{"disks":["S1"],"done":[]}"#).targets == nil)
    }

    @Test("that were wiped, or have our marker, are told from their twins when a machine's disks are judged")
    func judgedTwins() throws {
        let foreign = DiskContents(items: [.init(kind: "ext4")], partitions: 1)
        for disks in [Self.volumes, Self.twins] {
            var machine = try machine(.ready)
            machine.observed.inventory = try Self.inventory(disks)
            for index in disks.indices { machine.observed.inventory?.disks[index].contents = foreign }
            let names = DiskNames(disks)
            let (first, second) = (try #require(names.name(of: 0)), try #require(names.name(of: 1)))
            machine.judgeDisks(marked: [])
            #expect(machine.observed.foreignDisks == [first, second])
            machine.judgeDisks(marked: [first])
            #expect(machine.observed.foreignDisks == [second])
            machine.judgeDisks(marked: ["SAME"])
            #expect(machine.observed.foreignDisks == [first, second], "a name that both answer to speaks for neither")
            machine.noteWiped([second])
            #expect(machine.observed.foreignDisks == [first] && machine.observed.inventory?.disks[0].contents == foreign)
            machine.noteWiped([])
            #expect(machine.observed.foreignDisks == [first])
        }
    }

    @Test("that hold the machine's system are told from their twins", arguments: [(a, false), (b, true)])
    func systemsDisk(_ wiped: String, _ stays: Bool) throws {
        var machine = try machine(.running)
        machine.observed.inventory = try Self.inventory(Self.volumes)
        machine.installed = Installation(
            operation: OperationID(unchecked: "op-first001"), generation: 1, image: "debian-12", digest: OneImage.digest, hostname: "one",
            diskSerial: "SAME", installedAt: Timestamp(milliseconds: 0))
        machine.installed?.disk = DiskTarget(Self.volumes[0], name: Self.a, isNamed: true)
        let request = try DiskAdmission.pinned(WipeRequest(disks: [wiped]), machine: machine)
        var transition = OperationTransition.begin(
            id: OperationID(unchecked: "op-second02"), request: .wipe(request), machine: machine, by: "test", now: Timestamp(milliseconds: 1))
        transition.agentArrived(AgentPresence(boot: "b", since: Timestamp(milliseconds: 0), version: "t"), Timestamp(milliseconds: 2))
        #expect((transition.machine.installed != nil) == stays)
    }
}
