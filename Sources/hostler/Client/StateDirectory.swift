/// Where the server of this host keeps its record, unless a command is told otherwise.
enum StateDirectory {
    static let environmentName = "HOSTLER_STATE_DIR"
    static var standard: String { Environment[environmentName] ?? "/var/lib/hostler" }
}
