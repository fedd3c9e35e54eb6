import FoundationEssentials
import Glibc
import Logging
import Store
import Testing

/// The rack under kills, cuts, lost and late messages, wrong clocks and impatient people: whatever happens, each operation ends,
/// as the record says it does, and nothing is written that nobody asked for.
///
/// `CHAOS_SEED=n CHAOS_RUNS=m` runs the seeds n to n+m−1. A seed that fails is printed with its schedule.
@Suite("Chaos in a simulated rack") struct ChaosTests {
    private static func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

    @Test("every operation ends truthfully and none is lost, whatever strikes") func memory() async throws {
        let first = Self.number("CHAOS_SEED") ?? 1
        let runs = Self.number("CHAOS_RUNS") ?? 1000
        // A processor each: what happens in a run depends on its seed only.
        await withDiscardingTaskGroup { group in
            for part in 0..<UInt64(2) {
                group.addTask {
                    for seed in stride(from: first + part, to: first + runs, by: 2) { await Self.run(seed) }
                }
            }
        }
    }

    private static func run(_ seed: UInt64) async {
        let schedule = ChaosSchedule(seed: seed)
        let disk = MemoryStore()
        var complaints: [String]
        do {
            let world = try ChaosWorld(schedule) { disk }
            do { try await world.run() } catch { world.judge.complain("the run broke off: \(error)") }
            complaints = world.judge.complaints
        } catch {
            complaints = ["the run did not begin: \(error)"]
        }
        #expect(complaints.isEmpty, "CHAOS_SEED=\(seed) CHAOS_RUNS=1: \(complaints.joined(separator: "; "))\n\(schedule.json)")
    }

    @Test("the same with the store on a disk, opened anew after each kill") func disk() async throws {
        let first = Self.number("CHAOS_SEED") ?? 1
        for seed in first..<(first + min(5, Self.number("CHAOS_RUNS") ?? 5)) {
            let path = FileManager.default.temporaryDirectory.path + "/hostler-chaos-\(getpid())-\(seed)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: path) }
            let schedule = ChaosSchedule(seed: seed)
            let logger = Logger(label: "chaos") { _ in SwiftLogNoOpLogHandler() }
            let world = try ChaosWorld(schedule) { try SQLiteStore(path: path + "/hostler.db", logger: logger) }
            do { try await world.run() } catch { world.judge.complain("the run broke off: \(error)") }
            let complaints = world.judge.complaints
            #expect(complaints.isEmpty, "CHAOS_SEED=\(seed) CHAOS_RUNS=1: \(complaints.joined(separator: "; "))\n\(schedule.json)")
        }
    }

    @Test("the same seed makes the same schedule, and the same run") func reproducible() async throws {
        #expect(ChaosSchedule(seed: 7) == ChaosSchedule(seed: 7))
        #expect(ChaosSchedule(seed: 7) != ChaosSchedule(seed: 8))
        var ends: Set<String> = []
        for _ in 0..<2 {
            let disk = MemoryStore()
            let world = try ChaosWorld(ChaosSchedule(seed: 7)) { disk }
            try await world.run()
            ends.insert("\(world.now) \(world.served) \(world.starts)")
        }
        #expect(ends.count == 1)
    }
}
