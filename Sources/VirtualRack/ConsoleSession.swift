internal import FoundationEssentials
internal import Glibc

/// A person at a machine's serial console.
public enum ConsoleSession {
    /// Ctrl-], as telnet has it.
    public static let leaveKey: UInt8 = 0x1d

    /// Joins this process's terminal to the console of a lab machine until
    /// Ctrl-], the end of the lab, or, where input is not a terminal, the end
    /// of input. Blocks the thread. A terminal is raw meanwhile and is put back.
    public static func attach(socketPath: String, machine: String) throws(LabError) {
        let socket = try connect(socketPath)
        defer { close(socket) }
        let surplus = try request(machine, socket, socketPath)
        guard writeAll(STDOUT_FILENO, surplus) else { return }

        sit(at: socket, machine)
    }

    /// Joins this process's terminal to a connected socket that carries a console both ways, as `attach` does. The
    /// socket stays open.
    public static func sit(at socket: Int32, _ machine: String) {
        var original = termios()
        let isTerminal = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &original) == 0
        if isTerminal {
            var raw = original
            cfmakeraw(&raw)
            tcsetattr(STDIN_FILENO, TCSANOW, &raw)
            _ = writeAll(STDERR_FILENO, Array("[console of \(machine); Ctrl-] leaves]\r\n".utf8))
        }
        defer {
            if isTerminal { tcsetattr(STDIN_FILENO, TCSANOW, &original) }
        }
        carry(socket)
    }

    private static func carry(_ socket: Int32) {
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        var sources = [
            pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
            pollfd(fd: socket, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            guard poll(&sources, 2, -1) >= 0 || errno == EINTR else { return }
            if sources[1].revents != 0 {
                let count = read(socket, &chunk, chunk.count)
                guard count > 0, writeAll(STDOUT_FILENO, chunk[..<count]) else { return }
            }
            if sources[0].revents != 0 {
                let count = read(STDIN_FILENO, &chunk, chunk.count)
                guard count > 0 else { return }
                let typed = chunk[..<count]
                let end = typed.firstIndex(of: leaveKey) ?? typed.endIndex
                guard writeAll(socket, typed[..<end]), end == typed.endIndex else { return }
            }
        }
    }

    private static func connect(_ path: String) throws(LabError) -> Int32 {
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8) + [0]
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { field in
            guard bytes.count <= field.count else { return false }
            field.copyBytes(from: bytes)
            return true
        }
        let connected =
            fits
            && withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
                }
            }
        guard connected else {
            close(socket)
            throw LabError(.notRunning, "no lab answers at \(path)", remedy: "Start one: `hostler lab up`.")
        }
        return socket
    }

    /// Asks for the console; returns the console bytes that came along with the answer.
    private static func request(_ machine: String, _ socket: Int32, _ path: String) throws(LabError) -> [UInt8] {
        guard let line = try? JSONEncoder().encode(LabRequest(verb: .console, machine: machine)),
            writeAll(socket, Array(line) + [UInt8(ascii: "\n")])
        else { throw LabClient.noAnswer(path) }
        var splitter = LineSplitter()
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(socket, &chunk, chunk.count)
            guard count > 0 else { throw LabClient.noAnswer(path) }
            guard let (answer, rest) = splitter.firstLine(after: chunk[..<count]) else { continue }
            guard let reply = try? JSONDecoder().decode(LabReply.self, from: Data(answer)) else {
                throw LabClient.noAnswer(path)
            }
            if let error = reply.error { throw error }
            return rest
        }
    }

    private static func writeAll(_ descriptor: Int32, _ bytes: some Collection<UInt8>) -> Bool {
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN {
                var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&ready, 1, -1)
                continue
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
