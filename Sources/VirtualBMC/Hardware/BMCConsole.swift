/// A machine's serial port, as its BMC has it.
public protocol BMCConsole: Sendable {
    /// Hands over what the machine writes from now on, and nothing of before, until cancelled or the machine is gone.
    func listen(_ hear: @escaping @Sendable ([UInt8]) -> Void) async
    /// Types at the machine; lost where it is off.
    func type(_ bytes: [UInt8])
    /// Holds the line down for longer than a character takes.
    func sendBreak() async
}
