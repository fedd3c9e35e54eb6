import API
import FoundationEssentials
import Logging
import Model

/// `admin.json`: the login of root on this host. It is there before anything listens, and is made anew at each start where it
/// is missing or does not fit: it has another address, another CA, or a token that opens nothing.
struct AdminLogin {
    var stateDirectory: String
    var api: APIConfiguration
    var logger: Logger

    var path: String { stateDirectory + "/admin.json" }

    /// - Parameter port: where the API listens.
    func keep(_ tokens: TokenStore, port: Int) async throws {
        let known = SavedServer.read(path)
        var login = server(port: port)
        let isMade = try await tokens.keepAdmin(known?.token) { secret in
            login.token = secret
            // Written before the record has it: a kill in between leaves a token that opens nothing, and the next start sees that.
            try login.write(to: path)
        }
        if isMade {
            return logger.notice("the admin's login is in \(path); on this machine, as root, `hostler` uses it by itself")
        }
        login.token = known?.token ?? ""
        guard login != known else { return }
        try login.write(to: path)
        logger.notice("the admin's login in \(path) has the server's new address or CA", metadata: ["server": "\(login.server)"])
    }

    /// How a client on this host reaches the API; without its token.
    func server(port: Int) -> SavedServer {
        var host = Self.reachable(api.address)
        var authority: String?
        switch api.tls {
        case .off: break
        case .generated(let directory):
            // Made here at the first start, before the API needs it.
            authority = attempt { try CertificateAuthority.open(directory: directory).certificatePEM }
        case .files(let certificate, _):
            let served = attempt { try ServedCertificate(pemFile: certificate) }
            authority = served?.authorityPEM
            host = served?.host(at: host) ?? host
        }
        let scheme = if case .off = api.tls { "http" } else { "https" }
        return SavedServer(server: "\(scheme)://\(host.contains(":") ? "[\(host)]" : host):\(port)", token: "", ca: authority)
    }

    /// What is wrong with a certificate is said by the API, which cannot start with it.
    private func attempt<Value>(_ body: () throws -> Value) -> Value? {
        do {
            return try body()
        } catch {
            logger.warning("the admin's login is written without a CA", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// All addresses of this host are not one that can be called.
    static func reachable(_ address: String) -> String {
        switch address {
        case "0.0.0.0", "": "127.0.0.1"
        case "::": "::1"
        default: address
        }
    }
}
