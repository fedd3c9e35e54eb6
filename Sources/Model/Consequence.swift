/// What an order will cost, said before it is carried out.
///
/// A person is asked about it, and the order repeats its `confirmation`: what changed between the question and the order
/// is noticed.
public struct Consequence: Codable, Sendable, Equatable {
    public var act: DestructiveAct
    /// The id of what it is done to.
    public var target: String
    /// What people call it.
    public var name: String
    public var losses: [Loss]
    /// What is not lost, and should be known before.
    public var warnings: [Problem]
    /// Why it would wait for a second word; nil: it would begin at once.
    public var waits: Problem?
    /// What the order repeats as `?confirm=`; nil: nothing is lost.
    public var confirmation: String?

    public init(
        act: DestructiveAct, target: String, name: String, losses: [Loss], warnings: [Problem] = [], waits: Problem? = nil,
        confirmation: String? = nil
    ) {
        self.act = act
        self.target = target
        self.name = name
        self.losses = losses
        self.warnings = warnings
        self.waits = waits
        self.confirmation = confirmation
    }

    /// One thing that will be gone.
    public struct Loss: Codable, Sendable, Equatable {
        public var kind: Kind
        /// What identifies it: another system, disk or lease has another one.
        public var id: String
        /// It in words, with since when it has been there.
        public var what: String

        public enum Kind: String, Codable, Sendable, CaseIterable {
            /// An operating system that Hostler installed.
            case system
            /// The data on a disk.
            case disk
            /// The use of a machine by the one it is lent to.
            case lease
            /// What runs now is stopped.
            case uptime
            /// Work that is under way is cut off.
            case operation
            case record, hold, port, password, image, token, keys, log, firmware
            /// The TPM that a machine was enrolled with.
            case tpm
        }

        public init(_ kind: Kind, id: String, _ what: String) {
            self.kind = kind
            self.id = id
            self.what = what
        }
    }

    /// A line for each loss.
    public var lossLines: [String] { losses.map { "\($0.kind.rawValue): \($0.what)" } }
}

/// What destroys, stops or forgets something.
public enum DestructiveAct: String, Codable, Sendable, CaseIterable {
    case install, wipe, rescue, inspect
    case powerOff = "power-off", shutdown, restart, cycle
    case updateFirmware = "update-firmware"
    case deleteMachine = "delete-machine"
    case releaseHold = "release-hold"
    case takeInterface = "take-interface"
    case takeMachine = "take-machine"
    case forgetTPM = "forget-tpm"
    case clearLog = "clear-log"
    case removeBMC = "remove-bmc"
    case removeImage = "remove-image"
    case revokeToken = "revoke-token"
    case replaceKeys = "replace-keys"

    /// As in “installing web-1”.
    public var gerund: String {
        switch self {
        case .install: "installing"
        case .wipe: "wiping"
        case .rescue: "booting into the rescue shell"
        case .inspect: "inspecting"
        case .powerOff: "switching off"
        case .shutdown: "shutting down"
        case .restart: "restarting"
        case .cycle: "power-cycling"
        case .updateFirmware: "updating the firmware of"
        case .deleteMachine: "forgetting"
        case .releaseHold: "releasing a hold on"
        case .takeInterface: "giving a port to"
        case .takeMachine: "taking the disks of"
        case .forgetTPM: "forgetting the TPM of"
        case .clearLog: "clearing the event log of"
        case .removeBMC: "forgetting the BMC"
        case .removeImage: "removing the image"
        case .revokeToken: "revoking the token"
        case .replaceKeys: "replacing the keys of"
        }
    }
}
