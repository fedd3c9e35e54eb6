import Model
import Store
import Testing
import Wire

@testable import Control

/// A machine whose system Hostler put on its disk D1.
func machineWithSystem(now: Timestamp = Timestamp(milliseconds: 0)) throws -> Machine {
    var one = try machine(.running, now: now)
    one.generation = 1
    one.installed = Installation(
        operation: OperationID(unchecked: "op-0000"), generation: 1, image: "debian-12", digest: OneImage.digest, hostname: "web-1",
        diskSerial: "D1", installedAt: now, hostKeys: ["ssh-ed25519 AAAA"])
    one.observed.inventory = inventory(disks: [("D1", 8_000_000_000), ("D2", 9_000_000_000)])
    return one
}

func orderToInstall(_ keys: [String] = [], disk: String? = nil) -> OperationRequest {
    .install(InstallRequest(image: "debian-12", sshKeys: keys, disk: disk))
}

/// As admission pins it.
private func pinned(_ request: WipeRequest, on machine: Machine) throws -> OperationRequest {
    .wipe(try DiskAdmission.pinned(request, machine: machine))
}

func problemCode(_ body: () async throws -> Void) async -> String? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? Problem)?.code ?? "\(error)"
    }
}

@Suite("What an order will cost") struct ConsequenceTests {
    private let now = Timestamp(milliseconds: 1_700_000_000_000)

    private func kinds(_ consequence: Consequence?) -> [Consequence.Loss.Kind] { consequence?.losses.map(\.kind) ?? [] }

    @Test("is the system that an installation overwrites, with since when and on which disk, and whom the machine is lent to")
    func install_() throws {
        var one = try machineWithSystem(now: now)
        let lone = Consequence.of(orderToInstall(["ssh-ed25519 AAAA"], disk: "D1"), on: one, hasUserData: false, at: now)
        #expect(kinds(lone) == [.system])
        #expect(lone.losses[0].what == "debian-12 as web-1 on disk D1, installed by op-0000 at \(now); it is overwritten")
        one.desired.lease = LeaseTerm(id: "lease-0001", endsAt: now + .seconds(60), holder: "Ann")
        let lent = Consequence.of(orderToInstall(["ssh-ed25519 AAAA"], disk: "D1"), on: one, hasUserData: false, at: now)
        #expect(kinds(lent) == [.system, .lease])
        #expect(lent.losses[1].what.contains("lent to Ann until") == true)
        #expect(lent.confirmation != lone.confirmation, "a lease that came meanwhile is noticed")
        let over = Consequence.of(orderToInstall(["ssh-ed25519 AAAA"], disk: "D1"), on: one, hasUserData: false, at: now + .seconds(60))
        #expect(over.confirmation == lone.confirmation, "one that is over is nobody's")
    }

    @Test("is a system, too, that another disk's installation leaves behind") func otherDisk() throws {
        let one = try machineWithSystem(now: now)
        let consequence = Consequence.of(orderToInstall(["k"], disk: "D2"), on: one, hasUserData: false, at: now)
        #expect(kinds(consequence) == [.system] && consequence.losses[0].what.hasSuffix("it is not started any more") == true)
    }

    @Test("is another once another system runs there") func anotherSystem() throws {
        var one = try machineWithSystem(now: now)
        let before = Consequence.of(orderToInstall(["k"]), on: one, hasUserData: false, at: now)
        one.installed?.operation = OperationID(unchecked: "op-0001")
        #expect(Consequence.of(orderToInstall(["k"]), on: one, hasUserData: false, at: now).confirmation != before.confirmation)
    }

    @Test("is nothing where the machine has no system; that it is lent is a warning") func empty() throws {
        var one = try machine(.ready, now: now)
        let plain = (Consequence.of(orderToInstall(["k"]), on: one, hasUserData: false, at: now))
        #expect(plain.losses.isEmpty && plain.warnings.isEmpty && plain.confirmation == nil)
        try plain.check(nil)
        one.desired.lease = LeaseTerm(id: "lease-0001", endsAt: now + .seconds(60))
        #expect(Consequence.of(orderToInstall(["k"]), on: one, hasUserData: false, at: now).warnings.map(\.code) == ["machine-lent"])
    }

    @Test("warns that nobody can log in where there is neither key nor user-data") func noWayIn() throws {
        var one = try machine(.ready, now: now)
        #expect(Consequence.of(orderToInstall(), on: one, hasUserData: false, at: now).warnings.map(\.code) == ["no-way-in"])
        #expect(Consequence.of(orderToInstall(), on: one, hasUserData: true, at: now).warnings.isEmpty == true)
        #expect(Consequence.of(orderToInstall(["k"]), on: one, hasUserData: false, at: now).warnings.isEmpty == true)
        one.desired.sshKeys = ["k"]
        #expect(Consequence.of(orderToInstall(), on: one, hasUserData: false, at: now).warnings.isEmpty == true)
    }

    @Test("names each disk that a wipe takes, and the system only where it is on one of them") func wipe() throws {
        let one = try machineWithSystem(now: now)
        let all = Consequence.of(try pinned(WipeRequest(), on: one), on: one, hasUserData: false, at: now)
        #expect(kinds(all) == [.system, .disk, .disk] && all.losses[1].what.contains("D1") == true && all.losses[2].what.contains("D2") == true)
        let other = Consequence.of(try pinned(WipeRequest(disks: ["D2"]), on: one), on: one, hasUserData: false, at: now)
        #expect(kinds(other) == [.disk] && other.losses[0].what.contains("D2") == true)
        #expect(kinds(Consequence.of(try pinned(WipeRequest(disks: ["D1"]), on: one), on: one, hasUserData: false, at: now)) == [.system, .disk])
        #expect(
            kinds(Consequence.of(.wipe(WipeRequest()), on: try machine(.new), hasUserData: false, at: now)) == [.disk],
            "what is not known is lost, too")
    }

    @Test("names the disks that a wipe takes by names that no other disk answers to, and those that stay") func ambiguousDisks() throws {
        var one = try machine(.ready, now: now)
        var disks = inventory(disks: [("SAME", 8_000_000_000), ("SAME", 8_000_000_000), ("LUN1", 9_000_000_000)])
        for (index, end) in ["0", "1"].enumerated() { disks.disks[index].wwn = "600605b00d1e2f3a2c0a1b2c3d4e5f6\(end)" }
        for index in 0..<2 { disks.disks[index].place = .inside }
        disks.disks[2].place = .fibreChannel
        one.observed.inventory = disks
        let all = (Consequence.of(try pinned(WipeRequest(), on: one), on: one, hasUserData: false, at: now))
        #expect(all.losses.count == 2 && !all.losses.contains { $0.what.contains("LUN1") })
        #expect(["0", "1"].allSatisfy { end in all.losses.contains { $0.what.contains("600605b00d1e2f3a2c0a1b2c3d4e5f6\(end)") } })
        #expect(all.warnings.map(\.code) == ["disks-left"] && all.warnings[0].title.contains("LUN1"))
        let named = Consequence.of(try pinned(WipeRequest(disks: ["LUN1"]), on: one), on: one, hasUserData: false, at: now)
        #expect(named.losses.count == 1 && named.losses[0].what.contains("LUN1") == true && named.warnings.isEmpty)
    }

    @Test("is what a stranger's disk holds, when the machine is taken or installed") func foreign() throws {
        var one = try machine(.ready, now: now)
        one.observed.inventory = inventory(disks: [("D1", 8_000_000_000)])
        one.observed.foreignDisks = ["D1"]
        for consequence in [Consequence.of(orderToInstall(["k"]), on: one, hasUserData: false, at: now), .taking(disksOf: one)] {
            #expect(kinds(consequence) == [.disk] && consequence.losses[0].what.contains("vd0"))
        }
        one.observed.foreignDisks = []
        #expect(kinds(.taking(disksOf: one)).isEmpty)
    }

    @Test("is whatever is there, where nobody has looked: an installation, and an inspection by a BMC, ask") func unseen() throws {
        for state in [MachineState.new, .ready] {
            var one = try machine(state, now: now)
            one.observed.foreignDisks = nil
            #expect(kinds(Consequence.of(orderToInstall(["k"]), on: one, hasUserData: false, at: now)) == [.disk])
            #expect(kinds(Consequence.of(.inspect, on: one, hasUserData: false, at: now)) == [.uptime])
            one.observed.agent = AgentPresence(boot: "b", since: now, version: "1")
            #expect(kinds(Consequence.of(.inspect, on: one, hasUserData: false, at: now)).isEmpty, "it is in the agent")
            one.observed.foreignDisks = []
            #expect(kinds(Consequence.of(orderToInstall(["k"]), on: one, hasUserData: false, at: now)).isEmpty)
            one.observed.foreignDisks = nil
            one.takenDisks = [TakenDisk(name: "D1")]
            #expect(kinds(Consequence.of(orderToInstall(["k"]), on: one, hasUserData: false, at: now)).isEmpty, "a person gave it")
        }
        #expect(kinds(Consequence.of(.inspect, on: try machineWithSystem(now: now), hasUserData: false, at: now)).isEmpty, "it is left to run")
    }

    @Test("of power and rescue is what runs on a machine that an agent found somebody's system on, and let go") func letGo() throws {
        var one = try machine(.ready, now: now)
        one.observed.foreignDisks = ["D1"]
        one.observed.agent = AgentPresence(boot: "b", since: now, version: "1")
        #expect(kinds(Consequence.of(PowerAction.off, on: one, operation: nil, at: now)) == [.uptime])
        #expect(kinds(Consequence.of(.rescue(RescueRequest(sshKeys: [])), on: one, hasUserData: false, at: now)) == [.uptime])
    }

    @Test("of a port is its loss for each machine that has it, the taker's own not counted") func sharedPort() throws {
        let others = try ["m-bbbb", "m-cccc"].map { id in
            Machine(id: MachineID(unchecked: id), name: try DisplayName(id), interfaces: [Interface(mac: testMAC)], now: now)
        }
        #expect(Consequence.taking(testMAC, into: try machine(.new), from: others).losses.count == 2)
    }

    @Test("another disk that was put in meanwhile is noticed") func newDisk() throws {
        var one = try machineWithSystem(now: now)
        let before = Consequence.of(try pinned(WipeRequest(), on: one), on: one, hasUserData: false, at: now)
        one.observed.inventory = inventory(disks: [("D1", 8_000_000_000), ("D2", 9_000_000_000), ("D3", 1)])
        #expect(Consequence.of(try pinned(WipeRequest(), on: one), on: one, hasUserData: false, at: now).confirmation != before.confirmation)
    }

    @Test("of power is what runs, known or not, and the work that is cut off", arguments: PowerAction.allCases) func power(_ action: PowerAction)
        throws
    {
        let consequence = Consequence.of(action, on: try machineWithSystem(now: now), operation: nil, at: now)
        #expect(kinds(consequence) == (action == .on ? [] : [.uptime]))
        #expect((consequence?.confirmation == nil) == (action == .on))
        // Hostler has put nothing there: somebody's server may run.
        #expect(kinds(Consequence.of(action, on: try machine(.new), operation: nil, at: now)) == (action == .on ? [] : [.uptime]))
        var waiting = try machine(.ready)
        waiting.observed.agent = AgentPresence(boot: "b", since: now, version: "1")
        #expect(kinds(Consequence.of(action, on: waiting, operation: nil, at: now)).isEmpty, "an agent without work loses nothing")
        var writing = OperationTransition.begin(
            id: OperationID(unchecked: "op-0001"), request: orderToInstall(), machine: waiting, by: "t", now: now)
        writing.agentArrived(AgentPresence(boot: "b", since: now, version: "1"), now)
        #expect(
            kinds(Consequence.of(action, on: writing.machine, operation: writing.operation, at: now)) == (action == .on ? [] : [.operation]))
    }

    @Test("every destructive act refuses an order that does not agree, and one that agreed to something else")
    func everyAct() async throws {
        var one = try machineWithSystem(now: now)
        one.desired.lease = LeaseTerm(id: "lease-0001", endsAt: now + .seconds(600), holder: "Ann")
        one.holds = [Hold(id: HoldID(unchecked: "hold-0001"), problem: Problem("x", title: "y"), operation: nil, since: now)]
        let all: [Consequence?] = [
            .of(orderToInstall(), on: one, hasUserData: false, at: now),
            .of(try pinned(WipeRequest(), on: one), on: one, hasUserData: false, at: now),
            .of(.rescue(RescueRequest(sshKeys: [])), on: one, hasUserData: false, at: now),
            .of(.off, on: one, operation: nil, at: now), .of(.shutdown, on: one, operation: nil, at: now),
            .of(.restart, on: one, operation: nil, at: now), .of(.cycle, on: one, operation: nil, at: now),
            .firmware(from: "http://x/fw", to: one, at: now), .deletion(of: one, at: now), .release(of: one.holds[0], on: one),
            .taking(testMAC, into: try machine(.new), from: [one]), .clearingLog(of: one),
        ]
        for consequence in all {
            let consequence = try #require(consequence)
            #expect(await problemCode { try consequence.check(nil) } == "confirmation-needed", "\(consequence.act)")
            #expect(await problemCode { try consequence.check("0000000000000000") } == "confirmation-stale", "\(consequence.act)")
            try consequence.check(consequence.confirmation)
        }
        #expect(Set(all.compactMap { $0?.confirmation }).count == all.count, "what was agreed to for one act is nothing for another")
    }
}

@Suite("An order that destroys something") struct OrderTests {
    private func with(_ body: (ControlPlane, MemoryStore) async throws -> Void) async throws {
        let store = MemoryStore()
        try await store.commit([try machineWithSystem().put(.absent)])
        try await running(try await open(store)) { try await body($0, store) }
    }

    @Test("is refused for a running machine unless it agrees, and nothing is written") func refused() async throws {
        try await with { control, store in
            let before = try await store.currentRevision()
            #expect(await problemCode { _ = try await control.start(orderToInstall(), on: "one", by: "t") } == "confirmation-needed")
            #expect(await problemCode { _ = try await control.start(.wipe(WipeRequest()), on: "one", by: "t") } == "confirmation-needed")
            #expect(await problemCode { try await control.delete(machine: "one", by: "t") } == "confirmation-needed")
            #expect(try await store.currentRevision() == before)
            #expect(control.snapshot.machines.values.first?.state == .running)
        }
    }

    @Test("is refused where nobody has looked at the machine: its disk is not overwritten unasked, nor is it restarted") func unseen() async throws {
        let store = MemoryStore()
        try await store.commit([try machine(.new).put(.absent)])
        try await running(try await open(store)) { control in
            for request in [orderToInstall(), .inspect, .wipe(WipeRequest())] {
                let code = await problemCode { _ = try await control.start(request, on: "one", by: "t") }
                #expect(["confirmation-needed", "machine-not-inspected"].contains(code), "\(request.kind)")
            }
            _ = try await control.order(.inspect, on: "one", by: "t")
        }
    }

    @Test("asked as a dry run writes nothing, and throws what the order would") func dryRun() async throws {
        try await with { control, store in
            let before = try await store.currentRevision()
            for act in [MachineAct.operation(orderToInstall()), .operation(.wipe(WipeRequest())), .delete, .power(.off), .clearLog] {
                #expect(try await control.consequence(of: act, on: "one").confirmation != nil)
            }
            let wrong = OperationRequest.install(InstallRequest(image: "none-such"))
            #expect(await problemCode { _ = try await control.consequence(of: .operation(wrong), on: "one") } == "image-not-found")
            let badHost = OperationRequest.install(InstallRequest(image: "debian-12", hostname: "-"))
            #expect(await problemCode { _ = try await control.consequence(of: .operation(badHost), on: "one") } == "hostname-invalid")
            #expect(try await store.currentRevision() == before)
        }
    }

    @Test("that agreed to what has changed since is refused") func changed() async throws {
        try await with { control, _ in
            let agreed = try await control.agreement(to: .operation(orderToInstall()), on: "one")
            let end = control.now + .seconds(600)
            _ = try await control.update(
                machine: "one", with: MachinePatch(lease: LeasePatch(endsAt: end, holder: "Ann")), expecting: nil, by: "t")
            #expect(
                await problemCode { _ = try await control.start(orderToInstall(), on: "one", by: "t", agreement: agreed) } == "confirmation-stale")
            #expect(try await control.machine(named: "one").value.openOperation == nil)
            #expect(try await control.machine(named: "one").value.desired.lease?.holder == "Ann")
            let now = try await control.agreement(to: .operation(orderToInstall()), on: "one")
            let operation = try await control.start(orderToInstall(), on: "one", by: "t", agreement: now)
            #expect(operation.warnings?.map(\.code) == ["no-way-in"])
            #expect(try await control.operation(operation.id).value.warnings?.count == 1, "the record keeps what was warned of")
        }
    }

    @Test("for a machine that changes no other fact does not grow stale") func harmless() async throws {
        try await with { control, _ in
            let agreed = try await control.agreement(to: .operation(orderToInstall()), on: "one")
            _ = try await control.update(machine: "one", with: MachinePatch(labels: ["a": "b"]), expecting: nil, by: "t")
            _ = try await control.start(orderToInstall(), on: "one", by: "t", agreement: agreed)
        }
    }

    @Test("an image is not removed while an installation with it begins, runs or waits, and is afterwards") func image() async throws {
        try await with { control, _ in
            func remove() async -> String? {
                await problemCode {
                    try await control.removingImage(digest: OneImage.digest, names: ["debian-12", "debian-12:latest"], isLast: true) {}
                }
            }
            #expect(await remove() == nil)
            let begins = ImageLocks.Start(control.imageLocks)
            try begins.use(OneImage.digest)
            #expect(await remove() == "image-in-use")
            begins.end()
            let operation = try await control.order(orderToInstall(["ssh-ed25519 AAAA"]), on: "one", by: "t")
            #expect(await remove() == "image-in-use")
            #expect(
                await problemCode { try await control.removingImage(digest: OneImage.digest, names: ["other"], isLast: false) {} } == nil,
                "another name for the same image may go")
            _ = try await control.cancel(operation.id, by: "t")
            #expect(await remove() == nil)
            try await control.removingImage(digest: OneImage.digest, names: ["debian-12"], isLast: true) {
                let late = await problemCode { _ = try await control.order(orderToInstall(["ssh-ed25519 AAAA"]), on: "one", by: "t") }
                #expect(late == "image-being-removed")
            }
        }
    }

    @Test("an operation of before digests were pinned uses its image by either name") func oldNames() throws {
        var operation = OperationTransition.begin(
            id: OperationID(unchecked: "op-0001"), request: .install(InstallRequest(image: "debian-12:latest")), machine: try machine(), by: "t",
            now: Timestamp(milliseconds: 0)
        ).operation
        #expect(ImageUse.operation(in: [operation], needing: "sha256:00", names: ["debian-12", "debian-12:latest"]) != nil)
        #expect(ImageUse.operation(in: [operation], needing: "sha256:00", names: ["debian-13"]) == nil)
        operation.state = .succeeded
        #expect(ImageUse.operation(in: [operation], needing: "sha256:00", names: ["debian-12:latest"]) == nil)
    }
}
