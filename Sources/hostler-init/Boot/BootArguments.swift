internal import Wire

/// What the boot script put on the kernel's command line.
struct BootArguments: Equatable, Sendable {
    /// `http://10.77.0.1:8080`, without a slash at its end.
    var url: String
    var nonce: String
    var mac: MACAddress?
    var address: IPv4Address?
    var mask: IPv4Address?
    var gateway: IPv4Address?
    /// The DHCP server that gave the address.
    var server: IPv4Address?
    /// How long a machine that was not known stays here without work, in seconds; nil: for ever.
    var patienceSeconds: Int?

    enum ParseError: Error, Equatable, CustomStringConvertible {
        case missing(String)
        case invalid(String, String)

        var description: String {
            switch self {
            case .missing(let key): "the kernel command line has no \(key)=; this ramdisk is started by Hostler's boot script"
            case .invalid(let key, let value): "the kernel command line has an unreadable \(key)=\(value)"
            }
        }
    }

    init(commandLine: String) throws(ParseError) {
        var values: [String: String] = [:]
        for word in commandLine.split(whereSeparator: \.isWhitespace) where word.hasPrefix("hostler.") {
            guard let equals = word.firstIndex(of: "=") else { continue }
            values[String(word[..<equals])] = String(word[word.index(after: equals)...])
        }
        func value<Value>(_ key: String, _ parse: (String) -> Value?) throws(ParseError) -> Value? {
            guard let text = values["hostler.\(key)"], !text.isEmpty else { return nil }
            guard let value = parse(text) else { throw .invalid("hostler.\(key)", text) }
            return value
        }
        guard var url = values["hostler.url"], url.hasPrefix("http://") else { throw .missing("hostler.url") }
        guard let nonce = values["hostler.nonce"] else { throw .missing("hostler.nonce") }
        while url.hasSuffix("/") { url.removeLast() }
        self.url = url
        self.nonce = nonce
        mac = try value("mac") { MACAddress($0) }
        address = try value("ip") { IPv4Address($0) }
        mask = try value("mask") { IPv4Address($0) }
        gateway = try value("gateway") { IPv4Address($0) }
        server = try value("server") { IPv4Address($0) }
        patienceSeconds = try value("patience") { Int($0).flatMap { (1...86_400).contains($0) ? $0 : nil } }
    }
}
