internal import Model
internal import Synchronization

extension IPMIBMC: ConsoleOffering {
    /// By serial over LAN (IPMI 2.0 §15), through `ipmitool sol activate`.
    public func holdConsole(_ end: ConsoleEnd) async throws {
        let screen = Screen()
        let keys = Keys()
        let (line, environment) = line(retries: 4)
        let result = try await Self.tool.sit(
            line + ["-e", String(UnicodeScalar(SOLTyping.escape)), "sol", "activate"], environment: environment,
            namespace: network.namespace, typed: end.typed
        ) { bytes in
            keys.pass(bytes)
        } received: { bytes in
            screen.show(bytes, at: end)
        }
        try Task.checkCancellation()
        if screen.isOperational { return }
        throw SOLRefusal.problem(result, address: address)
    }

    public func freeConsole() async throws { try await call(["sol", "deactivate"]) }
}

/// What is typed, as the tool is to get it.
private final class Keys: Sendable {
    private let typing = Mutex(SOLTyping())
    func pass(_ bytes: [UInt8]) -> [UInt8] { typing.withLock { $0.pass(bytes) } }
}

/// What the tool printed, parted from what the machine did.
private final class Screen: Sendable {
    private let printing = Mutex(SOLPrinting())

    var isOperational: Bool { printing.withLock { $0.isOperational } }

    func show(_ bytes: [UInt8], at end: ConsoleEnd) {
        let (own, isNew) = printing.withLock { printing in
            let before = printing.isOperational
            return (printing.pass(bytes), printing.isOperational != before)
        }
        if isNew { end.began() }
        if !own.isEmpty { end.received(own) }
    }
}

/// Why `ipmitool sol activate` came to nothing: completion codes of Activate Payload (IPMI 2.0 table 24-2), in its words.
enum SOLRefusal {
    static func problem(_ result: HostTool.Result, address: String) -> Problem {
        let said = result.errors.lowercased()
        if said.contains("already active") || said.contains("activation limit") { return .consoleTaken(address) }
        if said.contains("payload disabled") || said.contains("not enabled") {
            return .bmcUnsupported(
                "the serial console", "serial over LAN is switched off on the BMC at \(address); with ipmitool: sol set enabled true")
        }
        if said.contains("invalid command") || said.contains("not supported") || said.contains("no response activating") {
            return .bmcUnsupported("the serial console", "the BMC at \(address) has no serial over LAN")
        }
        return IPMIText.problem(result, "sol activate", address)
    }
}
