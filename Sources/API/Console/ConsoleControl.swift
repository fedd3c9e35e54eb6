public import Consoles
public import Model

/// What the API asks of machines' serial consoles.
public protocol ConsoleControl: Sendable {
    /// Whether a machine's console is heard, and why not.
    func consoleState(machine: String) async throws -> ConsoleState
    /// What it said and says, and where to type.
    func console(machine: String) async throws -> Console
}
