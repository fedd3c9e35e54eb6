internal import Synchronization

/// The serial port of a machine that does not exist: it shows a banner and a prompt to whoever begins to listen, echoes
/// what is typed, and says again what a line was.
public final class SimulatedConsole: BMCConsole {
    /// A line longer than this is not said again in full.
    static let lineLimitBytes = 1024

    private struct State {
        var isOn: Bool
        var line: [UInt8] = []
        var listeners: [Int: AsyncStream<[UInt8]>.Continuation] = [:]
        var next = 0
    }

    private let name: String
    private let state: Mutex<State>

    public init(name: String, isOn: Bool = false) {
        self.name = name
        state = Mutex(State(isOn: isOn))
    }

    private var prompt: String { "\(name)> " }
    private var banner: [UInt8] { Array("\r\nSerial console of \(name), which is simulated.\r\n\(prompt)".utf8) }

    public func listen(_ hear: @escaping @Sendable ([UInt8]) -> Void) async {
        let (stream, sink) = AsyncStream.makeStream(of: [UInt8].self, bufferingPolicy: .bufferingNewest(4096))
        let id = state.withLock { state in
            state.next += 1
            state.listeners[state.next] = sink
            if state.isOn { sink.yield(banner) }
            return state.next
        }
        defer { state.withLock { $0.listeners[id] = nil } }
        for await bytes in stream { hear(bytes) }
    }

    /// The machine started, or ended.
    func setOn(_ isOn: Bool) {
        state.withLock { state in
            state.isOn = isOn
            state.line = []
            if isOn { say(banner, &state) }
        }
    }

    public func type(_ bytes: [UInt8]) {
        state.withLock { state in
            guard state.isOn else { return }
            say(bytes.flatMap { typed($0, &state) }, &state)
        }
    }

    public func sendBreak() async {
        state.withLock { state in
            guard state.isOn else { return }
            say(Array("\r\n<break>\r\n\(prompt)".utf8), &state)
        }
    }

    /// Prints what a program of the machine printed.
    public func write(_ bytes: [UInt8]) { state.withLock { say(bytes, &$0) } }

    private func say(_ bytes: [UInt8], _ state: inout State) {
        for listener in state.listeners.values { listener.yield(bytes) }
    }

    /// What comes back for it.
    private func typed(_ byte: UInt8, _ state: inout State) -> [UInt8] {
        switch byte {
        case UInt8(ascii: "\r"), UInt8(ascii: "\n"):
            defer { state.line = [] }
            let again = state.line.isEmpty ? [] : Array("you typed: ".utf8) + state.line + Array("\r\n".utf8)
            return Array("\r\n".utf8) + again + Array(prompt.utf8)
        // Backspace and delete.
        case 0x08, 0x7f:
            return state.line.popLast() == nil ? [] : [0x08, 0x20, 0x08]
        default:
            if state.line.count < Self.lineLimitBytes { state.line.append(byte) }
            return [byte]
        }
    }
}
