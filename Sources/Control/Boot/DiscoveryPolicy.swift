/// What a network wants for machines that are not in the record. One policy a network, said in its configuration.
public enum DiscoveryPolicy: String, Codable, Sendable, CaseIterable {
    /// Nobody is answered, neither by DHCP nor with anything to boot; what arrives is an event.
    case watch
    /// Only machines in the record are booted.
    case known
    /// An unknown machine is inspected. Where its disks hold what was not put there by this control plane, it boots its own
    /// disk from then on.
    case inspectEmpty = "inspect-empty"
    /// An unknown machine is inspected and then waits for work, whatever its disks hold.
    case discover

    /// For a person who reads a log or asks the doctor.
    public var meaning: String {
        switch self {
        case .watch: "nobody is answered, by DHCP neither; machines that ask to boot are events"
        case .known: "only machines in the record are booted; add one with: hostler machine add MAC"
        case .inspectEmpty: "unknown machines are inspected; one whose disks are not empty boots its own disk"
        case .discover: "every machine that asks is taken in, whatever its disks hold"
        }
    }
}
