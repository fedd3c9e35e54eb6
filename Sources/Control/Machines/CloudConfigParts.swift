internal import FoundationEssentials
internal import Yams

/// The cloud-config in user-data, found as cloud-init 22.4 and later find it: the whole, or parts of a MIME message or of a
/// cloud-config archive, each perhaps a Jinja template that is not filled in yet.
///
/// What is compressed, or comes from a URL (`#include`), is not looked into.
struct CloudConfigParts {
    /// `#cloud-config`: YAML.
    private(set) var documents: [String] = []
    /// `#cloud-config-jsonp`: JSON patches.
    private(set) var patches: [String] = []

    /// Containers within containers, at most; people write one or two.
    private static let depthLimit = 8
    /// cloud-init looks for MIME's header in these first bytes.
    private static let headBytes = 4096

    init(in userData: [UInt8]) {
        let head = String(decoding: userData.prefix(Self.headBytes), as: UTF8.self).lowercased()
        if head.contains("mime-version:") {
            visit(MIMEEntity(userData[...]), depth: 0)
        } else {
            visit(userData[...], type: nil, depth: 0)
        }
    }

    private mutating func visit(_ entity: MIMEEntity, depth: Int) {
        guard depth < Self.depthLimit else { return }
        guard entity.isMultipart else { return visit(entity.content, type: entity.type, depth: depth) }
        for part in entity.parts { visit(part, depth: depth + 1) }
    }

    private mutating func visit(_ content: ArraySlice<UInt8>, type: String?, depth: Int) {
        guard depth < Self.depthLimit else { return }
        var type = type
        // Of these cloud-init believes the first characters.
        if type == nil || type == "text/plain" || type == "text/x-not-multipart" || type == "text/x-shellscript" {
            type = Self.type(byBeginningOf: content) ?? type
        }
        switch type {
        case "text/cloud-config": documents.append(String(decoding: content, as: UTF8.self))
        case "text/cloud-config-jsonp": patches.append(String(decoding: content, as: UTF8.self))
        case "text/cloud-config-archive": open(archive: content, depth: depth)
        case "text/jinja2":
            let text = content.drop { Self.spaces.contains($0) }
            let isNamed = text.starts(with: "##".utf8)
            let body = isNamed ? text.drop { $0 != UInt8(ascii: "\n") }.dropFirst() : text
            visit(body, type: nil, depth: depth + 1)
        default: break
        }
    }

    /// A YAML list of texts, or of mappings with `content` and perhaps a `type`.
    private mutating func open(archive: ArraySlice<UInt8>, depth: Int) {
        guard let entries = (try? Yams.compose(yaml: String(decoding: archive, as: UTF8.self)))?.sequence else { return }
        for entry in entries {
            let content = entry.scalar ?? entry.mapping?["content"]?.scalar
            guard let bytes = content.map({ Array($0.string.utf8)[...] }) else { continue }
            let given = entry.mapping?["type"]?.scalar?.string.lowercased()
            visit(bytes, type: given ?? Self.type(byBeginningOf: bytes) ?? "text/cloud-config", depth: depth + 1)
        }
    }

    private static let spaces = Set(" \t\r\n\u{b}\u{c}".utf8)

    /// Longest first: they begin alike.
    private static let beginnings = [
        ("#cloud-config-archive", "text/cloud-config-archive"), ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
        ("## template:", "text/jinja2"), ("#cloud-config", "text/cloud-config"),
    ]

    private static func type(byBeginningOf content: ArraySlice<UInt8>) -> String? {
        let beginning = String(decoding: content.drop { spaces.contains($0) }.prefix(64), as: UTF8.self).lowercased()
        return beginnings.first { beginning.hasPrefix($0.0) }?.1
    }
}
