internal import VirtualBMC

/// What a machine's process starts from: its own order, or what its BMC wants instead.
struct BootPlan: Hashable, Sendable {
    var override: BootOverride?
    /// An image in the BMC's drive.
    var cd: String?

    /// The first in the order; nil where it is the machine's own.
    var first: BootOverride.Target? {
        switch override?.target {
        case .cd where cd == nil: nil
        // The firmware finds it in BootNext, and the network cards after it.
        case .uefiHTTP: override?.httpURI == nil ? .pxe : nil
        case let target: target
        }
    }

    /// What the firmware is to fetch at its next start.
    var httpURI: String? { override?.target == .uefiHTTP ? override?.httpURI : nil }
}
