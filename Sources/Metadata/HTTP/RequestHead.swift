/// The head of a request to the metadata service, read strictly (RFC 9112): whoever writes HTTP in another way than
/// the standard's is not a client that a machine has.
public struct RequestHead: Sendable, Equatable {
    /// In bytes: request line and fields with their ends.
    public static let limitBytes = 8192
    public static let lineLimitBytes = 4096
    public static let fieldLimit = 48

    public enum Method: Sendable, Equatable { case get, head, put, other }

    public var method: Method
    public var target: RequestTarget
    /// The host without its port; nil: HTTP/1.0 without one.
    public var host: String?
    /// `X-Forwarded-For`, `Forwarded` or `Via`: the request came through a proxy.
    public var isForwarded = false
    public var token: String?
    /// `X-aws-ec2-metadata-token-ttl-seconds` as it was written.
    public var tokenSeconds: String?
    /// `X-Hostler-Key`
    public var key: String?
    public var wantsClose: Bool

    private var hasKeyInPath: Bool { target.parts.count >= 2 && target.parts[0] == "k" }
    /// The machine's key: the one in the path (`/k/KEY/…`, for clients that know no header), else the header's.
    public var shownKey: String? { hasKeyInPath ? target.parts[1] : key }
    /// Which machine the request says it is of; nil: it says nothing of that.
    public var claim: MachineClaim? { MachineClaim(key: shownKey, token: token) }
    /// What is asked for.
    var pathBehindKey: ArraySlice<String> { hasKeyInPath ? target.parts[2...] : target.parts[...] }

    /// What came of the bytes so far.
    public enum Outcome: Sendable, Equatable {
        case incomplete
        /// A head, and how many bytes it was.
        case head(RequestHead, byteCount: Int)
        /// Not to be answered with anything but this status; the connection cannot go on.
        case refused(status: Int)
    }

    /// Reads the first head of `bytes`.
    public static func read(_ bytes: ArraySlice<UInt8>) -> Outcome {
        guard let end = endOfHead(bytes) else {
            if bytes.count > limitBytes { return .refused(status: 400) }
            return .incomplete
        }
        guard end - bytes.startIndex <= limitBytes else { return .refused(status: 400) }
        guard let head = parse(bytes[bytes.startIndex..<end]) else { return .refused(status: 400) }
        return head.map { .head($0, byteCount: end - bytes.startIndex) } ?? .refused(status: 400)
    }

    /// The index after the empty line.
    private static func endOfHead(_ bytes: ArraySlice<UInt8>) -> Int? {
        let count: Int? = bytes.withUnsafeBufferPointer { raw in
            var index = 3
            while index < raw.count {
                // Only a byte that may end the empty line is worth a look; else the next three cannot either.
                switch raw[index] {
                case 10:
                    if raw[index - 1] == 13, raw[index - 2] == 10, raw[index - 3] == 13 { return index + 1 }
                    index += 1
                case 13: index += 1
                default: index += 2
                }
            }
            return nil
        }
        return count.map { bytes.startIndex + $0 }
    }

    private init(method: Method, target: RequestTarget, isHTTP10: Bool) {
        self.method = method
        self.target = target
        wantsClose = isHTTP10
    }

    /// Nil inside: malformed. (Two levels, so that `read` maps both to one status.)
    private static func parse(_ bytes: ArraySlice<UInt8>) -> RequestHead?? {
        var lines = Lines(bytes)
        guard let first = lines.next(), var head = requestLine(first) else { return nil }
        let isHTTP10 = head.wantsClose
        var fields = 0
        var hosts = 0
        while let line = lines.next() {
            if line.isEmpty {
                guard lines.isAtEnd, isHTTP10 || hosts == 1 else { return nil }
                return head
            }
            fields += 1
            guard fields <= fieldLimit, line.count <= lineLimitBytes, let (nameBytes, valueBytes) = field(line) else { return nil }
            // Most fields do not matter; a look at the length spares the making of text.
            guard nameBytes.count < 64, lengths & 1 << UInt64(nameBytes.count) != 0 else { continue }
            let name = String(decoding: nameBytes.map { (65...90).contains($0) ? $0 + 32 : $0 }, as: UTF8.self)
            let value = String(decoding: valueBytes, as: UTF8.self)
            switch name {
            case "host":
                hosts += 1
                guard hosts == 1, let host = hostName(value) else { return nil }
                // RFC 9112 §3.2.2: a target in absolute form says the host.
                head.host = head.target.host ?? host
            case "x-forwarded-for", "forwarded", "via": head.isForwarded = true
            case "x-aws-ec2-metadata-token":
                guard head.token == nil else { return nil }
                head.token = value
            case "x-aws-ec2-metadata-token-ttl-seconds":
                guard head.tokenSeconds == nil else { return nil }
                head.tokenSeconds = value
            case "x-hostler-key":
                guard head.key == nil else { return nil }
                head.key = value
            case "connection":
                let options = value.lowercased().split(separator: ",").map { $0.filter { $0 != " " } }
                if options.contains("close") { head.wantsClose = true }
                if isHTTP10, options.contains("keep-alive") { head.wantsClose = false }
            // Nothing here takes a body.
            case "content-length": guard value == "0" else { return nil }
            case "transfer-encoding", "upgrade", "expect": return nil
            default: break
            }
        }
        return nil
    }

    private static func requestLine(_ line: ArraySlice<UInt8>) -> RequestHead? {
        guard line.count <= lineLimitBytes else { return nil }
        let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 3, (1...20).contains(parts[0].count), parts[0].allSatisfy(isTokenByte) else { return nil }
        let version = Array(parts[2])
        guard version == Array("HTTP/1.1".utf8) || version == Array("HTTP/1.0".utf8) else { return nil }
        let method: Method =
            switch String(decoding: parts[0], as: UTF8.self) {
            case "GET": .get
            case "HEAD": .head
            case "PUT": .put
            default: .other
            }
        guard let target = RequestTarget(parts[1]) else { return nil }
        return RequestHead(method: method, target: target, isHTTP10: version.last == UInt8(ascii: "0"))
    }

    /// Bit n: a field that matters has a name of n bytes.
    private static let lengths = [
        "host", "x-forwarded-for", "forwarded", "via", "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds",
        "x-hostler-key", "connection", "content-length", "transfer-encoding", "upgrade", "expect",
    ].reduce(UInt64(0)) { $0 | 1 << UInt64($1.utf8.count) }

    private static func field(_ line: ArraySlice<UInt8>) -> (name: ArraySlice<UInt8>, value: ArraySlice<UInt8>)? {
        let ends: (colon: Int, first: Int, last: Int)? = line.withUnsafeBufferPointer { raw in
            var colon = 0
            // No space before the colon, no folded line (RFC 9112 §5.1, §5.2).
            while colon < raw.count, colon <= 64, isTokenByte(raw[colon]) { colon += 1 }
            guard colon > 0, colon <= 64, colon < raw.count, raw[colon] == UInt8(ascii: ":") else { return nil }
            var first = colon + 1
            var last = raw.count
            while first < last, raw[first] == 32 || raw[first] == 9 { first += 1 }
            while last > first, raw[last - 1] == 32 || raw[last - 1] == 9 { last -= 1 }
            for index in first..<last where (raw[index] < 32 && raw[index] != 9) || raw[index] == 127 { return nil }
            return (colon, first, last)
        }
        guard let ends else { return nil }
        let start = line.startIndex
        return (line[start..<start + ends.colon], line[start + ends.first..<start + ends.last])
    }

    /// RFC 9110 §5.6.2.
    @inline(__always)
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 97...122, 65...90, 48...57, 33, 35...39, 42, 43, 45, 46, 94...96, 124, 126: true
        default: false
        }
    }

    static func hostName(_ value: String) -> String? {
        guard !value.isEmpty, value.utf8.count <= 255 else { return nil }
        var name = Substring(value)
        if name.hasPrefix("[") {
            guard let close = name.firstIndex(of: "]"), isPort(name[name.index(after: close)...]) else { return nil }
            name = name[...close]
        } else if let colon = name.firstIndex(of: ":") {
            guard isPort(name[colon...]) else { return nil }
            name = name[..<colon]
        }
        return name.isEmpty ? nil : name.lowercased()
    }

    /// What may follow a host (RFC 3986 §3.2): nothing, or a colon and digits, of which there may be none.
    private static func isPort(_ rest: Substring) -> Bool {
        rest.isEmpty || (rest.first == ":" && rest.utf8.dropFirst().allSatisfy { (48...57).contains($0) })
    }

    /// Lines that end in CR LF; a CR or LF that stands alone is none (the rest is then no line at all).
    private struct Lines {
        private var rest: ArraySlice<UInt8>
        init(_ bytes: ArraySlice<UInt8>) { rest = bytes }
        var isAtEnd: Bool { rest.isEmpty }

        mutating func next() -> ArraySlice<UInt8>? {
            let count: Int? = rest.withUnsafeBufferPointer { raw in
                var index = 0
                while index < raw.count, raw[index] != 13, raw[index] != 10 { index += 1 }
                guard index + 1 < raw.count, raw[index] == 13, raw[index + 1] == 10 else { return nil }
                return index
            }
            guard let count else { return nil }
            let end = rest.startIndex + count
            let line = rest[rest.startIndex..<end]
            rest = rest[(end + 2)...]
            return line
        }
    }
}
