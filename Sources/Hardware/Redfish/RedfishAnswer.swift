public import Model
internal import Wire

/// What a BMC's answer says, told to programs as JSON and to operators as a `Problem`.
public struct RedfishAnswer: Sendable {
    public var reply: RedfishReply
    /// Null where there was no body.
    public var json: JSON
    public var etag: String? { reply.headers["etag"] ?? json["@odata.etag"]?.text }

    /// A larger body is not read to its end.
    public static let bodyLimitBytes = 1 << 20

    /// Throws what an operator should be told where the answer is no success or no JSON.
    public init(_ reply: RedfishReply, to request: RedfishRequest, from address: String) throws(Problem) {
        self.reply = reply
        let what = "\(request.method.rawValue) \(request.path)"
        guard reply.isSuccess else { throw Self.failure(reply, what, address) }
        guard !reply.body.allSatisfy({ $0 <= 0x20 }) else {
            guard request.method != .get || reply.status == 204 || reply.status == 202 else {
                throw .bmc("truncated", "The BMC at \(address) answered with nothing", detail: what, remedy: Self.garbageRemedy)
            }
            json = .null
            return
        }
        do throws(JSONParseError) {
            json = try JSONParser.parse(reply.body)
        } catch {
            // What an action answers is often a page or plain text; its effect is read back anyway.
            guard request.method == .get else {
                json = .null
                return
            }
            throw Self.garbage(reply, error, what, address)
        }
    }

    private static let garbageRemedy =
        "If it was just restarted, it may need minutes. Else update its firmware, or use IPMI: hostler bmc add --kind ipmi."

    static func garbage(_ reply: RedfishReply, _ error: JSONParseError, _ what: String, _ address: String) -> Problem {
        if error.reason == .truncated {
            return .bmc(
                "truncated", "The BMC at \(address) broke off in the middle of its answer",
                detail: "\(what): \(reply.body.count) bytes; \(error)", remedy: garbageRemedy)
        }
        let isPage = reply.contentType.contains("html") || head(reply.body).lowercased().contains("<html")
        return .bmc(
            "not-json",
            isPage ? "The BMC at \(address) answered with a web page, not JSON" : "The BMC at \(address) answered with something that is not JSON",
            detail: "\(what): \(error). It begins: \(head(reply.body))", remedy: garbageRemedy)
    }

    static func failure(_ reply: RedfishReply, _ what: String, _ address: String) -> Problem {
        let messages = ExtendedInfo(body: reply.body)
        let said = messages.words ?? (reply.body.isEmpty ? nil : "It said: \(head(reply.body))")
        let detail = "\(what) → HTTP \(reply.status)" + (said.map { ". \($0)" } ?? "")
        switch reply.status {
        case 300..<400:
            let target = reply.headers["location"] ?? "nowhere"
            return .bmc(
                "redirected", "The BMC at \(address) points to another place",
                detail: "\(what) → HTTP \(reply.status) to \(printable(target)). It was not followed: credentials go to this BMC only.",
                remedy: "If the BMC moved, add it under its new address.")
        case 401: return .bmcUnauthorised(address, said: detail)
        case 403:
            return .bmc(
                "forbidden", status: 422, "The BMC at \(address) does not let this account do that", detail: detail,
                remedy: messages.resolution ?? "Give the account the administrator's role; some vendors also want a licence for it.")
        case 404, 405, 501:
            return .bmc("missing", status: 422, "The BMC at \(address) does not have what was asked for", detail: detail, remedy: messages.resolution)
        case 500...:
            return .bmc("error", "The BMC at \(address) failed", detail: detail, remedy: messages.resolution ?? garbageRemedy)
        default:
            return .bmc("refused", status: 422, "The BMC at \(address) refused", detail: detail, remedy: messages.resolution)
        }
    }

    /// The first 160 printable characters.
    static func head(_ bytes: [UInt8]) -> String { printable(String(decoding: bytes.prefix(160), as: UTF8.self)) }

    static func printable(_ text: String) -> String {
        PrintableText.line(String(String.UnicodeScalarView(text.unicodeScalars.prefix(300))))
    }
}

/// The messages in a Redfish answer (DSP0266 §8.6, DSP2065): `error.@Message.ExtendedInfo` or the same beside members.
public struct ExtendedInfo: Sendable, Equatable {
    public var messages: [Message] = []
    /// Of the error object itself; most BMCs have only "see ExtendedInfo" here.
    public var summary: String?

    public struct Message: Sendable, Equatable {
        public var id: String?
        public var text: String?
        public var resolution: String?
        public var severity: String?
    }

    static let messageLimit = 8

    public init(_ json: JSON) {
        let error = json["error"]
        summary = error?["message"]?.text
        let found = error?["@Message.ExtendedInfo"] ?? json["@Message.ExtendedInfo"]
        // iLO 4 sends Messages and text without the array.
        let list = found.map { $0.items.isEmpty ? [$0] : $0.items } ?? error?["Messages"]?.items ?? []
        messages = list.prefix(Self.messageLimit).map { item in
            Message(
                id: item["MessageId"]?.text ?? item["MessageID"]?.text, text: Self.filled(item),
                resolution: item["Resolution"]?.text,
                severity: item["MessageSeverity"]?.text ?? item["Severity"]?.text)
        }
    }

    init(body: [UInt8]) {
        self.init((try? JSONParser.parse(body)) ?? .null)
    }

    public func has(_ key: String) -> Bool { messages.contains { $0.id?.hasSuffix("." + key) == true } }

    /// What was said, in words; nil where nothing was.
    var words: String? {
        let texts = messages.compactMap { $0.text ?? $0.id }
        if texts.isEmpty { return summary.map { "It said: \(RedfishAnswer.printable($0))" } }
        return "It said: " + RedfishAnswer.printable(texts.joined(separator: " "))
    }

    var resolution: String? {
        let words = messages.compactMap(\.resolution).filter { $0.lowercased() != "none" && $0 != "None." }
        return words.first.map { "The BMC advises: \(RedfishAnswer.printable($0))" }
    }

    /// `%1` and so on are filled with the arguments, which some BMCs leave to the reader.
    private static func filled(_ item: JSON) -> String? {
        guard var text = item["Message"]?.text else { return nil }
        for (index, argument) in (item["MessageArgs"]?.items ?? []).prefix(9).enumerated() {
            let value = argument.text ?? argument.number.map { String($0) } ?? ""
            text = text.replacing("%\(index + 1)", with: value)
        }
        return text
    }
}
