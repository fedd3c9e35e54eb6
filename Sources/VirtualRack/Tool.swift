internal import Subprocess

/// A program of the system, run to its end.
struct Tool: Sendable {
    /// Also searched in the system's sbin folders, which a user's PATH may lack.
    let name: String

    static let ip = Tool(name: "ip")
    static let tc = Tool(name: "tc")
    static let qemuImage = Tool(name: "qemu-img")

    /// Its standard output, at most 1 MiB. Throws `.commandFailed` with what it
    /// said on standard error, `.missingProgram` where it is not installed.
    @discardableResult
    func run(_ arguments: [String]) async throws -> String {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        do {
            let result = try await Subprocess.run(
                .name(name), arguments: Arguments(arguments), environment: .inherit.updating(["PATH": path]),
                output: .string(limit: 1 << 20), error: .string(limit: 64 << 10))
            guard result.terminationStatus.isSuccess else {
                let said = result.standardError.split(separator: "\n").joined(separator: "; ")
                throw LabError(
                    .commandFailed, "\(name) \(arguments.joined(separator: " ")): \(said)",
                    remedy: "The lab needs root and iproute2; `hostler doctor` checks them.")
            }
            return result.standardOutput
        } catch let error as SubprocessError {
            throw LabError(
                .missingProgram, "\(name) could not be started (\(error))",
                remedy: "Install it: apt install iproute2 qemu-system-x86 qemu-utils ovmf ipxe-qemu.")
        }
    }
}
