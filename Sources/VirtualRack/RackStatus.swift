public import Model
public import Wire

/// A lab as it is now.
public struct RackStatus: Codable, Hashable, Sendable {
    public let lab: LabName
    /// Enter it to be on the rack's network.
    public let namespace: String
    public let bridge: String
    /// The server's address in the rack.
    public let server: IPv4Prefix
    public let accelerator: Accelerator
    /// The lab process.
    public let pid: Int32
    /// Faults of the whole rack.
    public let faults: [Fault]
    public let machines: [MachineStatus]
}

/// A machine of a lab as it is now.
public struct MachineStatus: Codable, Hashable, Sendable {
    public let spec: VirtualMachineSpec
    public let power: PowerStatus
    public let faults: [Fault]
    public let bmc: BMCStatus?
    /// For anything that speaks to a unix socket: raw bytes, the past first.
    public let consoleSocket: String
    public let consoleLog: String
    /// Bytes seen on the console since the lab process began.
    public let consoleBytes: UInt64
}

/// Whether a machine has power, and how that is known.
public struct PowerStatus: Codable, Hashable, Sendable {
    public enum State: String, Codable, Sendable {
        case on, off
    }

    public let state: State
    /// What was looked at: the process and QEMU's own word.
    public let evidence: String
    /// QEMU's process, where there is one.
    public let pid: Int32?
    /// The last thing that happened to the power, as "guest shut down", and when.
    public let lastEvent: String?
    public let lastEventAt: Timestamp?
    /// Resets that the guest asked for since power-on.
    public let guestResets: Int
}

/// What can be done to a machine's power.
public enum PowerAction: String, Codable, Sendable, CaseIterable {
    case on
    /// The power supply's switch: QEMU writes its disks' caches back and ends.
    case off
    /// The plug is pulled: SIGKILL, this instant.
    case cut
    /// Off, then on.
    case cycle
    case reset
    /// The power button (ACPI); the guest decides.
    case button
}
