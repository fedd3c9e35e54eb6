/// The presence ping of RMCP/ASF (IPMI 2.0 §13.2.3 and §13.2.4, ASF 2.0 §3.2.4).
public enum PresencePing {
    public static let port = 623

    /// RMCP version 6, no acknowledgement, class ASF; then ASF's IANA number, type 0x80, a tag, no data.
    public static func ping(tag: UInt8) -> [UInt8] {
        [0x06, 0x00, 0xff, 0x06, 0x00, 0x00, 0x11, 0xbe, 0x80, tag, 0x00, 0x00]
    }

    /// Whether a pong says that IPMI is there; nil where it is no pong.
    public static func supportsIPMI(_ bytes: [UInt8]) -> Bool? {
        guard bytes.count >= 21, bytes[0] == 0x06, bytes[3] & 0x1f == 0x06, Array(bytes[4..<8]) == [0x00, 0x00, 0x11, 0xbe],
            bytes[8] == 0x40, bytes[11] >= 16
        else { return nil }
        return bytes[20] & 0x80 != 0
    }
}

/// The search for Redfish services by SSDP (DSP0266 §10, UPnP 1.1 §1.3).
public enum SSDPSearch {
    public static let group = "239.255.255.250"
    public static let port = 1900
    static let target = "urn:dmtf-org:service:redfish-rest:1"
    /// A longer answer is none.
    static let answerLimitBytes = 4096

    public static var search: [UInt8] {
        Array("M-SEARCH * HTTP/1.1\r\nHOST: \(group):\(port)\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\nST: \(target)\r\n\r\n".utf8)
    }

    /// The service root's URL in an answer; nil where it is not for Redfish.
    public static func serviceRoot(_ bytes: [UInt8]) -> String? {
        guard bytes.count <= answerLimitBytes, let text = String(validating: bytes, as: UTF8.self) else { return nil }
        let lines = text.split(whereSeparator: \.isNewline)
        guard lines.first?.hasPrefix("HTTP/1.1 200") == true else { return nil }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].trimmed.lowercased()] = line[line.index(after: colon)...].trimmed
        }
        guard headers["st"]?.lowercased().hasPrefix("urn:dmtf-org:service:redfish-rest:1") == true, let url = headers["al"] ?? headers["location"],
            url.hasPrefix("https://") || url.hasPrefix("http://")
        else { return nil }
        return url
    }
}
