/// A way in which a BMC goes wrong, on order. Stays until it is taken back.
///
/// Text form: `hang`, `lie`, `flip=30`, `certificate`, `drop=10`, `slow=500`,
/// `forget-boot`, `html`, `truncate`, `huge`, `redirect[:HOST]`, `error`, `cut`.
public enum Misbehaviour: Hashable, Sendable, CustomStringConvertible {
    /// Takes the connection and the request, and never answers.
    case hang
    /// Says that all went well, and does nothing.
    case lie
    /// Switches the machine off or on by itself, each time after so many seconds.
    case flip(everySeconds: Int)
    /// Shows another certificate than before.
    case certificate
    /// Closes the connection on one request in so many, without an answer.
    case drop(oneIn: Int)
    /// Answers after so many milliseconds.
    case slow(milliseconds: Int)
    /// Takes and shows the boot override, and starts the machine without it.
    case forgetBoot
    /// Answers each request with a web page.
    case html
    /// Its JSON ends in the middle, though the HTTP message is whole.
    case truncate
    /// Answers each read with 10 MiB of good JSON.
    case huge
    /// Sends everybody to another host.
    case redirect(host: String)
    /// Answers each request with 500.
    case error
    /// Closes the connection in the middle of the body.
    case cut

    public static let kinds = [
        "hang", "lie", "flip", "certificate", "drop", "slow", "forget-boot", "html", "truncate", "huge", "redirect",
        "error", "cut",
    ]

    /// Documentation's own address (RFC 5737): nobody is there.
    public static let nowhere = "192.0.2.1"

    /// From the text form; nil where it is none.
    public init?(_ text: some StringProtocol) {
        let halves = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let left = halves.first else { return nil }
        let parts = left.split(separator: ":", maxSplits: 1)
        let amount = halves.count == 2 ? Int64(halves[1]) : nil
        guard let kind = parts.first, halves.count == 1 || amount != nil else { return nil }
        self.init(kind: String(kind), target: parts.count == 2 ? String(parts[1]) : nil, amount: amount)
    }

    /// From kind, target and amount as in the text form; nil where they are none.
    public init?(kind: String, target: String?, amount: Int64?) {
        switch (kind, target, amount) {
        case ("hang", nil, nil): self = .hang
        case ("lie", nil, nil): self = .lie
        case ("flip", nil, let seconds) where (1...86_400).contains(seconds ?? 30):
            self = .flip(everySeconds: Int(seconds ?? 30))
        case ("certificate", nil, nil): self = .certificate
        case ("drop", nil, let count) where (1...1000).contains(count ?? 10): self = .drop(oneIn: Int(count ?? 10))
        case ("slow", nil, let wait) where (1...600_000).contains(wait ?? 5000):
            self = .slow(milliseconds: Int(wait ?? 5000))
        case ("forget-boot", nil, nil): self = .forgetBoot
        case ("html", nil, nil): self = .html
        case ("truncate", nil, nil): self = .truncate
        case ("huge", nil, nil): self = .huge
        case ("redirect", let host, nil): self = .redirect(host: host ?? Self.nowhere)
        case ("error", nil, nil): self = .error
        case ("cut", nil, nil): self = .cut
        default: return nil
        }
    }

    /// One of a kind is in force at a time.
    public var kind: String {
        switch self {
        case .hang: "hang"
        case .lie: "lie"
        case .flip: "flip"
        case .certificate: "certificate"
        case .drop: "drop"
        case .slow: "slow"
        case .forgetBoot: "forget-boot"
        case .html: "html"
        case .truncate: "truncate"
        case .huge: "huge"
        case .redirect: "redirect"
        case .error: "error"
        case .cut: "cut"
        }
    }

    public var description: String {
        switch self {
        case .flip(let amount), .drop(let amount), .slow(let amount): "\(kind)=\(amount)"
        case .redirect(let host): "\(kind):\(host)"
        default: kind
        }
    }
}
