/// What a BMC does to its machine.
public enum BMCOrder: Hashable, Sendable {
    case power(ResetType)
    /// From the next power-on or reset on; nil goes back to the machine's own order.
    case boot(BootOverride?)
    case insert(VirtualMediaImage)
    case eject
}

/// Resource.ResetType of the DMTF, as far as this BMC knows them.
public enum ResetType: String, Hashable, Sendable, CaseIterable {
    case on = "On"
    case forceOn = "ForceOn"
    case forceOff = "ForceOff"
    case gracefulShutdown = "GracefulShutdown"
    case gracefulRestart = "GracefulRestart"
    case forceRestart = "ForceRestart"
    case powerCycle = "PowerCycle"
    case pushPowerButton = "PushPowerButton"
    case nmi = "Nmi"
}

/// What the machine starts from instead of its own boot order.
public struct BootOverride: Hashable, Sendable {
    /// ComputerSystem.BootSource of the DMTF.
    public enum Target: String, Hashable, Sendable, CaseIterable {
        case pxe = "Pxe"
        case cd = "Cd"
        case hdd = "Hdd"
        case uefiHTTP = "UefiHttp"
    }

    public enum Mode: String, Hashable, Sendable, CaseIterable {
        case legacy = "Legacy"
        case uefi = "UEFI"
    }

    public var target: Target
    public var mode: Mode
    /// Once, or at each start until it is taken back.
    public var isOnce: Bool
    /// For `.uefiHTTP`; nil leaves it to DHCP.
    public var httpURI: String?

    public init(target: Target, mode: Mode, isOnce: Bool, httpURI: String? = nil) {
        self.target = target
        self.mode = mode
        self.isOnce = isOnce
        self.httpURI = httpURI
    }
}

/// An image in the BMC's virtual drive.
public struct VirtualMediaImage: Hashable, Sendable {
    /// http or https.
    public var uri: String
    public var userName: String?
    public var password: String?

    public init(uri: String, userName: String? = nil, password: String? = nil) {
        self.uri = uri
        self.userName = userName
        self.password = password
    }
}

/// What the machine did, by order or by itself.
public enum BMCHardwareEvent: Hashable, Sendable {
    case poweredOn
    case poweredOff
    case reset
    /// A boot from the override has begun; if it was for once, it is over.
    case bootOverrideUsed
}

/// Why an order was not carried out.
public struct BMCHardwareError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Reason: Hashable, Sendable {
        /// Not in this power state.
        case wrongState
        /// The image cannot be had from its URI.
        case image
        case failed
    }

    public let reason: Reason
    public let description: String

    public init(_ reason: Reason, _ description: String) {
        self.reason = reason
        self.description = description
    }
}

/// The machine behind a BMC.
public protocol BMCHardware: Sendable {
    var inventory: BMCInventory { get }
    /// What happens to the machine's power, whoever did it. One listener; ends with the machine.
    var events: AsyncStream<BMCHardwareEvent> { get }
    /// The machine's serial port; nil: it is not the BMC's.
    var console: (any BMCConsole)? { get }
    func reading() async -> BMCReading
    /// Returns once it is done, and for a shutdown by the guest once the guest was asked.
    func perform(_ order: BMCOrder) async throws
}
