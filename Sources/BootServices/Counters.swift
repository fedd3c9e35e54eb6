internal import Synchronization

/// Named counters of a service, for the operator and for tests.
public final class Counters: Sendable {
    private let values = Mutex<[String: Int]>([:])
    public init() {}
    public func add(_ name: String, _ count: Int = 1) { values.withLock { $0[name, default: 0] += count } }
    public var all: [String: Int] { values.withLock { $0 } }
    public subscript(name: String) -> Int { values.withLock { $0[name] ?? 0 } }
}
