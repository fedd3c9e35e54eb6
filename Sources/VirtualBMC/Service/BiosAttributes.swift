/// The BIOS settings that this machine's setup knows.
enum BiosAttributes {
    enum Kind: Sendable {
        case flag
        case choice([String])
    }

    static let kinds: [(name: String, kind: Kind, value: JSON)] = [
        ("ProcHyperthreading", .flag, true),
        ("ProcVirtualization", .flag, true),
        ("SriovEnabled", .flag, false),
        ("QuietBoot", .flag, false),
        ("PowerProfile", .choice(["Performance", "Balanced", "Efficiency"]), "Balanced"),
        ("RestoreOnPowerLoss", .choice(["AlwaysOn", "AlwaysOff", "LastState"]), "LastState"),
    ]

    static let defaults: [String: JSON] = Dictionary(kinds.map { ($0.name, $0.value) }) { first, _ in first }

    /// What is wrong with this value for this attribute, or nil.
    static func problem(_ name: String, _ value: JSON) -> BaseMessage? {
        guard let kind = kinds.first(where: { $0.name == name })?.kind else { return .propertyUnknown(name) }
        switch kind {
        case .flag: return value.flag == nil ? .valueType(value, name) : nil
        case .choice(let choices):
            guard let text = value.text else { return .valueType(value, name) }
            return choices.contains(text) ? nil : .notInList(value, name)
        }
    }

    /// In the order of the setup's screen.
    static func json(_ values: [String: JSON]) -> JSON {
        .object(kinds.compactMap { kind in values[kind.name].map { JSON.Member(kind.name, $0) } })
    }
}
