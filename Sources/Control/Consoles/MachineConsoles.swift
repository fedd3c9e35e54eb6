internal import Consoles
internal import FoundationEssentials
internal import Model
internal import Synchronization

/// The serial consoles of all machines: what they said last, in memory and, where there is a folder for it, on disk.
final class MachineConsoles: Sendable {
    /// What a person who sits down is shown first.
    static let memoryBytes = 64 << 10
    /// Of each of a machine's two files.
    static let fileBytes = 1 << 20
    /// Lines that go into a hold, and into the event of a failure.
    static let tailLines = 40

    private struct Entry: Sendable {
        var console: Console
        var isConnected = false
        var since: Timestamp?
        var problem: Problem?
        /// Whose session it is; one that ends late must not end the next one's.
        var holder: ConsoleHolder?
    }

    private let directory: String?
    private let entries = Mutex<[MachineID: Entry]>([:])

    init(directory: String?) {
        self.directory = directory
        if let directory {
            // Without it consoles are kept in memory only.
            try? FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
    }

    func console(of machine: MachineID) -> Console {
        entries.withLock { entries in
            if let known = entries[machine] { return known.console }
            var keeping = Console.Keeping(path: directory.map { "\($0)/\(machine).log" })
            keeping.memoryBytes = Self.memoryBytes
            keeping.fileBytes = Self.fileBytes
            keeping.resumes = true
            let console = Console(keeping)
            entries[machine] = Entry(console: console)
            return console
        }
    }

    func state(of machine: MachineID) -> ConsoleState {
        let console = console(of: machine)
        var state = ConsoleState(machine: machine)
        entries.withLock { entries in
            guard let entry = entries[machine] else { return }
            state.connected = entry.isConnected
            state.since = entry.since
            state.problem = entry.problem
        }
        state.recordedBytes = console.recordedBytes
        state.readers = console.readerCount
        return state
    }

    /// It is heard from now on, and typed at by `keyboard`.
    func connected(
        _ machine: MachineID, _ holder: ConsoleHolder, by address: String, at now: Timestamp, keyboard: @escaping @Sendable ([UInt8]) -> Bool
    ) {
        let console = console(of: machine)
        console.mark("hostler: console connected, by \(address) \(now)")
        entries.withLock {
            $0[machine]?.isConnected = true
            $0[machine]?.since = now
            $0[machine]?.problem = nil
            $0[machine]?.holder = holder
            console.setKeyboard(keyboard)
        }
    }

    /// It is not, or no longer. A mark only where it was: else a BMC that is away would fill the record.
    func disconnected(_ machine: MachineID, _ holder: ConsoleHolder, _ problem: Problem?, at now: Timestamp) {
        let console = console(of: machine)
        let wasConnected = entries.withLock { entries in
            guard var entry = entries[machine], !entry.isConnected || entry.holder === holder else { return false }
            let was = entry.isConnected
            entry.isConnected = false
            entry.holder = nil
            if was { entry.since = now }
            entry.problem = problem
            entries[machine] = entry
            console.setKeyboard(nil)
            return was
        }
        if wasConnected { console.mark("hostler: console lost \(now)") }
    }

    /// What it said last, in lines for people.
    func tail(of machine: MachineID) -> [String] {
        guard let console = entries.withLock({ $0[machine]?.console }) else { return [] }
        return ConsoleText.lastLines(Self.tailLines, of: console.contents.suffix(16 << 10))
    }
}

/// One session at one console.
final class ConsoleHolder: Sendable {}
