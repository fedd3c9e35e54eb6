internal import Model

/// A power switch by which the machine's serial console can be had as well.
public protocol ConsoleOffering: Sendable {
    /// Holds the console until the BMC ends it, which returns, or the task is cancelled.
    ///
    /// - Throws: `bmc-unsupported` where this BMC has none; `bmc-console-taken` where somebody else holds it.
    func holdConsole(_ end: ConsoleEnd) async throws
    /// Takes the console from whoever holds it.
    func freeConsole() async throws
}

/// Our end of a console: where its bytes go, and whence those come that are typed.
public struct ConsoleEnd: Sendable {
    /// Told once what is typed arrives.
    public var began: @Sendable () -> Void
    public var received: @Sendable ([UInt8]) -> Void
    public var typed: AsyncStream<[UInt8]>

    public init(began: @escaping @Sendable () -> Void, received: @escaping @Sendable ([UInt8]) -> Void, typed: AsyncStream<[UInt8]>) {
        self.began = began
        self.received = received
        self.typed = typed
    }
}

extension Problem {
    static func consoleTaken(_ address: String) -> Problem {
        .bmc(
            "console-taken", status: 409, "Somebody else holds the serial console of the BMC at \(address)",
            remedy: "It is taken over after a while; a BMC has one console for all.")
    }
}
