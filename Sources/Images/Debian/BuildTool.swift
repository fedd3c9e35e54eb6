internal import Model
internal import Subprocess

/// A program of the host that the image build runs.
struct BuildTool: Sendable {
    let name: String
    /// Debian's package that has it.
    let package: String

    static let aptGet = BuildTool(name: "apt-get", package: "apt")
    static let aptConfig = BuildTool(name: "apt-config", package: "apt")
    static let mmdebstrap = BuildTool(name: "mmdebstrap", package: "mmdebstrap")
    static let chroot = BuildTool(name: "chroot", package: "coreutils")
    static let remove = BuildTool(name: "rm", package: "coreutils")
    static let sfdisk = BuildTool(name: "sfdisk", package: "fdisk")
    static let makeExt4 = BuildTool(name: "mke2fs", package: "e2fsprogs")
    static let makeFAT = BuildTool(name: "mkfs.vfat", package: "dosfstools")
    static let makeFATDirectory = BuildTool(name: "mmd", package: "mtools")
    static let copyToFAT = BuildTool(name: "mcopy", package: "mtools")

    /// Runs it to its end and returns its standard output (at most 4 MiB); what it says on standard error goes to
    /// `progress` line by line, and its last lines into the error.
    @discardableResult
    func callAsFunction(
        _ arguments: [String], environment: [String: String] = [:], input: String = "",
        progress: @Sendable (String) -> Void = { _ in }
    ) async throws -> String {
        var variables: [Environment.Key: String?] = [
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
        ]
        for (key, value) in environment { variables[Environment.Key(rawValue: key) ?? "_"] = value }
        let result: ExecutionResult<[String], StringOutput<UTF8>, SequenceOutput>
        do {
            result = try await run(
                .name(name), arguments: Arguments(arguments), environment: .inherit.updating(variables),
                input: .string(input), output: .string(limit: 4 << 20), error: .sequence
            ) { execution in
                var tail: [String] = []
                for try await line in execution.standardError.strings() {
                    progress(String(line))
                    tail = tail.suffix(Self.tailLines - 1) + [String(line)]
                }
                return tail
            }
        } catch let error as SubprocessError where error.code == .executableNotFound {
            throw Problem(
                "tool-missing", status: 500, title: "The program “\(name)” is not installed",
                remedy: "apt-get install \(package)")
        }
        guard result.terminationStatus.isSuccess else {
            throw Problem(
                "image-build-failed", status: 500, title: "“\(name)” ended with \(result.terminationStatus)",
                detail: result.closureResult.joined(separator: "\n"))
        }
        return result.standardOutput
    }

    private static let tailLines = 12
}
