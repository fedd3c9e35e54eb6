internal import Model
internal import Synchronization

/// How far a step is; set by the work, read by the reporter.
final class ProgressCounter: Sendable {
    private let state: Mutex<Progress>
    init(total: Int64) { state = Mutex(Progress(done: 0, total: total)) }
    func add(_ bytes: Int64) { state.withLock { $0 = Progress(done: $0.done + bytes, total: $0.total) } }
    func set(done: Int64, total: Int64) { state.withLock { $0 = Progress(done: done, total: total) } }
    var progress: Progress { state.withLock { $0 } }
}
