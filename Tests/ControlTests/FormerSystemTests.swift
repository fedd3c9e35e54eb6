import Model
import Store
import Testing
import Wire

@testable import Control

/// Issue 18, line 6: reinstalled onto another disk, the machine starts the new system, and the former one's first-boot data is
/// out of force.
@Suite("A system on another disk of the machine")
struct FormerSystemTests {
    static let facts = ImageFacts(
        scheme: .gpt, endBytes: 1_999_000_000, tailBytes: 33 * 512, firmware: [.bios, .uefi], loaders: ["BOOTX64.EFI"])
    static let head = Wire.Hex.encode(Array("HOSTLER-INSTALL\0".utf8) + [0, 0, 0, 1, 0, 0, 1, 0, 1, 2, 3, 4])

    private func disks(_ installations: [(String, InstallRecord)], place: DiskPlace? = nil) -> Inventory {
        var found = inventory(disks: [("D1", 8_000_000_000), ("D2", 8_000_000_000)])
        found.disks[0].place = place
        found.installations = installations.map { .init(disk: $0.0, record: $0.1) }
        return found
    }

    private func record(_ machine: MachineID, digest: String = OneImage.digest, operation: String = "op-f0rmer01") -> InstallRecord {
        InstallRecord(
            machine: machine, operation: OperationID(unchecked: operation), generation: 1, image: "debian-12", digest: digest, hostname: "one")
    }

    private func order(_ control: ControlPlane, _ machine: MachineID, disk: String) async throws -> Model.Operation {
        try await control.order(.install(InstallRequest(image: "debian-12", disk: disk)), on: machine.rawValue, by: "test")
    }

    private func work(_ control: ControlPlane, _ reply: HelloReply) async throws -> InstallWork {
        let task = try await control.task(for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
        guard case .install(let work) = task.work else { throw Problem("test", title: "no work: \(task)") }
        return work
    }

    private func callHome(_ control: ControlPlane, _ operation: Model.Operation) async throws {
        let seed = try await control.seed(of: operation.id, base: testBase, wantsProof: false)
        let text = String(decoding: seed.bytes, as: UTF8.self)
        let proof = try #require(text.range(of: "/call-home/\(operation.id)/")).upperBound
        try await control.callHome(operation: operation.id, proof: String(text[proof...].prefix(64)), hostKeys: [], evidence: [:])
    }

    private func events(_ control: ControlPlane, _ kind: String) async throws -> Int {
        try await control.records.all(Event.self).filter { $0.value.kind == kind }.count
    }

    /// A machine whose system runs from D1, and that no agent has looked at since.
    private func runningOnD1(_ control: ControlPlane) async throws -> (machine: MachineID, operation: Model.Operation, record: InstallRecord) {
        let reply = try await boot(control)
        try await control.record(disks([]), of: reply.machine, wantsProof: false)
        let (operation, work) = try await install(control, reply, disk: "D1", evidence: [:])
        try await callHome(control, operation)
        return (reply.machine, operation, work.record)
    }

    /// An installation on a disk, up to its first boot.
    private func install(
        _ control: ControlPlane, _ reply: HelloReply, disk: String, evidence: [String: String]
    ) async throws -> (operation: Model.Operation, work: InstallWork) {
        let operation = try await order(control, reply.machine, disk: disk)
        let work = try await work(control, reply)
        for step in InstallTests.order {
            let facts = step == .chooseDisk ? ["serial": disk] : step == .writeSeed ? evidence : [:]
            let report = StepReport(operation: operation.id, generation: operation.generation, step: step, kind: .succeeded, evidence: facts)
            #expect(try await control.report(report, of: reply.machine, wantsProof: false))
        }
        return (operation, work)
    }

    @Test("is put out of force by its own authentic marker only, and hidden whichever build of the image it came from")
    func retired() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let reply = try await boot(control)
            let id = reply.machine
            let own = try control.markers.sealed(record(id))
            let older = try control.markers.sealed(record(id, digest: "sha256:01", operation: "op-f0rmer02"))
            let gone = try control.markers.sealed(record(MachineID(unchecked: "m-g0ne01"), digest: "sha256:01", operation: "op-f0rmer03"))
            var forged = own
            forged.operation = OperationID(unchecked: "op-f0rged01")
            let unsealed = record(id, operation: "op-f0rmer04")
            // Of a machine that is in the record: a disk that both see.
            var other = try machine()
            other.id = MachineID(unchecked: "m-0ther1")
            other.interfaces = []
            let revision = try await control.records.store.commitUnlessConflict([try other.put(.absent)])
            await control.snapshots.reached(try #require(revision))
            let shared = try control.markers.sealed(record(other.id, operation: "op-f0rmer05"))
            let target = try control.markers.sealed(record(id, operation: "op-f0rmer06"))
            try await control.record(
                disks([("D1", own), ("D1", older), ("D1", gone), ("D1", forged), ("D1", unsealed), ("D1", shared), ("D2", target)]), of: id,
                wantsProof: false)
            let (operation, work) = try await install(control, reply, disk: "D2", evidence: [:])
            guard case .install(let request) = operation.request else { return }
            #expect(request.retires == work.retires)
            #expect(
                request.retires == [
                    RetiredSeed(disk: "D1", machine: id, operation: own.operation, tag: own.tag ?? "", hidesSystem: true),
                    RetiredSeed(disk: "D1", machine: id, operation: older.operation, tag: older.tag ?? "", hidesSystem: true),
                    RetiredSeed(disk: "D1", machine: gone.machine, operation: gone.operation, tag: gone.tag ?? "", hidesSystem: true),
                ])
            let warning = try #require(operation.warnings?.first { $0.code == "former-system-left" })
            #expect(warning.title.contains("op-f0rmer05") && !warning.title.contains("op-f0rmer06"), "another machine's stays in force")
        }
    }

    @Test("is named by the record where no agent has shown its marker since it was installed")
    func recorded() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let (id, first, record) = try await runningOnD1(control)
            let second = try await order(control, id, disk: "D2")
            guard case .install(let request) = second.request else { return }
            // What the disk says of itself is what the agent looks for.
            let expected = [RetiredSeed(disk: "D1", machine: id, operation: first.id, tag: record.tag ?? "", hidesSystem: true)]
            #expect(record.tag != nil && request.retires == expected)
            let reply = try await boot(control, key: String(repeating: "b", count: 64))
            #expect(try await work(control, reply).retires == expected)
            // On the same disk nothing is left of it.
            _ = try await control.cancel(second.id, by: "test")
            let third = try await order(control, id, disk: "D1")
            guard case .install(let request) = third.request else { return }
            #expect(request.retires == [])
        }
    }

    @Test("that only the agent of the installation finds is named, in the operation and once as an event, before anything is written")
    func foundLate() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let reply = try await boot(control)
            try await control.record(disks([]), of: reply.machine, wantsProof: false)
            let operation = try await order(control, reply.machine, disk: "D2")
            #expect(try await work(control, reply).retires == [])
            let found = try control.markers.sealed(record(reply.machine))
            let own = try control.markers.sealed(record(reply.machine, operation: operation.id.rawValue))
            try await control.record(disks([("D1", found), ("D1", own)]), of: reply.machine, wantsProof: false)
            let expected = [RetiredSeed(disk: "D1", machine: reply.machine, operation: found.operation, tag: found.tag ?? "", hidesSystem: true)]
            for _ in 0..<2 { #expect(try await work(control, reply).retires == expected) }
            guard case .install(let request) = try await control.operation(operation.id).value.request else { return }
            #expect(request.retires == expected)
            #expect(try await events(control, "operation.retires") == 1)
        }
    }

    @Test("on a disk that others may use is put out of force only where it is this machine's own; what stays is a warning")
    func enclosure() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let reply = try await boot(control)
            let own = try control.markers.sealed(record(reply.machine))
            let gone = try control.markers.sealed(record(MachineID(unchecked: "m-g0ne01"), operation: "op-f0rmer03"))
            try await control.record(disks([("D1", own), ("D1", gone)], place: .enclosure), of: reply.machine, wantsProof: false)
            let operation = try await order(control, reply.machine, disk: "D2")
            guard case .install(let request) = operation.request else { return }
            #expect(request.retires?.map(\.operation) == [own.operation])
            let warning = try #require(operation.warnings?.first { $0.code == "former-system-left" })
            #expect(warning.title.contains("op-f0rmer03 of m-g0ne01 on D1 (behind a SAS expander)") && !warning.title.contains("op-f0rmer01"))
        }
    }

    @Test("by another path to the disk that is installed is that disk's own, and not another")
    func otherPath() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let reply = try await boot(control)
            var found = inventory(disks: [])
            found.disks = [("sda", "pci-1"), ("sdb", "pci-2")].map { reported($0.0, wwn: "5000c500a1b2c3d4", place: .severalPaths, path: $0.1) }
            found.installations = try ["pci-1", "pci-2"].map {
                .init(disk: "5000c500a1b2c3d4@\($0)", record: try control.markers.sealed(record(reply.machine)))
            }
            try await control.record(found, of: reply.machine, wantsProof: false)
            var request = InstallRequest(image: "debian-12")
            request.disk = "5000c500a1b2c3d4@pci-1"
            let machine = try await control.machine(named: reply.machine.rawValue).value
            let former = control.formerSystems(of: machine, besides: request, as: OperationID(unchecked: "op-0000"))
            #expect(former.retired.isEmpty && former.left.isEmpty)
        }
    }

    @Test("is a loss that the order has to agree to: another disk is altered")
    func asked() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let reply = try await boot(control)
            let gone = try control.markers.sealed(record(MachineID(unchecked: "m-g0ne01"), operation: "op-f0rmer03"))
            try await control.record(disks([("D1", gone)]), of: reply.machine, wantsProof: false)
            do {
                _ = try await control.start(.install(InstallRequest(image: "debian-12", disk: "D2")), on: reply.machine.rawValue, by: "test")
                Issue.record("it asked for nothing")
            } catch let problem as Problem {
                #expect(problem.status == 428)
                #expect(problem.detail?.contains("the former installation op-f0rmer03 on D1: its volume is renamed, and its partition table") == true)
            }
        }
    }

    @Test("that an installation on another disk has not reached stays in the record when that one fails", arguments: ["D1", "D2"])
    func failed(_ disk: String) async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let (id, first, _) = try await runningOnD1(control)
            let second = try await order(control, id, disk: disk)
            let reply = try await boot(control, key: String(repeating: "b", count: 64))
            _ = try await work(control, reply)
            for (step, kind) in [(StepName.chooseDisk, StepReport.Kind.succeeded), (.writeImage, .failed)] {
                let report = StepReport(
                    operation: second.id, generation: second.generation, step: step, kind: kind, evidence: ["serial": disk],
                    problem: kind == .failed ? Problem("chunk-digest-mismatch", title: "damaged") : nil)
                #expect(try await control.report(report, of: id, wantsProof: false))
            }
            let machine = try await control.machine(named: id.rawValue).value
            #expect(try await control.operation(second.id).value.state == .failed && machine.holds.count == 1)
            // On the disk that was written to there is no system any more.
            #expect(machine.installed?.operation == (disk == "D2" ? first.id : nil))
            #expect((machine.state == .running) == (disk == "D2"))
        }
    }

    @Test("that an installation on another disk puts out of force is out of the record when its seed is written")
    func takenBySeed() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let (id, first, _) = try await runningOnD1(control)
            let second = try await order(control, id, disk: "D2")
            let reply = try await boot(control, key: String(repeating: "b", count: 64))
            _ = try await work(control, reply)
            for (step, before) in [(StepName.chooseDisk, first.id as OperationID?), (.writeImage, first.id), (.writeSeed, nil)] {
                #expect(try await control.machine(named: id.rawValue).value.installed?.operation == before, "before the end of \(step)")
                let report = StepReport(
                    operation: second.id, generation: second.generation, step: step, kind: .succeeded, evidence: ["serial": "D2"])
                #expect(try await control.report(report, of: id, wantsProof: false))
            }
        }
    }

    @Test("what a client names to be put out of force is not believed")
    func notByRequest() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let reply = try await boot(control)
            try await control.record(disks([]), of: reply.machine, wantsProof: false)
            var request = InstallRequest(image: "debian-12", disk: "D2")
            request.retires = [
                RetiredSeed(disk: "D1", machine: reply.machine, operation: OperationID(unchecked: "op-f0rmer01"), tag: "x", hidesSystem: true)
            ]
            let operation = try await control.order(.install(request), on: reply.machine.rawValue, by: "test")
            guard case .install(let pinned) = operation.request else { return }
            #expect(pinned.retires == [])
        }
    }

    @Test("the new one is found by its operation's id, and by its marker, at its first boot and at each later one")
    func found() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let reply = try await boot(control)
            try await control.record(disks([]), of: reply.machine, wantsProof: false)
            #expect(control.diskSystem(at: testMAC) == DiskSystem())
            let evidence = ["offset": "7998537728", "bytes": "2097152", "marker": Self.head]
            let (operation, _) = try await install(control, reply, disk: "D2", evidence: evidence)
            let expected = DiskSystem(operation: operation.id, mark: BootMark(sector: (7_998_537_728 + 2_097_152 - 4096) / 512, head: Self.head))
            #expect(expected.mark != nil)
            #expect(control.diskSystem(at: testMAC) == expected)
            // The seed has the file by which UEFI's loader finds it.
            let seed = try await control.seed(of: operation.id, base: testBase, wantsProof: false)
            #expect(String(decoding: seed.bytes, as: UTF8.self).contains("\(operation.id)\n"))
            try await callHome(control, operation)
            #expect(try await control.machine(named: reply.machine.rawValue).value.state == .running)
            #expect(control.diskSystem(at: testMAC) == expected)
        }
    }

    @Test("one that a former version installed is found as it was")
    func former() throws {
        var machine = try machine(.running)
        machine.installed = Installation(
            operation: OperationID(unchecked: "op-f0rmer01"), generation: 1, image: "i", digest: "d", hostname: "h", diskSerial: "D1",
            installedAt: Timestamp(milliseconds: 0))
        #expect(DiskSystem(machine: machine, operation: nil) == DiskSystem())
    }

    @Test("where the BIOS shows no disk with it, the operation fails at once and says what to do")
    func missing() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let reply = try await boot(control)
            try await control.record(disks([]), of: reply.machine, wantsProof: false)
            #expect(try await control.systemIsMissing(at: testMAC, evidence: [:]) == nil, "nothing is to be started yet")
            let (operation, _) = try await install(control, reply, disk: "D2", evidence: [:])
            #expect(try await control.systemIsMissing(at: testMAC, evidence: [:]) != nil)
            let failed = try await control.operation(operation.id).value
            #expect(failed.state == .failed && failed.problem?.code == "disk-not-startable")
            #expect(failed.problem?.detail?.contains("D2") == true && failed.problem?.remedy?.contains("--disk") == true)
            let verdict = control.boots(testMAC).verdict
            guard case .refuse = verdict else { Issue.record("\(verdict)"); return }
        }
    }

    @Test("where the machine has one disk only, the BIOS starts that, whether or not it can read the marker at its end")
    func missingOnOnlyDisk() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let reply = try await boot(control)
            try await control.record(inventory(disks: [("D1", 8_000_000_000_000)]), of: reply.machine, wantsProof: false)
            let (operation, _) = try await install(control, reply, disk: "D1", evidence: [:])
            #expect(try await control.systemIsMissing(at: testMAC, evidence: [:]) == nil)
            #expect(try await control.operation(operation.id).value.isOpen)
            let told = try await control.records.all(Event.self).map(\.value).filter { $0.kind == "boot.system-missing" }
            #expect(told.count == 1 && told[0].message.contains("only disk"))
            try await callHome(control, operation)
            #expect(try await control.operation(operation.id).value.state == .succeeded)
        }
    }

    @Test("of a system that has run it is an event, once an hour, and the machine starts what it has")
    func missingLater() async throws {
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock, images: OneImage(facts: Self.facts))
        try await running(control) { control in
            let reply = try await boot(control)
            func count() async throws -> Int {
                try await control.records.all(Event.self).filter { $0.value.kind == "boot.system-missing" }.count
            }
            for (hours, events) in [(0, 1), (0, 1), (2, 2), (0, 2)] {
                clock.advance(.seconds(3600 * hours))
                #expect(try await control.systemIsMissing(at: testMAC, evidence: [:]) == nil)
                #expect(try await count() == events)
            }
            _ = reply
        }
    }

    @Test(
        "what an agent says of its marker counts only where it can be one",
        arguments: [
            ["offset": "0", "bytes": "4096"], ["offset": "-1", "bytes": "4096", "marker": head],
            ["offset": "18446744073709551615", "bytes": "4096", "marker": head],
            ["offset": "512", "bytes": "0", "marker": head], ["offset": "100", "bytes": "4096", "marker": head],
            ["offset": "0", "bytes": "4096", "marker": "zz" + head.dropFirst(2)], ["offset": "0", "bytes": "4096", "marker": head + "00"],
            ["offset": "0", "bytes": "18446744073709551615", "marker": head],
            ["offset": "1152921504606846976", "bytes": "1099511627776", "marker": "\n" + head],
        ])
    func hostileEvidence(_ evidence: [String: String]) {
        #expect(BootMark(evidence: evidence) == nil)
        #expect(BootMark(evidence: ["offset": "0", "bytes": "4096", "marker": Self.head])?.sector == 0)
    }
}
