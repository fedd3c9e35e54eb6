/// When machines' serial consoles are held.
public struct ConsolePolicy: Sendable, Equatable, Codable {
    public enum Recording: String, Sendable, Codable, CaseIterable {
        /// As long as the BMC lets us: what a machine says before it dies at night is what is wanted.
        case always
        /// While a machine has an open operation, or somebody sits at its console: where BMCs have few sessions.
        case operations
        case never
    }

    public var record: Recording

    public init(record: Recording = .always) { self.record = record }
}
