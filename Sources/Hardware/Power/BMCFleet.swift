public import Model
internal import Synchronization

/// All BMCs of the rack, each on its own line.
public final class BMCFleet: Sendable {
    /// What a sweep saw of one BMC.
    public struct Observation: Sendable {
        public var id: BMCID
        public var observed: ObservedBMC
        /// The power changed, and nobody here did it.
        public var flip: PowerWatch.Flip?
        public var fingerprint: String?
    }

    private let lines = Mutex<[BMCID: BMCLine]>([:])

    public init() {}

    public var count: Int { lines.withLock { $0.count } }

    public var all: [BMCLine] { lines.withLock { Array($0.values) } }

    public func line(_ id: BMCID) -> BMCLine? { lines.withLock { $0[id] } }

    /// Puts a line in place of the one that was there; returns the old one, to be closed.
    @discardableResult
    public func put(_ line: BMCLine) -> BMCLine? { lines.withLock { $0.updateValue(line, forKey: line.id) } }

    @discardableResult
    public func remove(_ id: BMCID) -> BMCLine? { lines.withLock { $0.removeValue(forKey: id) } }

    public func removeAll() -> [BMCLine] {
        lines.withLock { lines in
            defer { lines = [:] }
            return Array(lines.values)
        }
    }

    /// Reads the power of every BMC at once. Each answer is told as it comes, several at a time; a BMC that hangs
    /// costs its own `timeout` and delays nobody. One whose breaker is open is not asked.
    public func sweep(timeout: Duration = .seconds(15), _ tell: @escaping @Sendable (Observation) async -> Void) async {
        let all = lines.withLock { Array($0.values) }
        await withDiscardingTaskGroup { group in
            for line in all {
                group.addTask {
                    await tell(await line.observe(timeout: timeout))
                }
            }
        }
    }

    /// Does one thing to many machines at once; each result is told as it comes.
    public func perform(
        _ action: PowerAction, on ids: [BMCID], policy: PowerPursuit.Policy = .init(),
        _ tell: @Sendable (BMCID, Result<PowerProof, any Error>) async -> Void
    ) async {
        let chosen = lines.withLock { lines in ids.compactMap { lines[$0] } }
        await withTaskGroup(of: (BMCID, Result<PowerProof, any Error>).self) { group in
            for line in chosen {
                group.addTask {
                    do { return (line.id, .success(try await line.perform(action, policy: policy))) } catch { return (line.id, .failure(error)) }
                }
            }
            for await (id, result) in group { await tell(id, result) }
        }
    }
}
