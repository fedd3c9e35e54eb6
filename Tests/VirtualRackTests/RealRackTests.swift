import Foundation
import Testing
import Wire

@testable import VirtualRack

/// These boot real QEMU machines in a namespace of their own: root, QEMU,
/// OVMF and iproute2 are needed.
@Suite("a real rack", .serialized)
struct RealRackTests {
    /// A rack under a name of its own, taken down whatever the test does.
    private func withRack(_ body: (VirtualRack) async throws -> Void) async throws {
        let lab = try LabName("t\(getpid())-\(UInt16.random(in: 0 ... .max))")
        let states = "/tmp/hostler-\(lab)"
        defer { try? FileManager.default.removeItem(atPath: states) }
        let server = try #require(IPv4Prefix("10.77.0.1/24"))
        let rack = try await VirtualRack.open(lab: lab, server: server, stateDirectory: states)
        do {
            try await body(rack)
        } catch {
            _ = await rack.down()
            throw error
        }
        #expect(await rack.down() == [])
        #expect(try LabCleanup.leftovers(of: lab, stateDirectory: states) == [])
    }

    /// Looks again every 50 ms until it holds; false after `limit`.
    private func eventually(
        within limit: Duration = .seconds(120), _ holds: () async throws -> Bool
    ) async rethrows -> Bool {
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            if try await holds() { return true }
            try? await Task.sleep(for: .milliseconds(50))
        }
        return false
    }

    private func console(_ rack: VirtualRack, _ name: String) async throws -> String {
        String(decoding: try await rack.consoleContents(name), as: UTF8.self)
    }

    @Test("BIOS and UEFI machines try the network first, on a wire that leads nowhere", .timeLimit(.minutes(5)))
    func boots() async throws {
        try await withRack { rack in
            try await rack.add(VirtualMachineSpec(name: "b", lab: rack.lab, memoryMiB: 512))
            try await rack.add(VirtualMachineSpec(name: "u", lab: rack.lab, firmware: .uefi, memoryMiB: 512))
            let on = try await rack.power(.on, machine: "b")
            #expect(on.power.state == .on)
            #expect(on.power.evidence.contains("QMP query-status: running"))
            _ = try await rack.power(.on, machine: "u")

            let links = try await RackNetwork(lab: rack.lab).interfaces()
            #expect(Set(links) == ["lo", "mgmt0", "rack0", "sink0", "tap0.0", "tap1.0"])
            let routes = try await Tool.ip.run(["-n", rack.lab.namespace, "route"])
            #expect(routes.hasPrefix("10.77.0.0/24 dev rack0"))
            #expect(!routes.contains("default"))

            #expect(try await eventually { try await console(rack, "b").contains("Configuring (net0") })
            #expect(try await eventually { try await console(rack, "u").contains("PXE over IPv4") })
        }
    }

    @Test("a cut takes the power at once, and the console keeps what was before", .timeLimit(.minutes(5)))
    func powerCut() async throws {
        try await withRack { rack in
            try await rack.add(VirtualMachineSpec(name: "m", lab: rack.lab, memoryMiB: 256))
            let on = try await rack.power(.on, machine: "m")
            #expect(try await eventually { try await console(rack, "m").contains("SeaBIOS") })
            let off = try await rack.power(.cut, machine: "m")
            #expect(off.power.state == .off)
            #expect(kill(try #require(on.power.pid), 0) == -1)
            let again = try await rack.power(.on, machine: "m")
            #expect(again.power.pid != on.power.pid)
            _ = try await rack.power(.reset, machine: "m")
            _ = try await rack.power(.cycle, machine: "m")
            let last = try await rack.power(.off, machine: "m")
            #expect(last.power.lastEvent == "power off")
            let seen = try await console(rack, "m")
            for marker in ["power on", "power cut", "power off", "SeaBIOS"] { #expect(seen.contains(marker)) }
            await #expect(throws: LabError.self) { try await rack.power(.reset, machine: "m") }
        }
    }

    @Test("a QEMU that dies by itself is noticed", .timeLimit(.minutes(5)))
    func dies() async throws {
        try await withRack { rack in
            try await rack.add(VirtualMachineSpec(name: "m", lab: rack.lab, memoryMiB: 256))
            let pid = try #require(try await rack.power(.on, machine: "m").power.pid)
            kill(pid, SIGKILL)
            #expect(try await eventually { try await rack.machineStatus("m").power.lastEvent == "QEMU ended by itself" })
            #expect(try await rack.machineStatus("m").power.evidence == "no QEMU process")
            #expect(try await rack.power(.on, machine: "m").power.state == .on)
        }
    }

    @Test("every fault is taken by the real QEMU and kernel, outlives a power cycle, and clears", .timeLimit(.minutes(5)))
    func faults() async throws {
        try await withRack { rack in
            var spec = VirtualMachineSpec(name: "m", lab: rack.lab, memoryMiB: 256)
            spec.disks.append(VirtualDisk(sizeBytes: 1 << 30, serial: "N1", kind: .nvme))
            spec.disks.append(VirtualDisk(sizeBytes: 1 << 30, serial: "S1", kind: .sata, isRotational: true))
            spec.disks.append(VirtualDisk(sizeBytes: 1 << 30, serial: "C1", kind: .scsi, isRemovable: true))
            try await rack.add(spec)
            _ = try await rack.power(.on, machine: "m")
            let texts = [
                "link-down:0", "packet-loss=20", "latency=50", "disk-error:N1", "disk-full:S1", "slow-disk:S1=100000",
                "slow-disk:C1=5000", "disk-error:C1", "console-silence",
            ]
            for text in texts { try await rack.inject(Fault(text), machine: "m") }
            try await rack.inject(Fault("packet-loss=30"), machine: "m")
            try await rack.inject(.partition, machine: nil)
            let filters = try await Tool.tc.run(
                ["-n", rack.lab.namespace, "filter", "show", "dev", "tap0.0", "ingress"])
            #expect(filters.contains("Redirect to device sink0"))

            let cycled = try await rack.power(.cycle, machine: "m")
            #expect(cycled.faults.count == texts.count)
            #expect(cycled.faults.contains(.packetLoss(percent: 30)))
            #expect(await rack.status().faults == [.partition])

            try await rack.clear(Fault("disk-full:S1"), machine: "m")
            try await rack.clear(nil, machine: nil)
            #expect(try await rack.machineStatus("m").faults == [])
            #expect(await rack.status().faults == [])
            await #expect(throws: LabError.self) { try await rack.inject(Fault("disk-error:none"), machine: "m") }
            await #expect(throws: LabError.self) { try await rack.inject(Fault("link-down:3"), machine: "m") }
            await #expect(throws: LabError.self) { try await rack.inject(Fault("disk-full"), machine: "nobody") }
            // Healthy again: it takes commands and starts anew.
            #expect(try await rack.power(.cycle, machine: "m").power.state == .on)
        }
    }

    @Test("a disk's faults strike what is read and written, and no more once cleared", .timeLimit(.minutes(5)))
    func diskFaultsStrike() async throws {
        try await withRack { rack in
            try await rack.add(VirtualMachineSpec(name: "m", lab: rack.lab, memoryMiB: 256))
            _ = try await rack.power(.on, machine: "m")
            let machine = try await rack.machine("m")
            let log = machine.paths.qemuLog
            // What qemu-io says, through the virtio disk's own backend, in QEMU's log.
            func io(_ command: String) async throws -> String {
                let before = try String(contentsOfFile: log, encoding: .utf8).utf8.count
                try await machine.monitor(#"qemu-io -d /machine/peripheral/dev0/virtio-backend "\#(command)""#)
                return String(try String(contentsOfFile: log, encoding: .utf8).dropFirst(before))
            }
            func check(write: String, read: String, _ state: Comment) async throws {
                #expect(try await io("write 0 64k").contains(write), state)
                #expect(try await io("read 0 64k").contains(read), state)
            }
            try await check(write: "wrote", read: "read 65536", "healthy")
            try await rack.inject(.diskFull(serial: nil), machine: "m")
            try await check(write: "No space left", read: "read 65536", "full")
            try await rack.inject(.diskError(serial: nil), machine: "m")
            try await check(write: "Input/output error", read: "Input/output error", "failing")
            try await rack.clear(nil, machine: "m")
            try await check(write: "wrote", read: "read 65536", "mended")
            try await rack.inject(.slowDisk(serial: nil, bytesPerSecond: 1 << 20), machine: "m")
            let took = try await ContinuousClock().measure {
                for _ in 0..<3 { _ = try await io("write 0 1M") }
            }
            #expect(took > .milliseconds(1500))
            try await rack.clear(nil, machine: "m")
            try await check(write: "wrote", read: "read 65536", "quick again")
        }
    }

    @Test("a new lab process takes up the rack that a dead one left", .timeLimit(.minutes(5)))
    func resumed() async throws {
        try await withRack { rack in
            try await rack.add(VirtualMachineSpec(name: "m", lab: rack.lab, memoryMiB: 256))
            try await rack.inject(.packetLoss(percent: 5), machine: "m")
            let pid = try #require(try await rack.power(.on, machine: "m").power.pid)
            let states = URL(filePath: rack.paths.directory).deletingLastPathComponent().path
            await rack.closeBMCs()
            let second = try await VirtualRack.open(
                lab: rack.lab, server: try #require(IPv4Prefix("10.1.1.1/24")), stateDirectory: states)
            #expect(kill(pid, 0) == -1)
            let status = await second.status()
            #expect(status.server.description == "10.77.0.1/24")
            #expect(status.machines.map(\.power.state) == [.off])
            #expect(status.machines[0].faults == [.packetLoss(percent: 5)])
        }
    }

    @Test("a client drives the rack over its socket, down to no trace", .timeLimit(.minutes(5)))
    func overTheSocket() async throws {
        let lab = try LabName("t\(getpid())-s")
        let states = "/tmp/hostler-\(lab)"
        defer { try? FileManager.default.removeItem(atPath: states) }
        let server = try #require(IPv4Prefix("10.77.0.1/24"))
        let rack = try await VirtualRack.open(lab: lab, server: server, stateDirectory: states)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await LabServer(rack: rack).serve() }
            let client = LabClient(socketPath: rack.paths.controlSocket)
            #expect(await eventually { (try? await client.status()) != nil })
            let status = try await client.fill(lab: lab, machines: 2, uefi: 1, powerOn: false)
            #expect(status.machines.map(\.spec.firmware) == [.bios, .uefi])
            #expect(LabTable.text(status).contains("node2"))
            try await client.remove("node2")
            #expect(try await client.power(.on, machine: "node1").power.state == .on)
            await #expect(throws: LabError.self) { try await client.power(.on, machine: "nobody") }
            try await client.inject(.consoleSilence, machine: "node1")
            try await client.clear(machine: "node1")

            // Two readers at once, one by each door.
            let raw = try await read(rack.paths.machine("node1").consoleSocket, first: "")
            #expect(raw.contains("power on"))
            let asked = try await read(client.socketPath, first: #"{"verb":"console","machine":"node1"}"# + "\n")
            #expect(asked.hasPrefix("{}\n"))
            #expect(asked.contains("power on"))
            #expect(try await read(client.socketPath, first: "nonsense\n", until: "\n").contains("lab_bad_request"))

            #expect(try await client.down() == [])
            try await group.waitForAll()
        }
        #expect(try LabCleanup.leftovers(of: lab, stateDirectory: states) == [])
    }

    /// What a socket says after `first` was sent, up to and with `until`.
    private func read(_ path: String, first: String, until: String = "power on") async throws -> String {
        let (stream, sink) = AsyncStream.makeStream(of: [UInt8].self)
        let channel = try await ByteChannel.connect(path, onBytes: { sink.yield($0) }, onClose: { sink.finish() })
        defer { channel.close() }
        if !first.isEmpty { channel.send(Array(first.utf8)) }
        var seen = ""
        for await bytes in stream {
            seen += String(decoding: bytes, as: UTF8.self)
            if seen.contains(until) { break }
        }
        return seen
    }

    @Test("the probe that decides about KVM really boots something", .timeLimit(.minutes(5)))
    func probe() async throws {
        let directory = NSTemporaryDirectory()
        #expect(await Accelerator.boots(.tcg, in: directory, limit: .seconds(60)))
        #expect(await Accelerator.startsUEFI(.tcg, in: directory, limit: .seconds(120)))
        #expect(await !Accelerator.boots(.tcg, in: directory, limit: .milliseconds(1)))
        #expect(await !Accelerator.startsUEFI(.tcg, in: directory, limit: .milliseconds(1)))
    }
}
