internal import API
internal import FoundationEssentials
internal import NIOSSL

/// A server as `hostler login` and the server's first start save it: in
/// `~/.config/hostler/config.json` and `<state>/admin.json`, mode 0600.
struct SavedServer: Codable, Sendable, Equatable {
    /// As `https://192.0.2.1:8443`.
    var server: String
    var token: String
    /// The CA to trust, in PEM; nil: the system's.
    var ca: String?

    static func read(_ path: String) -> SavedServer? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        return try? JSONDecoder().decode(SavedServer.self, from: data)
    }

    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try PrivateFile.write(Array(try encoder.encode(self)), to: path)
    }

    static var userPath: String {
        let base = Environment["XDG_CONFIG_HOME"] ?? "\(Environment["HOME"] ?? "/root")/.config"
        return "\(base)/hostler/config.json"
    }

    /// How its certificate is judged.
    func tls(trustAnyone: Bool = false) throws -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.minimumTLSVersion = .tlsv12
        if trustAnyone { tls.certificateVerification = .none }
        if let pem = ca {
            tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(pem.utf8)))
            // The rack's own CA signs its one server and nothing else: whoever shows its certificate is that server.
            tls.certificateVerification = .noHostnameVerification
        }
        return tls
    }
}
