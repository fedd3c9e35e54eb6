/// A machine's serial port, as its BMC has it.
public protocol BMCConsole: Sendable {
    /// What the machine writes from now on, for one more listener; nothing of before. Ends with the machine.
    func output() -> AsyncStream<[UInt8]>
    /// Types at the machine; lost where it is off.
    func type(_ bytes: [UInt8])
    /// Holds the line down for longer than a character takes.
    func sendBreak() async
}
