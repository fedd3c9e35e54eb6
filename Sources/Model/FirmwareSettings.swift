/// A setting of a machine's firmware (DSP0268 Bios, AttributeValue).
public enum SettingValue: Codable, Sendable, Equatable, CustomStringConvertible {
    case none
    case flag(Bool)
    case number(Double)
    case text(String)

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .none
        } else if let flag = try? container.decode(Bool.self) {
            self = .flag(flag)
        } else if let number = try? container.decode(Double.self) {
            self = .number(number)
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .none: try container.encodeNil()
        case .flag(let flag): try container.encode(flag)
        case .number(let number):
            if let whole = Int64(exactly: number) { try container.encode(whole) } else { try container.encode(number) }
        case .text(let text): try container.encode(text)
        }
    }

    public var description: String {
        switch self {
        case .none: "-"
        case .flag(let flag): flag ? "true" : "false"
        case .number(let number): Int64(exactly: number).map { String($0) } ?? String(number)
        case .text(let text): text
        }
    }

    /// From what a person typed, as the kind that the setting has now; nil where it is none of that kind.
    public init?(_ text: String, like value: SettingValue?) {
        switch value {
        case .flag:
            switch text.lowercased() {
            case "true", "on", "yes", "enabled": self = .flag(true)
            case "false", "off", "no", "disabled": self = .flag(false)
            default: return nil
            }
        case .number:
            guard let number = Double(text), number.isFinite else { return nil }
            self = .number(number)
        case .some(.none), .text, nil: self = .text(text)
        }
    }
}

/// The settings of a machine's firmware: as they are, and what the next start will change.
public struct FirmwareSettings: Codable, Sendable, Equatable {
    public var attributes: [String: SettingValue]
    /// Those that differ after the next start of the machine.
    public var staged: [String: SettingValue]

    public init(attributes: [String: SettingValue], staged: [String: SettingValue] = [:]) {
        self.attributes = attributes
        self.staged = staged
    }
}

/// Whether a machine's firmware starts only what is signed; takes effect at the next start.
public struct SecureBootSetting: Codable, Sendable, Equatable {
    public var enabled: Bool
    public init(enabled: Bool) { self.enabled = enabled }
}

/// A BMC's work on new firmware.
public struct FirmwareUpdate: Codable, Sendable, Equatable {
    public enum State: String, Codable, Sendable, CaseIterable { case running, done, failed }

    /// Whence the BMC fetches it; of a file that was pushed, its name.
    public var url: String
    public var state: State
    public var startedAt: Timestamp
    public var endedAt: Timestamp?
    /// Where the BMC says.
    public var percent: Int?
    /// What the BMC said last.
    public var messages: [String]
    public var problem: Problem?

    public init(url: String, startedAt: Timestamp) {
        self.url = url
        self.startedAt = startedAt
        state = .running
        messages = []
    }
}
