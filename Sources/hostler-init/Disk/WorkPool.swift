internal import NIOCore
internal import NIOPosix

/// Threads for work that computes or waits for a disk, one for each processor,
/// so that reports and the log go on beside it.
enum WorkPool {
    static let threadCount = max(1, System.coreCount)
    private static let pool: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: threadCount)
        pool.start()
        return pool
    }()

    static func run<Result: Sendable>(_ body: @Sendable @escaping () throws -> Result) async throws -> Result {
        try await pool.runIfActive(body)
    }
}
