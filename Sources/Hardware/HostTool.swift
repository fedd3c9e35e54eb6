internal import Model
internal import Subprocess

/// A program of the host, run to its end with a limit of time. Secrets go by its environment or its standard
/// input, never by its arguments: those stand in the process list.
struct HostTool: Sendable {
    var name: String
    /// Debian's package that has it; nil: an operator's own program.
    var package: String?

    struct Result: Sendable {
        var status: Int
        var output: String
        var errors: String
    }

    static let outputLimitBytes = 1 << 20

    /// - Parameter namespace: the network namespace to run it in, as `ip netns` names it.
    func run(
        _ arguments: [String], environment: [String: String] = [:], input: String = "", namespace: String? = nil, timeout: Duration
    ) async throws -> Result {
        if let namespace {
            let result = try await HostTool(name: "ip", package: "iproute2").run(
                ["netns", "exec", namespace, name] + arguments, environment: environment, input: input, timeout: timeout)
            if result.status != 0, result.errors.hasPrefix("exec of \"") { throw missing }
            return result
        }
        let (executable, variables) = (executable, Self.variables(environment))
        return try await Deadline.within(
            timeout, else: .bmc("silent", "“\(name)” did not end within \(timeout.wholeMilliseconds / 1000) s", remedy: "The BMC behind it may hang.")
        ) {
            do {
                let result = try await Subprocess.run(
                    executable, arguments: Arguments(arguments), environment: .inherit.updating(variables), platformOptions: Self.platform,
                    input: .string(input), output: .string(limit: Self.outputLimitBytes), error: .string(limit: 64 << 10))
                return Result(status: result.terminationStatus.shellStatus, output: result.standardOutput, errors: result.standardError)
            } catch let error as SubprocessError where error.code == .executableNotFound {
                throw missing
            } catch let error as SubprocessError {
                try Task.checkCancellation()
                throw Problem.bmc(
                    "error", "“\(name)” could not be run to its end", detail: "\(error)",
                    remedy: "May it be executed, and does it print no more than \(Self.outputLimitBytes >> 20) MiB?")
            }
        }
    }

    var executable: Executable { name.hasPrefix("/") ? .path(.init(name)) : .name(name) }

    /// What a program gets beside the environment that we have.
    static func variables(_ own: [String: String]) -> [Environment.Key: String?] {
        var variables: [Environment.Key: String?] = [
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
        ]
        for (key, value) in own { variables[Environment.Key(rawValue: key) ?? "_"] = value }
        return variables
    }

    /// In a session of its own, so that what it started ends with it: a child that is left would hold its output open.
    static var platform: PlatformOptions {
        var options = PlatformOptions()
        options.createSession = true
        options.teardownSequence = [.send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .milliseconds(100))]
        return options
    }

    var missing: Problem {
        Problem(
            "tool-missing", status: 500, title: "The program “\(name)” is not there",
            remedy: package.map { "apt-get install \($0)" } ?? "Is its path right, and may it be executed?")
    }
}

extension TerminationStatus {
    /// As a shell tells it: the exit code, or 128 and the signal's number.
    var shellStatus: Int {
        switch self {
        case .exited(let code): Int(code)
        case .signaled(let signal): 128 + Int(signal)
        }
    }
}
