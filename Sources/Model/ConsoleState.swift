/// A machine's serial console, as it is recorded.
public struct ConsoleState: Codable, Sendable, Equatable {
    public var machine: MachineID
    /// Whether it is heard now, and can be typed at.
    public var connected: Bool
    /// Since when it is, or is not; nil: it never was while this server ran.
    public var since: Timestamp?
    /// Why it is not.
    public var problem: Problem?
    /// Bytes that are kept of it.
    public var recordedBytes: Int
    /// People who sit at it now.
    public var readers: Int

    public init(machine: MachineID) {
        self.machine = machine
        connected = false
        recordedBytes = 0
        readers = 0
    }
}
