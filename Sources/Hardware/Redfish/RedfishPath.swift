/// A path on the BMC that is being spoken to; never another host's.
///
/// A BMC's links are taken only as absolute paths (DSP0266 §6.3 lets a service
/// send nothing else in `@odata.id`), so that no answer can send credentials elsewhere.
public struct RedfishPath: Hashable, Sendable, CustomStringConvertible {
    /// With the query, without a fragment.
    public let text: String

    public static let root = RedfishPath(trusted: "/redfish/v1/")
    /// Longer ones are nobody's.
    static let byteLimit = 1024

    private init(trusted: String) { text = trusted }

    /// Nil where `href` is not an absolute path of printable ASCII without dot segments.
    public init?(_ href: String) {
        let path = href.prefix { $0 != "#" }
        guard path.hasPrefix("/"), !path.hasPrefix("//"), path.utf8.count <= Self.byteLimit,
            path.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "\\") }),
            !path.prefix(while: { $0 != "?" }).split(separator: "/").contains(where: { $0 == ".." || $0 == "." })
        else { return nil }
        text = String(path)
    }

    /// From a `Location` header, which may be a whole URL: of `origin` (scheme, host and port) or nil.
    public init?(location: String, origin: String) {
        if location.hasPrefix("/") {
            self.init(location)
            return
        }
        let lowered = location.lowercased()
        let origins = [origin, origin.replacing(#/:(443|80)$/#, with: "")].map { $0.lowercased() }
        guard let own = origins.first(where: { lowered == $0 || lowered.hasPrefix($0 + "/") }) else { return nil }
        self.init("/" + location.dropFirst(own.count).drop { $0 == "/" })
    }

    public func appending(_ part: String) -> RedfishPath {
        RedfishPath(trusted: (text.hasSuffix("/") ? text : text + "/") + part)
    }

    /// The same resource: by DSP0266 a trailing slash says nothing, and some BMCs are careless of case.
    public func isSameResource(as other: RedfishPath) -> Bool { canonical == other.canonical }

    private var canonical: String {
        var path = text.prefix { $0 != "?" }.lowercased()
        while path.hasSuffix("/") { path.removeLast() }
        return path
    }

    public var description: String { text }
}

extension JSON {
    /// The target of a link object, `{"@odata.id": "/…"}`; nil where it is no path on this BMC.
    public var link: RedfishPath? { self["@odata.id"]?.text.flatMap { RedfishPath($0) } }
}
