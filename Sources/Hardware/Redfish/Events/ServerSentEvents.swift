/// The WHATWG's event stream (HTML Standard §9.2.6), piece by piece as it comes.
public struct ServerSentEvents: Sendable {
    public struct Event: Sendable, Equatable {
        public var id: String?
        /// `message` where the stream names none.
        public var type: String
        public var data: String
    }

    public enum ParseError: Error, Equatable { case tooLong }

    /// Of one event, with all its lines.
    public static let byteLimit = 1 << 20

    /// After what time the stream wants to be asked again, where it says.
    private(set) public var retryMilliseconds: Int?
    private var line: [UInt8] = []
    private var data: [UInt8] = []
    private var hasData = false
    private var type = ""
    private var id: String?
    private var lastWasReturn = false
    private var isAtStart = true

    public init() {}

    /// The events that end in `bytes`. Throws where one is longer than anybody's.
    public mutating func receive(_ bytes: some Sequence<UInt8>) throws(ParseError) -> [Event] {
        var events: [Event] = []
        for byte in bytes {
            // A line ends with CR, LF, or both.
            let isSecondHalf = lastWasReturn && byte == UInt8(ascii: "\n")
            lastWasReturn = byte == UInt8(ascii: "\r")
            if isSecondHalf { continue }
            if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
                if let event = endLine() { events.append(event) }
            } else {
                line.append(byte)
                guard line.count + data.count <= Self.byteLimit else { throw .tooLong }
            }
        }
        return events
    }

    private mutating func endLine() -> Event? {
        defer { line.removeAll(keepingCapacity: true) }
        if isAtStart, line.starts(with: [0xef, 0xbb, 0xbf]) { line.removeFirst(3) }
        isAtStart = false
        guard !line.isEmpty else { return dispatch() }
        guard line.first != UInt8(ascii: ":") else { return nil }
        let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
        let field = String(decoding: line[..<colon], as: UTF8.self)
        var value = line[colon...].dropFirst()
        if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
        switch field {
        case "data":
            if hasData { data.append(UInt8(ascii: "\n")) }
            data += value
            hasData = true
        case "event": type = String(decoding: value, as: UTF8.self)
        case "id" where !value.contains(0): id = String(decoding: value.prefix(256), as: UTF8.self)
        case "retry" where !value.isEmpty && value.allSatisfy({ (0x30...0x39).contains($0) }):
            retryMilliseconds = Int(String(decoding: value.prefix(9), as: UTF8.self))
        default: break
        }
        return nil
    }

    private mutating func dispatch() -> Event? {
        defer {
            data = []
            hasData = false
            type = ""
        }
        guard hasData else { return nil }
        return Event(id: id, type: type.isEmpty ? "message" : type, data: String(decoding: data, as: UTF8.self))
    }
}
