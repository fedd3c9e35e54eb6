/// A run of DATA packets to send: blocks of a file, numbered from 1.
public struct TFTPBlocks: Hashable, Sendable {
    /// The true number: on the wire it rolls over to 0 after 65,535.
    public let first: UInt64
    public let count: Int
    public let blockBytes: Int
    public let fileBytes: UInt64

    /// The number that block `index` of this run (from 0) has on the wire.
    public func wireNumber(at index: Int) -> UInt16 { UInt16(truncatingIfNeeded: first + UInt64(index)) }

    /// Bytes of the file in block `index` of this run; the file's last block may be empty.
    public func byteRange(at index: Int) -> Range<UInt64> {
        let start = (first - 1 + UInt64(index)) * UInt64(blockBytes)
        return start..<min(start + UInt64(blockBytes), fileBytes)
    }

    /// The run that is sent once all of this one is acknowledged, if it is as long; nil at the file's end.
    public var following: TFTPBlocks? {
        let next = first + UInt64(count)
        // A file ends with a block that is not full, so one of a whole number of blocks ends with an empty one.
        let last = fileBytes / UInt64(blockBytes) + 1
        guard next <= last else { return nil }
        return TFTPBlocks(first: next, count: min(count, Int(last - next + 1)), blockBytes: blockBytes, fileBytes: fileBytes)
    }

    /// Bytes of the file in the whole run.
    public var byteRange: Range<UInt64> {
        let start = (first - 1) * UInt64(blockBytes)
        return start..<min(start + UInt64(count * blockBytes), fileBytes)
    }
}

/// The server's side of one read transfer (RFC 1350, with the options of
/// RFC 2348, 2349 and 7440), without sockets, files and clocks.
///
/// After every action that sends, the caller arms one timer of `timeout`;
/// when it runs out before another action, it calls `timerFired`.
public struct TFTPReadSession: Sendable {
    public struct Limits: Sendable {
        /// 8 to 65,464. 1,468 fills an Ethernet frame: larger blocks would be sent as IP fragments, which many
        /// boot ROMs cannot put together.
        public var blockBytes = 1468
        /// Blocks in flight, 1 to 64: past that a boot ROM's receive ring overflows.
        public var windowBlocks = 64
        /// Sendings of the same thing without an answer, the first not counted.
        public var retransmissions = 6
        /// Before the first retransmission; doubled for each of the next, up to `longestTimeout`.
        public var timeout = Duration.seconds(1)
        public var longestTimeout = Duration.seconds(8)
        /// The longest `timeout` option that is agreed to: a silent client holds its place for
        /// this times `retransmissions`.
        public var agreedTimeoutSeconds = 10

        public init() {}
    }

    public enum Action: Hashable, Sendable {
        case sendOptionAcknowledgement([TFTPOption])
        /// For the first time or again.
        case sendBlocks(TFTPBlocks)
        /// The client has it all.
        case finished
        /// Send this error; the transfer is over.
        case fail(TFTPErrorCode, message: String)
        /// Send nothing; the transfer is over.
        case abandon(Abandonment)
        case ignore
    }

    public enum Abandonment: Hashable, Sendable {
        /// The client stopped it. Boot ROMs do so when they only wanted to know the size.
        case stopped(TFTPErrorCode, message: String)
        case timedOut
    }

    private enum State {
        case idle
        case awaitingFirstAcknowledgement([TFTPOption])
        /// `acknowledged` is the last block the client has; `sent` the last one on its way.
        case sending(acknowledged: UInt64, sent: UInt64)
        case over
    }

    private let limits: Limits
    private var state = State.idle
    private var fileBytes: UInt64 = 0
    private var retries = 0
    private var hasFixedTimeout = false
    /// Whether this window was already sent again for a repeated acknowledgement.
    private var hasRestarted = false

    /// Bytes a block, as agreed.
    public private(set) var blockBytes = 512
    /// Blocks in flight, as agreed.
    public private(set) var windowBlocks = 1
    /// How long to wait for an answer to what was sent last.
    public private(set) var timeout: Duration

    public init(limits: Limits = Limits()) {
        self.limits = limits
        timeout = limits.timeout
    }

    /// The client asks for a file that has `fileBytes`.
    public mutating func start(_ request: TFTPRequest, fileBytes: UInt64) -> Action {
        guard case .idle = state else { return .ignore }
        self.fileBytes = fileBytes
        let agreed = agree(to: request)
        if agreed.isEmpty {
            state = .sending(acknowledged: 0, sent: 0)
            return sendWindow(after: 0)
        }
        state = .awaitingFirstAcknowledgement(agreed)
        return .sendOptionAcknowledgement(agreed)
    }

    public mutating func receive(_ packet: TFTPPacket) -> Action {
        switch (packet, state) {
        case (_, .idle), (_, .over): return .ignore
        case (.error(let code, let message), _):
            state = .over
            return .abandon(.stopped(code, message: message))
        case (.acknowledgement(0), .awaitingFirstAcknowledgement):
            state = .sending(acknowledged: 0, sent: 0)
            return sendWindow(after: 0)
        case (.acknowledgement(let block), .sending(let acknowledged, let sent)):
            return acknowledge(block, acknowledged, sent)
        default: return .ignore
        }
    }

    /// No answer came in `timeout`.
    public mutating func timerFired() -> Action {
        switch state {
        case .idle, .over: return .ignore
        case .awaitingFirstAcknowledgement, .sending: break
        }
        guard retries < limits.retransmissions else {
            state = .over
            return .abandon(.timedOut)
        }
        retries += 1
        if !hasFixedTimeout { timeout = min(timeout * 2, limits.longestTimeout) }
        switch state {
        case .awaitingFirstAcknowledgement(let options): return .sendOptionAcknowledgement(options)
        case .sending(let acknowledged, _): return sendWindow(after: acknowledged)
        case .idle, .over: return .ignore
        }
    }

    /// The file could not be read.
    public mutating func readFailed() -> Action {
        state = .over
        return .fail(.notDefined, message: "the file could not be read")
    }

    private mutating func acknowledge(_ block: UInt16, _ acknowledged: UInt64, _ sent: UInt64) -> Action {
        // The distance survives the roll-over of the wire's number, as a window is far below 65,536 blocks.
        let advance = UInt64(block &- UInt16(truncatingIfNeeded: acknowledged))
        guard advance <= sent - acknowledged else { return .ignore }
        if advance == 0 {
            // A lone block is never sent again for a repeated acknowledgement, else both sides send all twice from
            // then on (RFC 1123 §4.2.3.1, "Sorcerer's Apprentice"). In a window it says that the first block was
            // lost (RFC 7440 §4): sent again, but once, however often it is repeated.
            guard windowBlocks > 1, sent > acknowledged, !hasRestarted else { return .ignore }
            hasRestarted = true
            return sendWindow(after: acknowledged)
        }
        let now = acknowledged + advance
        retries = 0
        hasRestarted = false
        if !hasFixedTimeout { timeout = limits.timeout }
        if now == blockCount {
            state = .over
            return .finished
        }
        return sendWindow(after: now)
    }

    /// A file ends with a block that is not full, so one of a whole number of blocks ends with an empty one.
    private var blockCount: UInt64 { fileBytes / UInt64(blockBytes) + 1 }

    private mutating func sendWindow(after acknowledged: UInt64) -> Action {
        let last = min(acknowledged + UInt64(windowBlocks), blockCount)
        state = .sending(acknowledged: acknowledged, sent: last)
        return .sendBlocks(
            TFTPBlocks(
                first: acknowledged + 1, count: Int(last - acknowledged), blockBytes: blockBytes, fileBytes: fileBytes))
    }

    /// Takes the options that make sense, and leaves out the others, as RFC 2347 has it.
    private mutating func agree(to request: TFTPRequest) -> [TFTPOption] {
        var agreed: [TFTPOption] = []
        func number(_ name: String, _ allowed: ClosedRange<Int>) -> Int? {
            guard let text = request[name], text.utf8.count <= 10, let value = Int(text), allowed.contains(value) else {
                return nil
            }
            return value
        }
        if let wanted = number("blksize", 8...65_464) {
            blockBytes = min(wanted, min(max(limits.blockBytes, 8), 65_464))
            agreed.append(TFTPOption(name: "blksize", value: String(blockBytes)))
        }
        if let seconds = number("timeout", 1...max(1, limits.agreedTimeoutSeconds)) {
            timeout = .seconds(seconds)
            hasFixedTimeout = true
            agreed.append(TFTPOption(name: "timeout", value: String(seconds)))
        }
        if request["tsize"] != nil { agreed.append(TFTPOption(name: "tsize", value: String(fileBytes))) }
        if let wanted = number("windowsize", 1...65_535) {
            windowBlocks = min(wanted, min(max(limits.windowBlocks, 1), 64))
            agreed.append(TFTPOption(name: "windowsize", value: String(windowBlocks)))
        }
        return agreed
    }
}
