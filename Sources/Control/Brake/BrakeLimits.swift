internal import Model

/// How much of the rack may be wiped, installed or switched off before somebody is asked again: a script with a wrong list
/// of machines stops early.
public struct BrakeLimits: Sendable, Codable, Equatable {
    /// Begun within an hour. A rack is some forty machines, and is installed at a stretch.
    public var installsPerHour = 60
    /// Open at the same time.
    public var installsAtOnce = 40
    /// Machines come back from their users one by one; a quarter of a rack in an hour is an occasion.
    public var wipesPerHour = 20
    public var wipesAtOnce = 10
    /// Off, shutdown, restart and cycle, and rescue of a machine whose system runs.
    public var powerOffsPerHour = 20
    public var powerOffsAtOnce = 10

    public init() {}

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func value(_ key: CodingKeys, _ usual: Int) throws -> Int {
            let value = try container.decodeIfPresent(Int.self, forKey: key) ?? usual
            guard (0...Self.largest).contains(value) else {
                throw DecodingError.dataCorruptedError(
                    forKey: key, in: container, debugDescription: "\(key.stringValue) is 0 (each waits for a second word) to \(Self.largest)")
            }
            return value
        }
        installsPerHour = try value(.installsPerHour, installsPerHour)
        installsAtOnce = try value(.installsAtOnce, installsAtOnce)
        wipesPerHour = try value(.wipesPerHour, wipesPerHour)
        wipesAtOnce = try value(.wipesAtOnce, wipesAtOnce)
        powerOffsPerHour = try value(.powerOffsPerHour, powerOffsPerHour)
        powerOffsAtOnce = try value(.powerOffsAtOnce, powerOffsAtOnce)
    }

    /// What the ledger of an hour has room for: its value in the store is 1 MiB at most.
    static let largest = 1000

    func perHour(_ kind: BrakedKind) -> Int {
        switch kind {
        case .install: installsPerHour
        case .wipe: wipesPerHour
        case .powerOff: powerOffsPerHour
        }
    }

    func atOnce(_ kind: BrakedKind) -> Int {
        switch kind {
        case .install: installsAtOnce
        case .wipe: wipesAtOnce
        case .powerOff: powerOffsAtOnce
        }
    }

    /// Why one more is to wait; nil: it may begin.
    func objection(to kind: BrakedKind, begun: Int, open: Int, remedy: String) -> Problem? {
        if begun >= perHour(kind) {
            return Problem(
                "brake", status: 429, title: "\(begun) \(kind.plural) were begun within an hour; the limit is \(perHour(kind))",
                detail: "The limit is brake.\(kind.setting)PerHour in hostler.yaml.", remedy: remedy)
        }
        if open >= atOnce(kind) {
            return Problem(
                "brake", status: 429, title: "\(open) \(kind.plural) are under way; the limit is \(atOnce(kind))",
                detail: "The limit is brake.\(kind.setting)AtOnce in hostler.yaml.", remedy: remedy)
        }
        return nil
    }
}

/// What the brake counts.
enum BrakedKind: String, Codable, Sendable, CaseIterable {
    case install, wipe, powerOff

    /// Nil: it is not counted.
    init?(_ request: OperationRequest, on machine: Machine) {
        switch request {
        case .inspect: return nil
        case .install: self = .install
        case .wipe: self = .wipe
        case .rescue:
            guard machine.hasSystem else { return nil }
            self = .powerOff
        }
    }

    var plural: String {
        switch self {
        case .install: "installations"
        case .wipe: "wipes"
        case .powerOff: "power-offs"
        }
    }

    var setting: String {
        switch self {
        case .install: "installs"
        case .wipe: "wipes"
        case .powerOff: "powerOffs"
        }
    }
}
