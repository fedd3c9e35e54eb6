public import NIOCore
internal import NIOPosix

/// From where BMCs are reached: the process's own network, or a network namespace that the process itself is not in.
public struct BMCNetwork: Sendable {
    /// The loops that sockets live on. For a namespace, each of their threads has entered it.
    let group: any EventLoopGroup
    /// As `ip netns` names it; programs of the host are started in it.
    let namespace: String?
    private let executor: LoopExecutor?

    public static let own = BMCNetwork(group: MultiThreadedEventLoopGroup.singleton, namespace: nil)

    /// - Parameter group: its threads are in `namespace` already.
    public init(group: any EventLoopGroup, namespace: String?) {
        self.group = group
        self.namespace = namespace
        executor = namespace.map { _ in LoopExecutor(group.next()) }
    }

    /// Runs `body` so that sockets it makes are made in this network.
    ///
    /// A socket belongs to the namespace of the thread that makes it, and NIO makes one for a numeric address on the
    /// caller's thread: so the caller is one of the loop's own.
    func run<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
        guard let executor else { return try await body() }
        return try await withTaskExecutorPreference(executor) { try await body() }
    }
}

/// Runs tasks on the thread of an event loop.
private final class LoopExecutor: TaskExecutor {
    private let loop: any EventLoop
    init(_ loop: any EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedTaskExecutor()
        loop.execute { job.runSynchronously(on: executor) }
    }
}
