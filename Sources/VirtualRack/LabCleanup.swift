internal import FoundationEssentials
internal import Glibc

/// Removes a lab whose process may be dead, and proves it.
public enum LabCleanup {
    /// Ends the lab's processes (those whose pid and start time are on record),
    /// removes links, namespace and files, and returns what is left: nothing,
    /// or one line per trace.
    public static func removeAllTraces(
        of lab: LabName, stateDirectory: String = LabPaths.defaultStateDirectory
    ) async throws(LabError) -> [String] {
        await removeAllTraces(of: lab, paths: try LabPaths(lab, stateDirectory: stateDirectory))
    }

    static func removeAllTraces(of lab: LabName, paths: LabPaths) async -> [String] {
        if let owner = ProcessIdentity(file: paths.processFile), owner.pid != getpid() {
            owner.kill()
            _ = await owner.waitForEnd(atMost: .seconds(5))
        }
        var left = await endMachines(of: paths)
        let network = RackNetwork(lab: lab)
        // The machines' processes are on record and gone; anybody else inside is not ours to end.
        for pid in (try? await network.processes()) ?? [] where pid != getpid() {
            left.append("process \(pid) (\(name(of: pid))) is still in network namespace \(lab.namespace)")
        }
        do {
            try await network.remove()
        } catch {
            left.append("network namespace \(lab.namespace): \(error)")
        }
        try? FileManager.default.removeItem(atPath: paths.directory)
        return left + leftovers(of: lab, paths: paths)
    }

    /// What is to be seen of the lab on this machine now.
    public static func leftovers(
        of lab: LabName, stateDirectory: String = LabPaths.defaultStateDirectory
    ) throws(LabError) -> [String] {
        leftovers(of: lab, paths: try LabPaths(lab, stateDirectory: stateDirectory))
    }

    private static func leftovers(of lab: LabName, paths: LabPaths) -> [String] {
        var left: [String] = []
        if lab.namespaceExists { left.append("network namespace \(lab.namespace) exists") }
        if access(paths.directory, F_OK) == 0 { left.append("\(paths.directory) exists") }
        for pid in machineProcesses(of: lab) { left.append("QEMU process \(pid) runs") }
        return left
    }

    /// Ends every machine's process that is on record in the machines' folders.
    @discardableResult
    static func endMachines(of paths: LabPaths) async -> [String] {
        var left: [String] = []
        for name in (try? FileManager.default.contentsOfDirectory(atPath: paths.machines)) ?? [] {
            guard let process = ProcessIdentity(file: paths.machine(name).processFile) else { continue }
            process.kill()
            if await !process.waitForEnd(atMost: .seconds(10)) { left.append("process \(process.pid) does not end") }
            unlink(paths.machine(name).processFile)
        }
        return left
    }

    /// QEMU processes that carry the lab's name, by looking at all of /proc.
    private static func machineProcesses(of lab: LabName) -> [Int32] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.compactMap { Int32($0) }.filter { pid in
            guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") else { return false }
            let arguments = data.split(separator: 0, omittingEmptySubsequences: false).map {
                String(decoding: $0, as: UTF8.self)
            }
            guard arguments.first == QEMUCommand.program else { return false }
            // Not by -name: lab “a” with machine “b-c” reads like lab “a-b” with machine “c”.
            return arguments.contains { $0.hasPrefix("type=1,manufacturer=Hostler,") && $0.hasSuffix(",family=\(lab)") }
        }
    }

    private static func name(of pid: Int32) -> String {
        let data = FileManager.default.contents(atPath: "/proc/\(pid)/comm") ?? Data()
        return String(decoding: data, as: UTF8.self).split(separator: "\n").first.map(String.init) ?? "?"
    }
}
