/// Which `If-Match` a change is sent with, try by try (DSP0266 §6.5, RFC 9110 §13.1.1).
///
/// By the spec the newest ETag is enough. In the field it is not: some BMCs
/// compare weak tags strongly, some append `-gzip`, some want none at all.
public struct PreconditionRetry: Sendable {
    public enum Step: Equatable, Sendable {
        /// Read the resource anew, for its ETag.
        case read
        /// Send the change with this `If-Match`; nil: without one.
        case send(ifMatch: String?)
        case giveUp
    }

    private var forms: [String?] = []
    private var hasRead = false

    public init() {}

    /// With the ETag that is known, or none.
    public mutating func begin(etag: String?) -> Step { .send(ifMatch: etag) }

    /// The BMC answered 412 (Precondition Failed) or 428 (Precondition Required).
    public mutating func refused() -> Step {
        if !hasRead {
            hasRead = true
            return .read
        }
        guard !forms.isEmpty else { return .giveUp }
        return .send(ifMatch: forms.removeFirst())
    }

    /// The resource was read; it has this ETag.
    public mutating func read(etag: String?) -> Step {
        guard let etag else {
            forms = []
            return .send(ifMatch: "*")
        }
        let strong = etag.hasPrefix("W/") ? String(etag.dropFirst(2)) : nil
        let plain = etag.replacing("-gzip", with: "")
        forms = [strong, plain != etag ? plain : nil, "*"].filter { $0 != nil } + [nil]
        return .send(ifMatch: etag)
    }
}
