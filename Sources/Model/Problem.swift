/// What an operator is told when something did not work (RFC 9457).
///
/// `code` is stable and made for programs; `title` says what happened,
/// `detail` why, `remedy` what to do about it. One that is decoded was somebody else's: it is cleaned.
public struct Problem: Error, Codable, Sendable, Equatable, CustomStringConvertible {
    public var code: String
    public var title: String
    public var detail: String?
    public var remedy: String?
    /// The HTTP status that this problem is answered with.
    public var status: Int

    public init(_ code: String, status: Int = 400, title: String, detail: String? = nil, remedy: String? = nil) {
        self.code = code
        self.status = status
        self.title = title
        self.detail = detail
        self.remedy = remedy
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let said = Problem(
            try container.decode(String.self, forKey: .code), status: try container.decode(Int.self, forKey: .status),
            title: try container.decode(String.self, forKey: .title), detail: try container.decodeIfPresent(String.self, forKey: .detail),
            remedy: try container.decodeIfPresent(String.self, forKey: .remedy))
        self = said.cleaned()
    }

    public var description: String {
        var text = "\(title) [\(code)]"
        if let detail { text += "\n  why:    \(detail)" }
        if let remedy { text += "\n  remedy: \(remedy)" }
        return text
    }
}

extension Problem {
    public static func notFound(_ noun: String, _ name: String, remedy: String? = nil) -> Problem {
        Problem(
            "\(noun)-not-found", status: 404, title: "There is no \(noun) “\(name)”",
            remedy: remedy ?? "List what there is with: hostler \(noun) list")
    }
}
