/// What is typed, so that `ipmitool` passes on all of it: at a line's start its escape character must be doubled.
struct SOLTyping: Sendable {
    static let escape = UInt8(ascii: "~")
    /// The program takes the first character for a line's first.
    private var isAtLineStart = true

    mutating func pass(_ bytes: [UInt8]) -> [UInt8] {
        var passed: [UInt8] = []
        passed.reserveCapacity(bytes.count + 1)
        for byte in bytes {
            if isAtLineStart, byte == Self.escape { passed.append(byte) }
            passed.append(byte)
            isAtLineStart = byte == 0x0d || byte == 0x0a
        }
        return passed
    }
}

/// What `ipmitool sol activate` prints: words of its own, and from the line that says so on the machine's.
struct SOLPrinting: Sendable {
    private static let began = Array("[SOL Session operational".utf8)
    private static let preambleLimitBytes = 4096
    private var preamble: [UInt8] = []
    private(set) var isOperational = false

    /// The machine's bytes among `bytes`.
    mutating func pass(_ bytes: [UInt8]) -> [UInt8] {
        if isOperational { return bytes }
        preamble += bytes
        guard let end = preamble.firstIndex(of: UInt8(ascii: "\n")) else {
            // No line of the program's is so long.
            if preamble.count > Self.preambleLimitBytes { preamble.removeAll() }
            return []
        }
        let line = preamble[..<end]
        let rest = Array(preamble[(end + 1)...])
        preamble = []
        isOperational = line.starts(with: Self.began)
        return isOperational ? rest : pass(rest)
    }
}
