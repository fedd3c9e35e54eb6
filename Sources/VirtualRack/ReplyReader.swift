internal import Synchronization

/// Makes lines of what a lab sends.
final class ReplyReader: Sendable {
    private let splitter: Mutex<LineSplitter>
    private let sink: AsyncThrowingStream<[UInt8], any Error>.Continuation

    init(splitter: LineSplitter, sink: AsyncThrowingStream<[UInt8], any Error>.Continuation) {
        self.splitter = Mutex(splitter)
        self.sink = sink
    }

    func received(_ bytes: [UInt8]) {
        for line in splitter.withLock({ $0.append(bytes) }) { sink.yield(line) }
    }
}
