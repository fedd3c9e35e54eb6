public import Hardware
internal import Logging
public import Model
internal import Store
internal import Synchronization

/// The BMCs of the rack: their records, their passwords, and the lines to them.
///
/// A record changes where something changed; how fresh a reading is, is known here without asking the store.
public final class BMCDesk: Sendable {
    public struct Settings: Sendable {
        /// From one sweep's start to the next one's.
        public var sweepEvery: Duration = .seconds(30)
        /// For one BMC in a sweep.
        public var sweepTimeout: Duration = .seconds(15)
        public var power = PowerPursuit.Policy()
        /// What a machine's UEFI fetches to come to the agent; nil: its DHCP server says.
        public var bootURI: @Sendable (Machine) -> String? = { _ in nil }
        public var start = StartPolicy()
        public var health = HealthPolicy()
        public var consoles = ConsolePolicy()
        public var consoleBackoff = Backoff(longest: .seconds(60))
        /// So long somebody else may hold a console before it is taken over.
        public var consolePatience: Duration = .seconds(300)
        /// From one look at a BMC's log to the next, where it has no event stream.
        public var logEvery: Duration = .seconds(300)
        /// After so long a stream is opened anew.
        public var streamLongest: Duration = .seconds(900)
        public var eventBackoff = Backoff()
        /// Within so long after a start the BMCs are listened to, each at a time of its own.
        public var spread: Duration = .seconds(10)
        public init() {}
    }

    let control: ControlPlane
    let vault: Vault
    let ways: BMCWays
    let settings: Settings
    public let fleet = BMCFleet()
    /// Those whose password is being changed or found out.
    let settling = Mutex<Set<BMCID>>([])
    /// Which machines are being started, and when those are tried again where it failed.
    let starts = Mutex(StartLedger())
    let wards = Mutex<[BMCID: Ward]>([:])
    /// Of firmware files that are given to BMCs now.
    let pushedBytes = Mutex(0)
    let updates = Mutex<[BMCID: FirmwareUpdate]>([:])
    let updateRequests: AsyncStream<UpdateJob>
    let updateJobs: AsyncStream<UpdateJob>.Continuation
    /// Lines that nobody attends to yet.
    private let arrivals: AsyncStream<Arrival>
    private let arrived: AsyncStream<Arrival>.Continuation
    private let isRunning = Mutex(false)

    private struct Arrival: Sendable {
        var line: BMCLine
        /// Whether it is one of all those that a start brings.
        var isOfStart: Bool
    }

    /// The records as they were last written here, so that no question about one reads all.
    let roster = Mutex<[BMCID: Versioned<BMC>]>([:])
    var records: Records { control.records }

    /// Reads the records, and makes the lines. Nothing is sent yet.
    public static func open(
        control: ControlPlane, vault: Vault, ways: BMCWays = .init(), settings: Settings = .init()
    ) async throws -> BMCDesk {
        let desk = BMCDesk(control: control, vault: vault, ways: ways, settings: settings)
        for found in try await desk.records.all(BMC.self) {
            desk.keep(found)
            do {
                if found.value.heldOverride != nil { desk.starts.withLock { _ = $0.held.insert(found.value.id) } }
                try await desk.connect(found.value)
            } catch {
                control.environment.logger.error("a BMC cannot be spoken to", metadata: ["bmc": "\(found.value.id)", "error": "\(error)"])
            }
        }
        do {
            try await desk.reviewOldBindings()
        } catch {
            // Without a reason that is written down a BMC switches nothing.
            control.environment.logger.error("bindings of an earlier version were not reviewed", metadata: ["error": "\(error)"])
        }
        return desk
    }

    private init(control: ControlPlane, vault: Vault, ways: BMCWays, settings: Settings) {
        self.control = control
        self.vault = vault
        self.ways = ways
        self.settings = settings
        (updateRequests, updateJobs) = AsyncStream.makeStream(of: UpdateJob.self)
        (arrivals, arrived) = AsyncStream.makeStream(of: Arrival.self)
    }

    /// Finishes what a kill left half done, then keeps looking at every BMC. Runs until cancelled.
    public func run() async throws {
        await settlePasswords()
        isRunning.withLock { $0 = true }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.runUpdates() }
            group.addTask { try? await self.startMachines() }
            group.addTask { await self.attendAll() }
            while !Task.isCancelled {
                let started = ContinuousClock.now
                await sweep()
                try? await Task.sleep(until: started + settings.sweepEvery)
            }
        }
        // In a task of its own, since this one is cancelled: BMCs have few sessions, and keep those that nobody ends.
        await Task { await close() }.value
    }

    /// Gives every BMC its session back; nothing can be asked any more.
    public func close() async {
        await withDiscardingTaskGroup { group in
            for line in fleet.removeAll() { group.addTask { await line.power.close() } }
        }
    }

    /// Attends to each BMC from the moment on that there is a line to it.
    private func attendAll() async {
        await withDiscardingTaskGroup { group in
            for await arrival in arrivals { group.addTask { await self.attend(arrival) } }
        }
    }

    /// What is done about one BMC beside the sweeps, while its line is the way to it.
    private func attend(_ arrival: Arrival) async {
        let line = arrival.line
        // Those of a start are not asked all at once; whoever has just been added may be switched on the next moment.
        if arrival.isOfStart { try? await Task.sleep(for: settings.spread * Double.random(in: 0...1)) }
        guard fleet.line(line.id) === line else { return }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.watchHealth(by: line) }
            group.addTask { await self.watchEvents(by: line) }
            group.addTask { await self.recordConsole(by: line) }
        }
    }

    // MARK: Looking

    /// Reads the power of every BMC at once, and writes down what changed. Each is told once it is written down.
    public func sweep(_ tell: @escaping @Sendable (BMCFleet.Observation) -> Void = { _ in }) async {
        await fleet.sweep(timeout: settings.sweepTimeout) { observation in
            do {
                try await self.note(observation)
            } catch {
                self.control.environment.logger.error(
                    "what was seen of a BMC was not recorded", metadata: ["bmc": "\(observation.id)", "error": "\(error)"])
            }
            tell(observation)
        }
    }

    /// By id, by the machine's id or name, or by address; as fresh as the line to it knows.
    public func bmc(named name: String) async throws -> Versioned<BMC> {
        if let id = BMCID(rawValue: name), let found = try await records.get(BMC.self, id: id.rawValue) { return fresh(found) }
        let all = try await records.all(BMC.self)
        if let found = all.first(where: { $0.value.address == name }) { return fresh(found) }
        if let machine = try? await control.machine(named: name).value.id, let found = all.first(where: { $0.value.machine == machine }) {
            return fresh(found)
        }
        throw Problem.notFound("bmc", name)
    }

    public func all() async throws -> [BMC] { try await records.all(BMC.self).map { fresh($0).value } }

    /// With what the line to it saw last.
    func fresh(_ found: Versioned<BMC>) -> Versioned<BMC> {
        guard let line = fleet.line(found.value.id) else { return found }
        var copy = found
        copy.value.observed = Self.merged(copy.value.observed, line.observed)
        return copy
    }

    static func merged(_ record: ObservedBMC, _ seen: ObservedBMC) -> ObservedBMC {
        var merged = record
        merged.power = seen.power ?? record.power
        merged.breaker = seen.breaker
        merged.problem = seen.problem
        merged.problemAt = seen.problemAt
        return merged
    }

    func line(_ id: BMCID) throws(Problem) -> BMCLine {
        guard let line = fleet.line(id) else {
            throw Problem(
                "bmc-not-connected", status: 503, title: "There is no way to BMC \(id)",
                detail: "its password does not open, or its record is not complete", remedy: "Add it again: hostler bmc remove, hostler bmc add")
        }
        return line
    }

    /// The record as it was written, unless a newer one is known.
    func keep(_ written: Versioned<BMC>) {
        roster.withLock { roster in
            if let known = roster[written.value.id], known.revision > written.revision { return }
            roster[written.value.id] = written
        }
    }

    /// The BMC that switches this machine.
    func bmc(of machine: MachineID) async throws -> BMC {
        guard let found = roster.withLock({ roster in roster.values.first { $0.value.machine == machine } }) else {
            throw withoutBMC(machine)
        }
        guard found.value.binding != nil else {
            throw Problem(
                "bmc-binding-doubtful", status: 409, title: "Why BMC \(found.value.id) is taken for that of \(machine) is not known",
                detail: "An earlier version bound it.", remedy: "If it is: hostler bmc bind \(found.value.id) \(machine)")
        }
        return found.value
    }

    // MARK: Lines

    func connect(_ bmc: BMC) async throws {
        guard let secret = try await secret(of: bmc.id) else {
            // Without one it would be tried with none, or with a PDU's usual one.
            throw Problem(
                "bmc-password-lost", status: 409, title: "The record has no password of BMC \(bmc.id) any more",
                detail: "It was restored from a backup without the keys that open it.",
                remedy: "Remove and add it: hostler bmc remove \(bmc.id), then hostler bmc add \(bmc.address)")
        }
        let password = try secret.current.map { try vault.open($0, context: BMCSecret.context(bmc.id)) }
        let way = try ways.way(to: bmc, password: password)
        let control = control
        let old = put(BMCLine(id: bmc.id, power: way, last: bmc.observed.power, now: { control.now }, steady: { control.steady }))
        await old?.power.close()
    }

    /// From now on this is the way to a BMC; the one before it is returned.
    @discardableResult
    func put(_ line: BMCLine) -> BMCLine? {
        let old = fleet.put(line)
        arrived.yield(Arrival(line: line, isOfStart: !isRunning.withLock { $0 }))
        return old
    }

    func secret(of id: BMCID) async throws -> BMCSecret? {
        guard let stored = try await records.store.get(BMCSecret.key(id)) else { return nil }
        return try RecordCoding.decode(BMCSecret.self, from: stored)
    }

    // MARK: What a sweep saw

    /// Writes the record where something changed, and an event where it matters.
    func note(_ seen: BMCFleet.Observation) async throws {
        var events: [OperationTransition.Happening] = []
        try await edit(seen.id) { bmc in
            events = []
            let before = bmc
            if let power = seen.observed.power, power.state != bmc.observed.power?.state { bmc.observed.power = power }
            if bmc.fingerprint == nil, !bmc.trustsAuthorities { bmc.fingerprint = seen.fingerprint }
            if seen.observed.problem?.code != bmc.observed.problem?.code {
                bmc.observed.problem = seen.observed.problem
                bmc.observed.problemAt = seen.observed.problemAt
            }
            if seen.observed.breaker != bmc.observed.breaker {
                let wasShut = bmc.observed.breaker == .closed
                bmc.observed.breaker = seen.observed.breaker
                if seen.observed.breaker == .open, wasShut {
                    events.append(
                        .init(
                            kind: "bmc.silent", actor: "bmc", message: "The BMC at \(bmc.address) failed too often and is left alone for a while",
                            evidence: Self.evidence(seen.observed.problem)))
                } else if seen.observed.breaker == .closed {
                    events.append(.init(kind: "bmc.back", actor: "bmc", message: "The BMC at \(bmc.address) answers again"))
                }
            }
            if let flip = seen.flip {
                events.append(
                    .init(
                        kind: "power.flipped", actor: "bmc",
                        message:
                            "The power of \(bmc.machine?.rawValue ?? bmc.address) went from \(flip.from.rawValue) to \(flip.to.rawValue), and Hostler did not do it",
                        evidence: ["from": flip.from.rawValue, "to": flip.to.rawValue, "lastSeen": flip.since.description]))
            }
            return bmc != before
        } events: { _ in
            events
        }
    }

    static func evidence(_ problem: Problem?) -> [String: String] {
        guard let problem else { return [:] }
        return ["code": problem.code, "problem": problem.title].merging(problem.detail.map { ["detail": $0] } ?? [:]) { a, _ in a }
    }

    /// Changes a record with compare-and-swap; `body` returns whether there is something to write.
    @discardableResult
    func edit(
        _ id: BMCID, _ body: (inout BMC) throws -> Bool, events: (BMC) -> [OperationTransition.Happening] = { _ in [] },
        also: [Mutation] = []
    ) async throws -> BMC {
        for _ in 0..<ControlPlane.conflictLimit {
            guard let found = try await records.get(BMC.self, id: id.rawValue) else { throw Problem.notFound("bmc", id.rawValue) }
            var bmc = found.value
            let isChanged = try body(&bmc)
            let happenings = events(bmc)
            guard isChanged || !happenings.isEmpty || !also.isEmpty else { return bmc }
            if isChanged { bmc.updatedAt = control.now }
            var mutations = also
            mutations.append(isChanged ? try bmc.put(.revision(found.revision)) : .check(key: bmc.key, .revision(found.revision)))
            for happening in happenings {
                mutations.append(try control.event(happening, machine: bmc.machine, operation: nil).put(.absent))
            }
            if let revision = try await records.store.commitUnlessConflict(mutations) {
                if isChanged, roster.withLock({ $0[id] != nil }) { keep(Versioned(value: bmc, revision: revision)) }
                return bmc
            }
        }
        throw ControlPlane.tooManyConflicts
    }
}
