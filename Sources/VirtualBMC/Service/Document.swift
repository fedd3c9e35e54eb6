internal import Wire

/// A resource as it is now, and what may be done with it.
struct Document: Sendable {
    var json: JSON
    /// Besides GET and HEAD.
    var methods: [String]
    /// `$metadata` is XML; nil for JSON.
    var xml: String?
    /// Counts changes that the resource does not show, as a password's.
    var revision = 0

    init(_ json: JSON, methods: [String] = []) {
        self.json = json
        self.methods = methods
    }

    init(xml: String) {
        json = nil
        methods = []
        self.xml = xml
    }

    var allow: String { (["GET", "HEAD"] + methods).joined(separator: ", ") }

    /// RFC 9110 §8.8.3: strong, a hash of what the resource says.
    var etag: String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in json.bytes + "\(revision)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return "\"\(Hex.encode(withUnsafeBytes(of: hash.bigEndian) { Array($0) }))\""
    }

    /// A collection of the members that lie directly below `path`.
    static func collection(
        _ type: String, _ path: String, name: String, members: [String], methods: [String] = []
    ) -> Document {
        Document(
            [
                "@odata.id": .string(path), "@odata.type": "#\(type)Collection.\(type)Collection",
                "Name": .string(name), "Members@odata.count": .integer(Int64(members.count)),
                "Members": .array(members.map { link("\(path)/\($0)") }),
            ], methods: methods)
    }

    static func link(_ path: String) -> JSON { ["@odata.id": .string(path)] }

    static let enabled: JSON = ["State": "Enabled", "Health": "OK"]
}
