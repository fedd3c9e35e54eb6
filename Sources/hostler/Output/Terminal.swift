internal import Glibc

/// What the output goes to.
struct Terminal: Sendable {
    /// Whether it is a terminal and not a pipe.
    var isInteractive: Bool
    var hasColour: Bool
    var columns: Int

    /// Standard output, as the environment and the terminal say (https://no-color.org).
    static let standard: Terminal = {
        let isTerminal = isatty(STDOUT_FILENO) == 1 && Environment["TERM"] != "dumb"
        var size = winsize()
        let hasSize = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 20
        return Terminal(
            isInteractive: isTerminal, hasColour: isTerminal && Environment["NO_COLOR"] == nil,
            columns: hasSize ? Int(size.ws_col) : 100)
    }()

    static let standardError = Terminal(
        isInteractive: false, hasColour: isatty(STDERR_FILENO) == 1 && Environment["NO_COLOR"] == nil, columns: 100)

    enum Colour: Int { case red = 31, green = 32, yellow = 33, blue = 34, grey = 90, bold = 1 }

    func paint(_ text: String, _ colour: Colour?) -> String {
        guard hasColour, let colour else { return text }
        return "\u{1b}[\(colour.rawValue)m\(text)\u{1b}[0m"
    }

    /// Writes at once, without a line end, and whatever it is: only for what moves the cursor on purpose, and for a
    /// machine's console, which is a terminal.
    static func write(_ text: String, to file: CInt = STDOUT_FILENO) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if count < 0, errno != EINTR { return }
            bytes = bytes.dropFirst(max(0, count))
        }
    }

    static func writeError(_ text: String) {
        write(shown(text, keepsColour: standardError.hasColour) + "\n", to: STDERR_FILENO)
    }
}

/// The process's environment; a variable that is empty counts as unset.
enum Environment {
    static subscript(name: String) -> String? {
        guard let value = getenv(name) else { return nil }
        let text = String(cString: value)
        return text.isEmpty ? nil : text
    }
}
