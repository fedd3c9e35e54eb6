import Model
import Store
import Testing
import Wire

@testable import Control

@Suite("An installation")
struct InstallTests {
    static let order: [StepName] = [.chooseDisk, .writeImage, .writeSeed, .bootOrder, .restart]

    private func report(_ operation: Model.Operation, _ step: StepName, _ kind: StepReport.Kind = .succeeded, _ problem: Problem? = nil) -> StepReport
    {
        StepReport(
            operation: operation.id, generation: operation.generation, step: step, kind: kind,
            evidence: step == .chooseDisk ? ["serial": "D1"] : [:], problem: problem)
    }

    /// A machine that is discovered and inspected.
    private func discover(_ control: ControlPlane) async throws -> (HelloReply, MachineID) {
        let reply = try await boot(control)
        try await control.record(inventory(), of: reply.machine, wantsProof: false)
        return (reply, reply.machine)
    }

    /// An installation that the waiting agent has taken up.
    private func install(_ control: ControlPlane, _ reply: HelloReply) async throws -> Model.Operation {
        let operation = try await control.order(
            .install(InstallRequest(image: "debian-12")), on: reply.machine.rawValue, by: "test")
        let task = try await control.task(for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
        #expect(task.operation == operation.id)
        return try await control.operation(operation.id).value
    }

    private func proof(_ control: ControlPlane, _ operation: Model.Operation) async throws -> String {
        let seed = try await control.seed(of: operation.id, base: testBase, wantsProof: false)
        let text = String(decoding: seed.bytes, as: UTF8.self)
        let marker = "/call-home/\(operation.id)/"
        let start = try #require(text.range(of: marker)).upperBound
        return String(text[start...].prefix(64))
    }

    @Test("goes from discovery to running, each step on its evidence")
    func wholeLife() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let (reply, id) = try await discover(control)
            #expect(try await control.machine(named: id.rawValue).value.state == .ready)
            let operation = try await install(control, reply)
            #expect(operation.isDone(.agent), "the agent that waits is used at once")
            for step in Self.order { #expect(try await control.report(report(operation, step), of: id, wantsProof: false)) }
            #expect(control.boots(testMAC).verdict == .localDisk(why: "operation \(operation.id) has written its disk: first boot"))
            let proof = try await proof(control, operation)
            await #expect(throws: Problem.self) {
                try await control.callHome(operation: operation.id, proof: "wrong", hostKeys: [], evidence: [:])
            }
            try await control.callHome(
                operation: operation.id, proof: proof, hostKeys: ["ssh-ed25519 AAAA", "ssh-rsa AA\u{9b}2J", "ssh-\u{1b}c AAAA", "x AAAA"],
                evidence: [:])
            let machine = try await control.machine(named: id.rawValue).value
            #expect(machine.state == .running)
            #expect(machine.installed?.diskSerial == "D1")
            #expect(machine.installed?.hostKeys == ["ssh-ed25519 AAAA"])
            #expect(machine.openOperation == nil)
            #expect(try await control.operation(operation.id).value.state == .succeeded)
        }
    }

    @Test("goes on after the control plane is killed before any step, and installs once", arguments: order)
    func killedBefore(_ victim: StepName) async throws {
        let store = MemoryStore()
        var control = try await open(store)
        let (reply, id) = try await {
            var found: (HelloReply, MachineID)?
            try await running(control) { found = try await discover($0) }
            return try #require(found)
        }()
        control = try await open(store)
        var operation: Model.Operation?
        try await running(control) { control in
            operation = try await install(control, reply)
            for step in Self.order.prefix(while: { $0 != victim }) {
                _ = try await control.report(report(try #require(operation), step), of: id, wantsProof: false)
            }
        }
        // Another process opens the same store: nothing but the store is left of the first.
        control = try await open(store)
        try await running(control) { control in
            let operation = try #require(operation)
            for step in Self.order { #expect(try await control.report(report(operation, step), of: id, wantsProof: false)) }
            try await control.callHome(operation: operation.id, proof: try await proof(control, operation), hostKeys: [], evidence: [:])
            #expect(try await control.machine(named: id.rawValue).value.state == .running)
        }
        let installs = try await control.records.all(Model.Operation.self).filter { $0.value.kind == .install }
        #expect(installs.count == 1)
    }

    @Test("starts a step over when the machine boots again in the middle of it")
    func powerCut() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let (reply, id) = try await discover(control)
            let operation = try await install(control, reply)
            _ = try await control.report(report(operation, .chooseDisk), of: id, wantsProof: false)
            _ = try await control.report(report(operation, .writeImage, .progress), of: id, wantsProof: false)
            let second = try await boot(control, key: String(repeating: "b", count: 64))
            let task = try await control.task(
                for: second.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false, patience: .seconds(1))
            guard case .install(let work) = task.work else { Issue.record("no work: \(task)"); return }
            #expect(work.done == [.agent, .chooseDisk])
            #expect(work.disk == "D1", "the disk that was chosen stays the disk")
            #expect(try await control.operation(operation.id).value.step(.writeImage)?.attempts == 2)
        }
    }

    @Test("refuses a report of an older generation")
    func oldGeneration() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let (reply, id) = try await discover(control)
            let operation = try await install(control, reply)
            var old = report(operation, .chooseDisk)
            old.generation -= 1
            #expect(try await !control.report(old, of: id, wantsProof: false))
        }
    }

    @Test("holds the machine, with why, when the image does not match its digest")
    func damagedImage() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let (reply, id) = try await discover(control)
            let operation = try await install(control, reply)
            control.log(LogBatch(lines: [.init(uptimeMilliseconds: 1500, text: "chunk 17 is damaged")]), of: id)
            _ = try await control.report(report(operation, .chooseDisk), of: id, wantsProof: false)
            let problem = Problem("chunk-digest-mismatch", title: "chunk 17 does not match its digest")
            _ = try await control.report(report(operation, .writeImage, .failed, problem), of: id, wantsProof: false)
            let machine = try await control.machine(named: id.rawValue).value
            #expect(machine.holds.first?.problem == problem)
            #expect(machine.holds.first?.evidence == ["[1.5] chunk 17 is damaged"])
            #expect(try await control.operation(operation.id).value.state == .failed)
            if case .refuse = control.boots(testMAC).verdict {} else { Issue.record("a held machine was booted") }
            await #expect(throws: Problem.self) { try await control.start(.inspect, on: id.rawValue, by: "test") }
            _ = try await control.agreedRelease(try #require(machine.holds.first).id, on: id.rawValue, by: "test")
            _ = try await control.start(.inspect, on: id.rawValue, by: "test")
        }
    }

    @Test("ends when the machine gives no sign of life, and says so")
    func silence() async throws {
        let clock = ManualClock()
        let store = MemoryStore()
        var control = try await open(store, clock: clock)
        let (reply, _) = try await {
            var found: (HelloReply, MachineID)?
            try await running(control) { found = try await discover($0) }
            return try #require(found)
        }()
        control = try await open(store, clock: clock)
        try await running(control) { control in
            let operation = try await install(control, reply)
            let changes = try await control.records.watch(Model.Operation.self, after: .zero)
            for try await change in changes {
                guard case .put(let found) = change, found.value.id == operation.id else { continue }
                if !found.value.isOpen {
                    #expect(found.value.problem?.code == "no-sign-of-life")
                    #expect(found.value.step(.chooseDisk)?.attempts == StepPolicy.of(.chooseDisk).attempts)
                    return
                }
                clock.advance(.seconds(400))
            }
        }
    }

    @Test("a restored backup ends what was open in it, and a machine with a system of ours is adopted, not reinstalled")
    func restoredBackup() async throws {
        let store = MemoryStore()
        let control = try await open(store)
        var record: InstallRecord?
        var id: MachineID?
        try await running(control) { control in
            let found = try await discover(control)
            id = found.1
            let operation = try await install(control, found.0)
            record = try control.markers.sealed(
                InstallRecord(
                    machine: found.1, operation: operation.id, generation: operation.generation, image: "debian-12",
                    digest: OneImage.digest, hostname: "one"))
        }
        // The store as it is now is "yesterday's"; since then the installation went through.
        let restored = try await open(store, epoch: 1)
        try await running(restored) { control in
            let id = try #require(id)
            let machine = try await control.machine(named: id.rawValue).value
            #expect(machine.openOperation == nil)
            let reply = try await boot(control, key: String(repeating: "c", count: 64))
            var facts = inventory()
            facts.installations = [.init(disk: "vd0", record: try #require(record))]
            try await control.record(facts, of: id, wantsProof: false)
            #expect(try await control.machine(named: id.rawValue).value.state == .running)
            if case .localDisk = control.boots(testMAC).verdict {} else { Issue.record("not to its disk: \(control.boots(testMAC))") }
            let task = try await control.task(
                for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false, patience: .seconds(1))
            guard case .reboot = task.work else { Issue.record("no reboot: \(task)"); return }
        }
    }

    @Test("an agent with work is told the same again while it lasts, and at once when it is over")
    func longPoll() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let (reply, id) = try await discover(control)
            let key = "ssh-ed25519 AAAA"
            let operation = try await control.start(.rescue(RescueRequest(sshKeys: [key])), on: id.rawValue, by: "test")
            func ask(_ query: TaskQuery, _ patience: Duration) async throws -> AgentTask {
                try await control.task(for: reply.session, query: query, base: testBase, wantsProof: false, patience: patience)
            }
            let mine = TaskQuery(operation: operation.id, generation: operation.generation)
            _ = try await ask(TaskQuery(operation: nil, generation: 0), .seconds(30))
            let same = try await ask(mine, .milliseconds(50))
            guard case .rescue = same.work else { Issue.record("the shell was ended: \(same)"); return }
            _ = try await control.cancel(operation.id, by: "test")
            let over = try await ask(mine, .seconds(30))
            guard case .wait = over.work else { Issue.record("\(over)"); return }
            await #expect(throws: Problem.self) {
                try await control.start(.rescue(RescueRequest(sshKeys: ["rubbish"])), on: id.rawValue, by: "test")
            }
        }
    }

    @Test("a question that was already waiting is no sign of the agent; the next one is")
    func staleQuestion() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let (reply, id) = try await discover(control)
            async let waiting = control.task(for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
            while control.waitingAgents == 0 { await Task.yield() }
            let operation = try await control.start(.install(InstallRequest(image: "debian-12")), on: id.rawValue, by: "test")
            guard case .wait = try await waiting.work else { Issue.record("work for a question of before"); return }
            #expect(try await !control.operation(operation.id).value.isDone(.agent))
            let task = try await control.task(for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
            #expect(task.operation == operation.id)
        }
    }

    @Test("a nonce is spent once; the same agent may ask again")
    func nonces() async throws {
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock)
        try await running(control) { control in
            let nonce = control.nonces.make(for: testMAC, now: control.now)
            let mine = hello(nonce: nonce, key: String(repeating: "a", count: 64))
            let first = try await control.hello(mine, from: testSender, wantsProof: false)
            let again = try await control.hello(mine, from: testSender, wantsProof: false)
            #expect(first.session == again.session)
            await #expect(throws: Problem.self) {
                try await control.hello(hello(nonce: nonce, key: String(repeating: "b", count: 64)), from: testSender, wantsProof: false)
            }
            var other = hello(nonce: control.nonces.make(for: testMAC, now: control.now), key: String(repeating: "d", count: 64))
            other.mac = MACAddress(value: 1)
            await #expect(throws: Problem.self) { try await control.hello(other, from: testSender, wantsProof: false) }
            let late = hello(nonce: control.nonces.make(for: testMAC, now: control.now), key: String(repeating: "e", count: 64))
            clock.advance(.seconds(901))
            await #expect(throws: Problem.self) { try await control.hello(late, from: testSender, wantsProof: false) }
        }
    }

    struct Bad: Sendable, CustomTestStringConvertible {
        var code: String
        var request: InstallRequest
        var disks: [(String, Int64)] = [("D1", 8_000_000_000)]
        var testDescription: String { code }
    }

    static let bad: [Bad] = [
        Bad(code: "image-not-found", request: InstallRequest(image: "nope")),
        Bad(code: "image-too-large", request: InstallRequest(image: "debian-12"), disks: [("D1", 1000)]),
        Bad(code: "disk-ambiguous", request: InstallRequest(image: "debian-12"), disks: [("D1", 8_000_000_000), ("D2", 8_000_000_000)]),
        Bad(code: "disk-not-found", request: InstallRequest(image: "debian-12", disk: "D9")),
        Bad(code: "no-disk", request: InstallRequest(image: "debian-12"), disks: []),
        Bad(code: "hostname-invalid", request: InstallRequest(image: "debian-12", hostname: "-no-")),
        Bad(code: "ssh-key-invalid", request: InstallRequest(image: "debian-12", sshKeys: ["-----BEGIN OPENSSH PRIVATE KEY-----"])),
        Bad(code: "user-data-encoding", request: InstallRequest(image: "debian-12", userData: Base64Bytes(base64: "%%"))),
        Bad(
            code: "user-data-too-large",
            request: InstallRequest(image: "debian-12", userData: Base64Bytes(base64: String(repeating: "A", count: 24 << 20)))),
        Bad(code: "network-config-invalid", request: InstallRequest(image: "debian-12", networkConfig: "a: [1\nb")),
        Bad(code: "network-config-invalid", request: InstallRequest(image: "debian-12", networkConfig: "ethernets: {}")),
        Bad(code: "disk-unidentified", request: InstallRequest(image: "debian-12"), disks: [("", 8_000_000_000)]),
        Bad(
            code: "user-data-vendor-data",
            request: InstallRequest(
                image: "debian-12", userData: Base64Bytes(base64: "I2Nsb3VkLWNvbmZpZwp2ZW5kb3JfZGF0YToge2VuYWJsZWQ6IGZhbHNlfQo="))),
        Bad(
            code: "user-data-phone-home",
            request: InstallRequest(
                image: "debian-12", userData: Base64Bytes(base64: "I2Nsb3VkLWNvbmZpZwpwaG9uZV9ob21lOiB7dXJsOiAieCJ9Cg=="))),
    ]

    @Test("refuses what is wrong before anything is written", arguments: bad)
    func refuses(_ row: Bad) async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let reply = try await boot(control)
            try await control.record(inventory(disks: row.disks), of: reply.machine, wantsProof: false)
            do {
                _ = try await control.start(.install(row.request), on: reply.machine.rawValue, by: "test")
                Issue.record("\(row.code) was let through")
            } catch let problem as Problem {
                #expect(problem.code == row.code)
                #expect(problem.remedy != nil)
            }
            #expect(try await control.machine(named: reply.machine.rawValue).value.openOperation == nil)
        }
    }
}
