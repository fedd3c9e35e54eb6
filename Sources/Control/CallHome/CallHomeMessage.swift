public import Model
internal import Wire

/// What an installed system says when it calls home, in lines of ASCII:
///
///     hostler-call-home 1
///     operation op-7f3k2q9a
///     nonce 64 hexadecimal digits
///     instance op-7f3k2q9a
///     hostname web-1
///     cloud-init finished
///     key ssh-ed25519 AAAA…
///     code 64 hexadecimal digits
///
/// Lines of names that are not known here are passed over; the code stands for them too.
public struct CallHomeMessage: Sendable, Equatable {
    /// An RSA key of 16,384 bits is below 3 KiB.
    static let limitBytes = 16 << 10
    static let keyLimit = 8

    public var operation: OperationID
    public var nonce: String
    public var instance: String?
    public var hostname: String?
    /// `finished`, or how far cloud-init was.
    public var cloudInit: String?
    /// In the form of known_hosts, without the host.
    public var hostKeys: [String] = []
    /// What the code was made of.
    let text: [UInt8]
    let code: String

    public init(parsing body: [UInt8]) throws(Problem) {
        guard body.count <= Self.limitBytes, body.last == UInt8(ascii: "\n"),
            body.allSatisfy({ (0x20...0x7e).contains($0) || $0 == UInt8(ascii: "\n") })
        else { throw Self.malformed }
        let lines = body.dropLast().split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        guard lines.count <= 64, lines.first == "hostler-call-home 1", let last = lines.last else { throw Self.malformed }
        var operation: OperationID?
        var nonce: String?
        for line in lines.dropFirst().dropLast() {
            guard let space = line.firstIndex(of: " ") else { continue }
            let value = String(line[line.index(after: space)...])
            switch line[..<space] {
            case "operation": operation = OperationID(rawValue: value)
            case "nonce": nonce = Self.isDigits(value) ? value : nil
            case "instance": instance = PrintableText.line(value, limitBytes: 64)
            case "hostname": hostname = PrintableText.line(value, limitBytes: 253)
            case "cloud-init": cloudInit = PrintableText.line(value, limitBytes: 64)
            case "key" where hostKeys.count < Self.keyLimit && value.utf8.count < 4096: hostKeys.append(value)
            default: break
            }
        }
        guard let operation, let nonce, last.hasPrefix("code "), Self.isDigits(last.dropFirst(5)) else { throw Self.malformed }
        self.operation = operation
        self.nonce = nonce
        code = String(last.dropFirst(5))
        text = Array(body.dropLast(last.utf8.count + 2))
    }

    private static func isDigits(_ text: some StringProtocol) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }

    private static let malformed = Problem("call-home-malformed", title: "That is no call home")
}

/// What a call home is answered with. The system believes either only with its code, so nobody else ends its calls.
enum CallHomeAnswer: String, Sendable {
    /// The proof is in the record.
    case acknowledged
    /// The record has another system on the machine, or none, by later work.
    case superseded
}
