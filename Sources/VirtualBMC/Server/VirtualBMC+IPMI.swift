internal import Model

/// The BMC's other face.
extension VirtualBMC {
    /// The answer to a datagram from a console; nil: none.
    public func reply(toIPMI datagram: [UInt8], from peer: IPMIPeer) async -> [UInt8]? {
        let (faults, isDropped) = state.withLock { ($0.faults, $0.dropsNext()) }
        guard !isDropped, !faults.contains(.hang) else { return nil }
        for fault in faults {
            if case .slow(let milliseconds) = fault { try? await Task.sleep(for: .milliseconds(milliseconds)) }
        }
        let power = await hardware.reading().power
        let nonce = Self.noise(bytes: 48)
        let answer = state.withLock { state in
            let moment = IPMIMoment(now: now(), power: power, redfish: state.service, nonce: nonce, peer: peer)
            let answer = state.ipmi.answer(datagram, at: moment)
            follow(&state)
            return answer
        }
        switch answer {
        case .silence: return nil
        case .reply(let bytes): return bytes
        case .perform(let order, let pending):
            let isDone = await carryOut(order, faults)
            return state.withLock { $0.ipmi.finish(pending, succeeded: isDone, nonce: nonce) }
        case .type(let bytes, let isBreak, let reply):
            if !faults.contains(.lie), let console = hardware.console {
                if !bytes.isEmpty { console.type(bytes) }
                if isBreak { await console.sendBreak() }
            }
            return reply
        }
    }

    /// Whether it came about, as far as is told.
    private func carryOut(_ order: BMCOrder, _ faults: [Misbehaviour]) async -> Bool {
        guard !faults.contains(.lie) else { return true }
        do {
            if case .boot = order, faults.contains(.forgetBoot) {
                try await hardware.perform(.boot(nil))
            } else {
                try await hardware.perform(order)
            }
            change { $0.done(order, at: now()) }
            return true
        } catch {
            return false
        }
    }

    /// Where it speaks IPMI from now on; nil: nowhere.
    func listens(atIPMI port: UInt16?) { state.withLock { $0.service.ipmiPort = port } }

    // MARK: The serial port

    /// A datagram for a console that is due by now; ask until there is none, and again when woken or at the deadline.
    public func nextForConsole() -> (peer: IPMIPeer, bytes: [UInt8])? {
        state.withLock { state in
            guard !state.faults.contains(.hang) else { return nil }
            while let datagram = state.ipmi.due(at: now(), iv: Self.noise(bytes: 16)) {
                follow(&state)
                if !state.dropsNext() { return datagram }
            }
            follow(&state)
            return nil
        }
    }

    /// How long until ``nextForConsole()`` may have one, if nothing wakes before; nil: for ever.
    public var consoleWait: Duration? {
        state.withLock { state in
            guard !state.faults.contains(.hang), let deadline = state.ipmi.deadline else { return nil }
            return max(.zero, deadline - now())
        }
    }

    /// - Parameter wake: called whenever ``nextForConsole()`` may have one sooner than was said.
    func onConsole(_ wake: (@Sendable () -> Void)?) { state.withLock { $0.wake = wake } }

    func wakeConsole() { state.withLock(\.wake)?() }

    /// What the machine writes goes to the console that has the serial port, until cancelled.
    func carryConsole() async {
        guard let console = hardware.console else { return }
        var changes = activations.makeAsyncIterator()
        var latest = await changes.next()
        while let isActive = latest {
            latest = await withTaskGroup(of: Void.self) { group in
                if isActive { group.addTask { await console.listen { self.machineWrote($0) } } }
                let next = await changes.next()
                group.cancelAll()
                return next
            }
        }
    }

    private func machineWrote(_ bytes: [UInt8]) {
        state.withLock { $0.ipmi.serial.wrote(bytes, at: now()) }
        wakeConsole()
    }

    func machine(_ event: BMCHardwareEvent) {
        switch event {
        case .poweredOn, .reset: state.withLock { $0.ipmi.serial.powered(true) }
        case .poweredOff: state.withLock { $0.ipmi.serial.powered(false) }
        case .bootOverrideUsed: return
        }
        wakeConsole()
    }

    /// After anything that may have changed who has the serial port.
    private func follow(_ state: inout State) {
        state.service.isSerialOverLANEnabled = state.ipmi.serial.configuration.isEnabled
        let serial = state.ipmi.serial
        let wanted = serial.session == nil ? nil : serial.activations
        guard wanted != state.carried else { return }
        state.carried = wanted
        activationSink.yield(wanted != nil)
    }

    private static func noise(bytes: Int) -> [UInt8] { (0..<bytes).map { _ in UInt8.random(in: .min ... .max) } }
}

extension VirtualBMC.State {
    /// Counts one more that came or goes; whether it is lost.
    mutating func dropsNext() -> Bool {
        requests += 1
        return faults.contains { if case .drop(let oneIn) = $0 { requests % oneIn == 0 } else { false } }
    }
}
