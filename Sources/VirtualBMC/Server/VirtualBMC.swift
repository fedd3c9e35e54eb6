public import Model
internal import Synchronization
internal import Wire

/// One BMC: its Redfish service, its machine and its faults. Answers requests
/// in process; `VirtualBMCServer` puts it on a network.
public final class VirtualBMC: Sendable {
    /// What goes back on the wire, faults included.
    public enum Reply: Hashable, Sendable {
        case response(RedfishResponse)
        /// The connection stays open and silent.
        case silence
        /// The connection closes before a word.
        case close
        /// The connection closes after this much of the body.
        case cut(RedfishResponse, afterBodyBytes: Int)
        /// Server-sent events for this subscription.
        case events(subscription: String)
    }

    struct State {
        var service: RedfishService
        var ipmi = IPMIService()
        /// The activation of the serial port that is carried; nil: none.
        var carried: Int?
        /// Called when something for a console may be due.
        var wake: (@Sendable () -> Void)?
        var faults: [Misbehaviour] = []
        var requests = 0
        var flipGeneration = 0
        var listeners: [String: AsyncStream<JSON>.Continuation] = [:]
    }

    /// DSP0266 sets no limit; a BMC has little memory.
    static let bodyLimitBytes = 1 << 20
    static let hugeBytes = 10 << 20

    public let hardware: any BMCHardware
    let now: @Sendable () -> Timestamp
    let state: Mutex<State>
    /// Whether a console has the serial port, each time that changes.
    let activations: AsyncStream<Bool>
    let activationSink: AsyncStream<Bool>.Continuation
    /// Nil stops the flipping.
    private let flips: AsyncStream<Int?>
    private let flipSink: AsyncStream<Int?>.Continuation

    /// - Parameter updateTakes: how long a firmware update runs.
    public init(
        hardware: any BMCHardware, account: BMCAccount, updateTakes: Duration = .seconds(3),
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.hardware = hardware
        self.now = now
        state = Mutex(
            State(
                service: RedfishService(
                    inventory: hardware.inventory, account: account, updateTakes: updateTakes,
                    hasSerialPort: hardware.console != nil)))
        (activations, activationSink) = AsyncStream.makeStream(of: Bool.self)
        (flips, flipSink) = AsyncStream.makeStream(of: Int?.self)
    }

    /// Follows the machine and flips its power where that is the fault, until cancelled.
    public func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                for await event in self.hardware.events {
                    let forgets = self.faults.contains(.forgetBoot)
                    self.change { service in
                        service.noted(event, at: self.now())
                        if forgets, event == .poweredOn || event == .reset { service.forgetBootOverride() }
                    }
                    self.machine(event)
                }
            }
            group.addTask { await self.carryConsole() }
            for await seconds in flips {
                guard let seconds else { continue }
                let generation = state.withLock(\.flipGeneration)
                group.addTask { await self.flip(every: .seconds(seconds), generation) }
            }
            group.cancelAll()
        }
    }

    // MARK: Faults

    public var faults: [Misbehaviour] { state.withLock(\.faults) }

    /// Replaces all faults by these; one of a kind.
    public func setFaults(_ faults: [Misbehaviour]) {
        let isFlipping = faults.contains { $0.kind == "flip" }
        let seconds = faults.compactMap { if case .flip(let seconds) = $0 { seconds } else { nil } }.last
        let changed = state.withLock { state -> Bool in
            let before = state.faults.filter { $0.kind == "flip" }
            state.faults = faults
            guard before != faults.filter({ $0.kind == "flip" }) else { return false }
            state.flipGeneration += 1
            return true
        }
        if changed { flipSink.yield(isFlipping ? seconds : nil) }
        wakeConsole()
    }

    private func flip(every interval: Duration, _ generation: Int) async {
        while true {
            try? await Task.sleep(for: interval)
            guard !Task.isCancelled, state.withLock(\.flipGeneration) == generation else { return }
            let isOn = await hardware.reading().power == .on
            try? await hardware.perform(.power(isOn ? .forceOff : .on))
        }
    }

    // MARK: Requests

    /// The service as it is now.
    public var service: RedfishService { state.withLock(\.service) }

    /// Something that the BMC found out: into the log and to the listeners.
    public func note(_ message: String, severity: BMCReading.Health) {
        change { $0.noted(message, severity: severity, at: now()) }
    }

    public func reply(to request: RedfishRequest) async -> Reply {
        let (faults, count) = state.withLock { state in
            state.requests += 1
            return (state.faults, state.requests)
        }
        for fault in faults {
            switch fault {
            case .drop(let oneIn) where count % oneIn == 0: return .close
            case .hang: return .silence
            case .slow(let milliseconds):
                try? await Task.sleep(for: .milliseconds(milliseconds))
            default: break
            }
        }
        for fault in faults {
            switch fault {
            case .html: return .response(FaultyAnswer.page)
            case .error: return .response(.error(500, .internalError))
            case .redirect(let host):
                return .response(
                    RedfishResponse(status: 307, headers: [.init("Location", "https://\(host)\(request.path)")]))
            default: break
            }
        }
        let reply = await answer(request, faults)
        guard case .response(let response) = reply, !response.body.isEmpty else { return reply }
        for fault in faults {
            switch fault {
            case .truncate:
                var response = response
                response.body.removeLast(response.body.count / 2)
                return .response(response)
            case .huge where request.method == "GET" && response.status == 200:
                var response = response
                response.body = FaultyAnswer.huge(response.body, atLeast: Self.hugeBytes)
                return .response(response)
            case .cut: return .cut(response, afterBodyBytes: response.body.count / 2)
            default: break
            }
        }
        return reply
    }

    private func answer(_ request: RedfishRequest, _ faults: [Misbehaviour]) async -> Reply {
        let isLying = faults.contains(.lie)
        let before = await moment()
        let answer = state.withLock { state -> RedfishAnswer in
            let memory = state.service
            let answer = state.service.answer(request, at: before)
            // A lie goes as far as the machine: who is logged in stays true.
            if isLying, request.path.contains("/Systems/") || request.path.contains("/VirtualMedia/") {
                let sessions = state.service.sessions
                state.service = memory
                state.service.sessions = sessions
            }
            return answer
        }
        switch answer {
        case .response(let response):
            tellListeners()
            return .response(response)
        case .events:
            guard let id = state.withLock({ $0.service.subscribe() }) else {
                return .response(.error(503, .createLimitReached))
            }
            return .events(subscription: id)
        case .perform(let order, let completion):
            do {
                if !isLying {
                    if case .boot = order, faults.contains(.forgetBoot) {
                        try await hardware.perform(.boot(nil))
                    } else {
                        try await hardware.perform(order)
                    }
                    change { $0.done(order, at: now()) }
                }
            } catch {
                return .response(RedfishService.failure(error, order))
            }
            let after = await moment()
            return .response(state.withLock { $0.service.response(completion, at: after) })
        }
    }

    private func moment() async -> RedfishMoment {
        RedfishMoment(
            now: now(), reading: await hardware.reading(),
            nonce: Hex.encode((0..<16).map { _ in UInt8.random(in: .min ... .max) }))
    }

    // MARK: Listeners

    /// The events for a subscription, until it is deleted.
    public func events(_ subscription: String) -> AsyncStream<JSON> {
        let (stream, sink) = AsyncStream.makeStream(of: JSON.self, bufferingPolicy: .bufferingNewest(100))
        state.withLock { $0.listeners[subscription] = sink }
        return stream
    }

    public func endEvents(_ subscription: String) {
        let sink = state.withLock { state in
            state.service.unsubscribe(subscription)
            return state.listeners.removeValue(forKey: subscription)
        }
        sink?.finish()
    }

    func change(_ body: (inout RedfishService) -> Void) {
        state.withLock { body(&$0.service) }
        tellListeners()
    }

    private func tellListeners() {
        let (events, listeners, gone) = state.withLock { state in
            let gone = state.listeners.filter { !state.service.isSubscribed($0.key) }
            for id in gone.keys { state.listeners[id] = nil }
            return (state.service.takeEvents(), Array(state.listeners.values), Array(gone.values))
        }
        for event in events { for listener in listeners { listener.yield(event) } }
        for listener in gone { listener.finish() }
    }
}
