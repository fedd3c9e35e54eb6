import Foundation
import Hardware
import Logging
import Model
import Store
import Synchronization
import Testing
import VirtualBMC
import Wire

@testable import Control

/// A smaller copy of `make bench BENCH='--only bmc'`: real connections, real TLS, 50 ms from each question to its answer.
@Suite("A hundred BMCs, two of them hung") struct BMCPaceTests {
    static let count = 100
    static let hung: Set = [3, 70]
    static let latency = Misbehaviour.slow(milliseconds: 50)

    /// So many BMCs on loopback for the time of `body`.
    private func withBMCs(_ body: @Sendable @escaping ([VirtualBMCServer]) async throws -> Void) async throws {
        var servers: [VirtualBMCServer] = []
        // One certificate for all: what is measured is the handshakes.
        let certificate = try BMCCertificate(name: "bmc", address: "127.0.0.1")
        for number in 0..<Self.count {
            let bmc = VirtualBMC(
                hardware: SimulatedHardware(inventory: .simulated(number)),
                account: BMCAccount(id: "1", userName: "admin", password: "hostler-lab", role: .administrator), now: Self.clock)
            bmc.setFaults([Self.latency])
            servers.append(try await VirtualBMCServer(bmc, host: "127.0.0.1", port: 0, certificates: [certificate]))
        }
        let all = servers
        try await withThrowingTaskGroup(of: Void.self) { group in
            for server in all { group.addTask { try? await server.run() } }
            try await body(all)
            group.cancelAll()
        }
    }

    static func clock() -> Timestamp { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }
    static func machineID(_ number: Int) -> MachineID { MachineID(unchecked: "m-\(1000 + number)") }

    @Test("all healthy ones are read, and switched on, at the pace of one; the hung ones are told apart", .timeLimit(.minutes(2)))
    func pace() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await withBMCs { servers in
            let store = MemoryStore()
            for number in servers.indices {
                let mac = MACAddress(value: 0x5254_0078_0000 | UInt64(number) << 1)
                var machine = Machine(
                    id: Self.machineID(number), name: try DisplayName("node\(number)"), interfaces: [Interface(mac: mac, bootedAt: Self.clock())],
                    now: Self.clock())
                machine.state = .ready
                try await store.commit([machine.put(.absent)])
            }
            let control = try await ControlPlane.open(
                store: store, images: OneImage(), environment: ControlEnvironment(now: Self.clock, logger: Logger(label: "test")))
            var settings = BMCDesk.Settings()
            settings.sweepTimeout = .seconds(10)
            settings.power.poll = .milliseconds(200)
            let desk = try await BMCDesk.open(control: control, vault: Vault(keyFile: folder + "/vault.key"), settings: settings)
            try await add(servers, to: desk)
            for number in Self.hung { servers[number].bmc.setFaults([.hang]) }

            let sweep = try await sweep(desk)
            #expect(sweep.healthy == Self.count - Self.hung.count)
            #expect(sweep.silent == Set(Self.hung.map(Self.machineID)))
            #expect(sweep.lastHealthy < .seconds(8), "a sweep of the healthy ones took \(sweep.lastHealthy)")

            let took = try await switchOn(servers.count, by: desk)
            #expect(took < .seconds(20), "switching the healthy ones on took \(took)")
            for number in servers.indices where !Self.hung.contains(number) {
                #expect(await servers[number].bmc.hardware.reading().power == .on)
            }
            await desk.close()
        }
    }

    private func add(_ servers: [VirtualBMCServer], to desk: BMCDesk) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, server) in servers.enumerated() {
                group.addTask {
                    var request = BMCRequest(kind: .redfish, address: "127.0.0.1:\(server.address.port ?? 0)")
                    request.userName = "admin"
                    request.password = "hostler-lab"
                    // The machine is found by what the BMC says of its network cards.
                    let added = try await desk.add(request, by: "test")
                    #expect(added.machine == Self.machineID(number))
                }
            }
            try await group.waitForAll()
        }
    }

    private struct Sweep: Sendable {
        var healthy = 0
        var silent: Set<MachineID> = []
        var lastHealthy: Duration = .zero
    }

    private func sweep(_ desk: BMCDesk) async throws -> Sweep {
        let machines = Dictionary(uniqueKeysWithValues: try await desk.all().compactMap { bmc in bmc.machine.map { (bmc.id, $0) } })
        let seen = Mutex(Sweep())
        let start = ContinuousClock.now
        await desk.sweep { observation in
            seen.withLock { seen in
                if observation.observed.problem == nil, observation.observed.power?.state == .off {
                    seen.healthy += 1
                    seen.lastHealthy = .now - start
                } else if let machine = machines[observation.id], observation.observed.problem?.code == "bmc-silent" {
                    seen.silent.insert(machine)
                }
            }
        }
        return seen.withLock { $0 }
    }

    /// Until the last healthy one was read to be on.
    private func switchOn(_ count: Int, by desk: BMCDesk) async throws -> Duration {
        let start = ContinuousClock.now
        return try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<count {
                group.addTask {
                    guard !Self.hung.contains(number) else {
                        _ = try? await desk.power(.on, machine: Self.machineID(number).rawValue, by: "test")
                        return false
                    }
                    return try await desk.power(.on, machine: Self.machineID(number).rawValue, by: "test").state == .on
                }
            }
            var left = count - Self.hung.count
            while left > 0, let isOn = try await group.next() { if isOn { left -= 1 } }
            group.cancelAll()
            return .now - start
        }
    }
}
