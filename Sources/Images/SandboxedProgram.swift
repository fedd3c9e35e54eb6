internal import CLinux
internal import Glibc
internal import Model

/// A program of the host that reads what strangers made. It has no privileges, no network, and of the files only those
/// that it is given (docs/security-hardening.md); it is ended when its time, its memory or the disk's room is used up.
struct SandboxedProgram {
    struct Limits {
        /// Address space. qemu-img takes some 300 MB of it, most of which is never touched.
        var memoryBytes: UInt64 = 2 << 30
        /// The largest file that it may write.
        var fileBytes: UInt64
        var processorSeconds: UInt32
        var bounds: ImportBounds
    }

    struct Result {
        var output: String
        var errors: String
        var ending: Ending
    }

    enum Ending: Equatable {
        case exited(Int32)
        case signaled(Int32)
        var isSuccess: Bool { self == .exited(0) }
    }

    let name: String
    /// Debian's package that has it.
    let package: String

    /// Programs and libraries of the system, and what the loader reads.
    private static let system = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom"]
    private static let folders = ["/usr/local/bin", "/usr/bin", "/bin"]
    private static let openFiles: UInt32 = 64
    /// `qemu-img info` of an image with hundreds of snapshots says no more.
    private static let outputLimitBytes = 1 << 20

    /// - Parameters:
    ///   - readable: absolute paths that it may read.
    ///   - writable: absolute paths of files that exist, which it may write.
    func run(_ arguments: [String], readable: [String], writable: [String] = [], limits: Limits) async throws -> Result {
        guard let path = Self.folders.map({ $0 + "/" + name }).first(where: { access($0, X_OK) == 0 }) else {
            throw Problem(
                "program-missing", status: 500, title: "The program “\(name)” is not there", remedy: "apt-get install \(package)")
        }
        let output = try Pipe()
        let errors = try Pipe()
        let started = start(
            path, arguments, readable: Self.system + readable, writable: ["/dev/null"] + writable, limits: limits,
            output: output.far, errors: errors.far)
        guard started > 0 else {
            throw Problem(
                "sandbox-failed", status: 500, title: "“\(name)” could not be started in its sandbox",
                detail: String(cString: strerror(-started)), remedy: "See docs/security-hardening.md.")
        }
        output.closeFar()
        errors.closeFar()
        return try await Self.attend(started, output, errors, limits.bounds)
    }

    private func start(
        _ path: String, _ arguments: [String], readable: [String], writable: [String], limits: Limits, output: Int32, errors: Int32
    ) -> pid_t {
        // A few arenas of 64 MiB each would be a good part of the address space.
        let environment = ["PATH=/usr/bin:/bin", "LC_ALL=C", "MALLOC_ARENA_MAX=2"]
        return Self.withTexts([path] + arguments) { argv in
            Self.withTexts(environment) { envp in
                Self.withTexts(readable) { readable in
                    Self.withTexts(writable) { writable in
                        func constant(
                            _ texts: UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?>
                        ) -> UnsafePointer<UnsafePointer<CChar>?>? {
                            UnsafeRawPointer(texts.baseAddress)?.assumingMemoryBound(to: UnsafePointer<CChar>?.self)
                        }
                        var sandbox = clinux_sandbox(
                            readable: constant(readable), writable: constant(writable), memory_bytes: limits.memoryBytes,
                            file_bytes: limits.fileBytes, cpu_seconds: limits.processorSeconds, open_files: Self.openFiles)
                        return withUnsafePointer(to: &sandbox) { sandbox in
                            var request = clinux_spawn_request(
                                path: argv[0], argv: argv.baseAddress, netns: nil, envp: envp.baseAddress, log_fd: output,
                                error_fd: errors, sandbox: sandbox, dies_with_parent: 1, new_session: 1)
                            return clinux_spawn(&request)
                        }
                    }
                }
            }
        }
    }

    /// C's form of a list of texts: an array that ends with NULL.
    private static func withTexts<Value>(
        _ texts: [String], _ body: (UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?>) -> Value
    ) -> Value {
        var pointers: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeMutableBufferPointer { body($0) }
    }

    /// Reads what the program says until it has ended, and ends it where it may not go on.
    private static func attend(_ pid: pid_t, _ output: Pipe, _ errors: Pipe, _ bounds: ImportBounds) async throws -> Result {
        var pause = Duration.milliseconds(2)
        do {
            while true {
                try output.drain(limitBytes: outputLimitBytes)
                try errors.drain(limitBytes: outputLimitBytes)
                if let ending = ending(of: pid, wait: false) {
                    try output.drain(limitBytes: outputLimitBytes)
                    try errors.drain(limitBytes: outputLimitBytes)
                    return Result(output: output.text, errors: errors.text, ending: ending)
                }
                try bounds.check()
                try await Task.sleep(for: pause)
                pause = min(pause * 2, .milliseconds(100))
            }
        } catch {
            kill(pid, SIGKILL)
            _ = ending(of: pid, wait: true)
            throw error
        }
    }

    private static func ending(of pid: pid_t, wait: Bool) -> Ending? {
        var status: Int32 = 0
        var result: pid_t
        repeat { result = waitpid(pid, &status, wait ? 0 : WNOHANG) } while result < 0 && errno == EINTR
        guard result == pid else { return result == 0 ? nil : .exited(-1) }
        let signal = status & 0x7f
        return signal == 0 ? .exited(status >> 8 & 0xff) : .signaled(signal)
    }

    /// What a program writes to us.
    private final class Pipe {
        private(set) var far: Int32
        private let near: Int32
        private var bytes: [UInt8] = []
        var text: String { String(decoding: bytes, as: UTF8.self) }

        init() throws(Problem) {
            var ends: [Int32] = [-1, -1]
            let made = agent_pipe(&ends)
            guard made == 0 else { throw .file("make", "a pipe", -made) }
            (near, far) = (ends[0], ends[1])
            _ = fcntl(near, F_SETFL, O_NONBLOCK)
        }

        func closeFar() {
            if far >= 0 { close(far) }
            far = -1
        }

        func drain(limitBytes: Int) throws(Problem) {
            var buffer = [UInt8](repeating: 0, count: 16 << 10)
            while true {
                let count = read(near, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return }
                bytes += buffer.prefix(count)
                guard bytes.count <= limitBytes else {
                    throw Problem("image-refused", title: "The image's description is too long", detail: "It has more than \(limitBytes) bytes.")
                }
            }
        }

        deinit {
            closeFar()
            close(near)
        }
    }
}
