import Control
import Foundation
import Model
import Store
import Testing
import Wire

@testable import API
@testable import hostler

/// A trap ends the whole test run: that is the point. Whatever can be decoded is used as the server, the agent's talk and
/// the command line use it.
@Suite("No value from outside can trap") struct ExtremeValueTests {
    private let plain = Terminal(isInteractive: true, hasColour: false, columns: 80)
    private let times: [Timestamp] = [.first, Timestamp(milliseconds: 1_700_000_000_000), .last]

    // MARK: Samples

    private static let time = Timestamp(milliseconds: 1_700_000_000_000)

    private static func inventory() -> Inventory {
        var inventory = Inventory()
        inventory.system.serial = "S"
        inventory.firmware.secureBoot = true
        inventory.firmware.loader = "BOOTX64.EFI"
        inventory.cpus = [.init(model: "m", cores: 8, threads: 16)]
        inventory.memory.totalBytes = 1 << 33
        var dimm = Inventory.MemoryFacts.DIMM(slot: "A", bytes: 1 << 33)
        dimm.megatransfersPerSecond = 3200
        inventory.memory.dimms = [dimm]
        var nic = Inventory.NICFacts(name: "eth0", mac: MACAddress(value: 1), link: true)
        nic.megabitsPerSecond = 1000
        nic.neighbour = Inventory.Neighbour(chassis: "c", port: "p")
        nic.neighbour?.vlan = 7
        inventory.nics = [nic]
        var disk = Inventory.DiskFacts(name: "sda", bytes: 1 << 40, kind: .ssd)
        disk.serial = "D"
        (disk.place, disk.path, disk.nguid, disk.eui64) = (.inside, "pci-1", "0025385b000000010025385b00000001", "0025385b71b0f1a2")
        inventory.disks = [disk]
        inventory.pci = [.init(address: "0000:00:00.0", ids: "8086:100e")]
        inventory.tpm = .init(version: "2")
        inventory.bmc = .init(address: IPv4Address(value: 1), mac: MACAddress(value: 2))
        inventory.installations = [.init(disk: "D", record: record)]
        return inventory
    }

    private static let record = InstallRecord(
        machine: MachineID(unchecked: "m-0000"), operation: OperationID(unchecked: "op-0000"), generation: 3, image: "i",
        digest: "sha256:" + String(repeating: "ab", count: 32), hostname: "h")

    private static func machine() throws -> Machine {
        var machine = Machine(
            id: MachineID(unchecked: "m-0000"), name: try DisplayName("one"), interfaces: [Interface(mac: MACAddress(value: 1), name: "eth0")],
            now: time)
        machine.observed.inventory = inventory()
        machine.observed.inventoryAt = time
        machine.observed.address = IPv4Address(value: 1)
        machine.observed.lastSeen = time
        machine.observed.agent = AgentPresence(boot: "b", since: time, version: "1", mac: MACAddress(value: 1))
        machine.holds = [
            Hold(id: HoldID(unchecked: "hold-0000"), problem: Problem("a", title: "b", detail: "c"), operation: nil, since: time, evidence: ["x"])
        ]
        machine.installed = Installation(
            operation: OperationID(unchecked: "op-0000"), generation: 1, image: "i", digest: "d", hostname: "h", diskSerial: "D", installedAt: time,
            hostKeys: ["ssh-ed25519 AAAA"])
        machine.desired.lease = LeaseTerm(id: "lease-0000", endsAt: time, endedAt: time)
        machine.desired.userData = UserDataReference(digest: "sha256:", byteCount: 1, access: .once, setAt: time)
        machine.desired.network = network
        machine.attestation = MachineAttestation(
            endorsementKey: "00", endorsementCertificate: nil, attestationKey: Base64Bytes(base64: "AA=="), enrolledAt: time)
        machine.attestation?.resetCount = 4
        machine.attestation?.judgedAt = time
        machine.attestation?.registers = ["7": "00"]
        machine.generation = 2
        return machine
    }

    private static let network = NetworkConfig(
        ethernets: [
            EthernetLink(
                name: "eth0", mac: MACAddress(value: 1),
                addressing: LinkAddressing(
                    dhcp: true, addresses: [IPv4Prefix("10.0.0.2/24")].compactMap(\.self),
                    routes: [
                        NetworkRoute(to: IPv4Prefix("0.0.0.0/0") ?? IPv4Prefix(address: .any, length: 0)!, via: IPv4Address(value: 1), metric: 5)
                    ],
                    mtu: 1500))
        ],
        bonds: [BondLink(name: "bond0", mode: .lacp, members: ["eth0"], monitorMilliseconds: 100)],
        vlans: [VLANLink(name: "v", id: 4, link: "bond0")], bridges: [BridgeLink(name: "br0", members: ["v"])])

    private static func operation() -> Model.Operation {
        var operation = OutputTests.operation()
        operation.problem = Problem("p", title: "t", detail: "d", remedy: "r")
        operation.finishedAt = time
        operation.steps[1].progress = Progress(done: 5, total: 10)
        operation.steps[1].deadline = time
        operation.steps[1].retryAt = time
        operation.steps[1].evidence = ["firmwareSeconds": "4.5", "loadMilliseconds": "300", "power": "on"]
        operation.steps[1].problem = Problem("p", title: "t")
        return operation
    }

    private static func bmc() -> BMC {
        var bmc = BMC(id: BMCID(unchecked: "bmc-0000"), kind: .redfish, address: "b", userName: "u", now: time)
        bmc.facts = BMCFacts()
        bmc.facts?.counts = ["processors": 2]
        bmc.facts?.macs = [MACAddress(value: 1)]
        bmc.heldOverride = HeldOverride(
            operation: OperationID(unchecked: "op-0000"), wanted: BootOverride(target: .http, uri: "http://x"), since: time)
        bmc.observed.power = ObservedPower(state: .on, at: time)
        bmc.observed.problem = Problem("p", title: "t")
        bmc.observed.problemAt = time
        bmc.observed.faults = [HardwareFault(sensor: "f", kind: .fan, health: .critical, why: "w", since: time)]
        return bmc
    }

    // MARK: Walking

    /// How many of the texts could be decoded.
    private func walk<T: Codable>(_ type: T.Type, _ sample: T, stored: Bool = false, use: (T) throws -> Void) throws -> Int {
        var decoded = 0
        try ExtremeValues(sample, stored: stored).forEach { text in
            let value: T
            if stored {
                guard let found = try? RecordCoding.decode(T.self, from: Array(text.utf8)) else { return }
                value = found
            } else {
                guard let found = try? JSONDecoder().decode(T.self, from: Data(text.utf8)) else { return }
                value = found
            }
            decoded += 1
            _ = try RecordCoding.encode(value)
            _ = try JSONEncoder().encode(value)
            _ = PrintableText.lines("\(value)")
            try use(value)
        }
        return decoded
    }

    private func use(_ machine: Machine) throws {
        _ = MachineText.text(machine, terminal: plain) + (machine.row(isWide: true) + machine.row(isWide: false)).compactMap(\.self).joined()
        for policy in DiscoveryPolicy.allCases { _ = BootGate.decide(machine: machine, operation: nil, policy: policy) }
        _ = machine.foreignContents
        for now in times {
            var transition = OperationTransition.begin(
                id: OperationID(unchecked: "op-0001"), request: .install(InstallRequest(image: "i")), machine: machine, by: "t", now: now)
            for later in times { _ = transition.timePassed(later) }
            transition.agentArrived(AgentPresence(boot: "c", since: now, version: "1"), now)
            _ = try? transition.cancel(by: "t", now)
        }
        _ = try? machine.desired.network?.check(macs: Set(machine.interfaces.map(\.mac)))
    }

    private func use(_ operation: Model.Operation) throws {
        var view = OperationView(terminal: Terminal(isInteractive: false, hasColour: false, columns: 80))
        let clock = ContinuousClock.now
        for (number, now) in times.enumerated() {
            for step in operation.steps { _ = view.line(step, now, of: operation) }
            view.show(operation, now: now, clock: clock + .seconds(number))
            var transition = OperationTransition(machine: try Self.machine(), operation: operation)
            _ = transition.timePassed(now)
            transition.agentArrived(AgentPresence(boot: "c", since: now, version: "1"), now)
            for kind in [StepReport.Kind.started, .progress, .failed, .succeeded] {
                transition.report(
                    StepReport(
                        operation: operation.id, generation: operation.generation, step: operation.currentStep?.name ?? .writeImage, kind: kind,
                        progress: Progress(done: 1, total: 2)), now)
            }
            _ = try? transition.cancel(by: "t", now)
            transition.storeWasRestored(now)
        }
        _ = StepTimes.table(operation).text(terminal: plain) + OperationCommand.Show.text(operation)
    }

    // MARK: Records

    @Test("of the machines in the store") func machines() throws {
        #expect(try walk(Machine.self, Self.machine(), stored: true, use: use) > 500)
    }

    @Test("of the operations in the store") func operations() throws {
        #expect(try walk(Model.Operation.self, Self.operation(), stored: true, use: use) > 200)
    }

    @Test("of the events and BMCs in the store") func others() throws {
        let event = Event(
            id: "0000", at: Self.time, kind: "a.b", machine: MachineID(unchecked: "m-0000"), operation: OperationID(unchecked: "op-0000"), actor: "x",
            message: "y", evidence: ["k": "v"])
        #expect(try walk(Event.self, event, stored: true) { _ = Table.printable($0.message) } > 50)
        #expect(try walk(BMC.self, Self.bmc(), stored: true) { _ = BMCText.text($0) } > 100)
    }

    // MARK: What agents say

    @Test("of an agent's hello, inventory, log and questions") func agents() throws {
        let hello = HelloRequest(
            nonce: "n", sessionKey: "k", mac: MACAddress(value: 1), macs: [MACAddress(value: 1), MACAddress(value: 2)], uuid: "u", serial: "s",
            firmware: .uefi, version: "1")
        let hellos = try walk(HelloRequest.self, hello) { #expect($0.macs.count <= AgentLimits.helloPorts) }
        #expect(hellos > 50)
        let inventories = try walk(Inventory.self, Self.inventory()) { inventory in
            var machine = try Self.machine()
            machine.observed.inventory = try inventory.fitting()
            _ = MachineText.text(machine, terminal: plain) + machine.row(isWide: true).compactMap(\.self).joined()
            #expect(inventory.disks.allSatisfy { (512...65_536).contains($0.logicalBlockBytes) && $0.bytes >= 0 })
        }
        #expect(inventories > 300)
        #expect(try walk(LogBatch.self, LogBatch(lines: [.init(uptimeMilliseconds: 1, text: "x")])) { _ in } > 5)
        #expect(try walk(TaskQuery.self, TaskQuery(operation: OperationID(unchecked: "op-0000"), generation: 1)) { _ in } > 5)
        let enrolment = TPMEnrolment(
            endorsementKey: Base64Bytes(base64: "AA=="), attestationKey: Base64Bytes(base64: "AA=="),
            endorsementCertificate: Base64Bytes(base64: "AA=="))
        #expect(try walk(TPMEnrolment.self, enrolment) { _ in } > 5)
        let proof = TPMProof(
            enrolment: enrolment, secret: .init(base64: "AA=="), attest: .init(base64: "AA=="), signature: .init(base64: "AA=="),
            registers: ["7": "00"],
            log: .init(base64: "AA=="))
        #expect(try walk(TPMProof.self, proof) { _ in } > 5)
    }

    @Test("of an agent's reports, and what they do to an operation") func reports() throws {
        let report = StepReport(
            operation: OperationID(unchecked: "op-0000"), generation: 1, step: .writeImage, kind: .progress, progress: Progress(done: 1, total: 2),
            evidence: ["k": "v"], problem: Problem("p", title: "t", detail: "d", remedy: "r"))
        let count = try walk(StepReport.self, report) { report in
            for kind in [StepReport.Kind.started, .progress, .failed, .succeeded] {
                for now in times {
                    var report = report
                    report.kind = kind
                    var transition = OperationTransition(machine: try Self.machine(), operation: OutputTests.operation())
                    transition.report(report, now)
                    _ = transition.timePassed(now + .seconds(Int64.max))
                    _ = try RecordCoding.encode(transition.operation)
                    _ = OperationCommand.Show.text(transition.operation)
                    for step in transition.operation.steps { _ = OperationView(terminal: plain).line(step, now, of: transition.operation) }
                }
            }
        }
        #expect(count > 50)
    }

    @Test("of the tasks that an agent gets, and of the record on a disk") func tasks() throws {
        var install = InstallWork(
            record: Self.record, done: [.agent], indexPath: "/i", indexDigest: "sha256:00", blobPath: "/b", diskBytes: 1 << 30, disk: "D",
            seedPath: "/s", seedDigest: "sha256:00", seedBytes: 4096, restart: .kexec, rootUUID: "u", kernelArguments: "k")
        install.seed4096 = SeedFile(path: "/s?sector=4096", digest: "sha256:00", bytes: 4096)
        install.facts = ImageFacts(
            scheme: .gpt, sectorBytes: 512, endBytes: 1 << 29, tailBytes: 33 * 512, firmware: [.uefi], loaders: ["BOOTX64.EFI"])
        let facts = try #require(install.facts)
        let fits = try walk(ImageFacts.self, facts) { facts in
            let image = ImageFit.Image(name: "i", bytes: 1 << 30, facts: facts, seedBytes: 1 << 20)
            _ = ImageFit.refusal(
                ImageFit.fits(image, on: .init(name: "D", bytes: 1 << 40, sectorBytes: 512), of: .init(firmware: .uefi, loader: nil)))
            _ = ImageText.lines(facts)
        }
        #expect(fits > 20)
        for work: AgentWork in [
            .install(install), .wipe(WipeWork(disks: ["D"], done: [], targets: [DiskTarget(name: "D")])), .rescue(RescueWork(sshKeys: ["k"])),
            .reboot(reason: "r"),
        ] {
            let task = AgentTask(operation: OperationID(unchecked: "op-0000"), generation: 1, work: work)
            #expect(try walk(AgentTask.self, task) { _ in } > 5)
        }
        let records = try walk(InstallRecord.self, Self.record) { #expect($0.generation <= 1 << 62) }
        #expect(records > 20)
    }

    // MARK: What servers and BMCs say

    @Test("of what the command line is answered") func replies() throws {
        var reading = SensorReading(name: "f", kind: .fan, value: 600, unit: "RPM", health: .ok)
        (reading.lowerCritical, reading.upperCritical) = (1, 2)
        let health = MachineHealth(health: .ok, power: .on, readings: [reading], at: Self.time)
        #expect(try walk(MachineHealth.self, health) { _ = BMCText.health($0, terminal: plain) } > 50)
        let histories = SensorHistories(
            machine: MachineID(unchecked: "m-0000"), at: Self.time,
            sensors: [SensorHistory(reading: reading, at: Self.time, samples: [.init(at: Self.time, value: 1), .init(at: Self.time, value: 2)])],
            faults: [HardwareFault(sensor: "f", kind: .fan, health: .critical, why: "w", since: Self.time)])
        #expect(try walk(SensorHistories.self, histories) { _ = BMCText.histories($0, terminal: plain) } > 50)
        let status = StatusReply(
            version: "1", startedAt: Self.time, uptimeSeconds: 1, revision: 1, machines: ["ready": 1], heldMachines: 1, openOperations: 1, images: 1,
            memoryBytes: 1 << 20, machineNamespace: "n", warnings: [Problem("p", title: "t")], counters: ["n": ["dhcp": ["received": 1]]])
        let saved = SavedServer(server: "https://x", token: "hst_x")
        #expect(try walk(StatusReply.self, status) { _ = StatusCommand.text($0, saved) } > 50)
        let token = Token.self
        #expect(
            try JSONDecoder().decode(token, from: Data(#"{"id":"t-00000000","name":"n","role":"viewer","createdAt":"2026-01-01T00:00:00Z"}"#.utf8))
                .expiresAt == nil)
        for bytes in [Int64.min, -1, 0, 1023, 1024, .max] { _ = Quantity.bytes(bytes) }
        for duration in [Duration.seconds(Int64.min), .seconds(-1), .zero, .seconds(Int64.max)] { _ = Quantity.duration(duration) }
        for value in [-Double.infinity, -1e308, -1, 0, 1e308, .infinity, .nan] {
            #expect(!OperationView.bar(value, width: 10).isEmpty)
            _ = BMCText.course([value, 1, value])
        }
    }
}
