internal import FoundationEssentials
internal import Glibc
public import Wire

/// Starts a lab process that outlives the command that started it.
public enum LabLauncher {
    /// The program that runs now.
    public static var thisExecutable: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    }

    /// Starts `executable lab run …`, detached, and waits until it answers.
    /// A lab that runs already is left as it is.
    public static func up(
        executable: String, lab: LabName, server: IPv4Prefix,
        stateDirectory: String = LabPaths.defaultStateDirectory, timeout: Duration = .seconds(60)
    ) async throws -> LabClient {
        let paths = try LabPaths(lab, stateDirectory: stateDirectory)
        let client = LabClient(socketPath: paths.controlSocket)
        if (try? await client.status()) != nil { return client }

        try FileManager.default.createDirectory(
            atPath: paths.directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let process = try Spawn.start(
            [
                executable, "lab", "run", "--name", lab.text, "--prefix", server.description, "--state-dir",
                stateDirectory,
            ], logPath: paths.log, diesWithParent: false)
        let deadline = ContinuousClock.now + timeout
        while ContinuousClock.now < deadline {
            if (try? await client.status()) != nil { return client }
            guard process.isAlive else { break }
            try await Task.sleep(for: .milliseconds(50))
        }
        let said = FileManager.default.contents(atPath: paths.log).map { String(decoding: $0, as: UTF8.self) } ?? ""
        throw LabError(
            .notRunning,
            "the lab process \(process.isAlive ? "does not answer" : "ended"): "
                + said.split(separator: "\n").suffix(3).joined(separator: "; "),
            remedy: "See \(paths.log); `hostler lab down --name \(lab)` clears what is left.")
    }

    /// Takes a lab down, whether its process lives or not. Returns what is left: nothing.
    public static func down(
        lab: LabName, stateDirectory: String = LabPaths.defaultStateDirectory
    ) async throws -> [String] {
        let paths = try LabPaths(lab, stateDirectory: stateDirectory)
        let owner = ProcessIdentity(file: paths.processFile)
        do {
            let left = try await LabClient(socketPath: paths.controlSocket).down()
            if let owner, owner.pid != getpid() { _ = await owner.waitForEnd(atMost: .seconds(10)) }
            if left.isEmpty { return try LabCleanup.leftovers(of: lab, stateDirectory: stateDirectory) }
        } catch is LabError {
            // Nobody answers: what the process would have done is done here.
        }
        return try await LabCleanup.removeAllTraces(of: lab, stateDirectory: stateDirectory)
    }
}
