internal import ArgumentParser
internal import FoundationEssentials
internal import Model

struct ConnectionOptions: ParsableArguments {
    @Option(help: "The server's URL. Else $HOSTLER_SERVER, the last login, or the server on this host.")
    var server: String?

    @Option(help: "The API token. Else $HOSTLER_TOKEN, the last login, or the server on this host.")
    var token: String?

    @Option(help: "The server's state directory, if it is on this host. Else $HOSTLER_STATE_DIR.")
    var stateDir: String = StateDirectory.standard

    func resolve() throws(Problem) -> SavedServer {
        try Self.resolve(
            server: server, token: token, environment: { Environment[$0] }, user: SavedServer.read(SavedServer.userPath),
            local: SavedServer.read("\(stateDir)/admin.json"),
            readFile: { FileManager.default.contents(atPath: $0).map { String(decoding: $0, as: UTF8.self) } })
    }

    /// Flags before the environment, that before the last login, that before the server on this host.
    static func resolve(
        server: String?, token: String?, environment: (String) -> String?, user: SavedServer?, local: SavedServer?,
        readFile: (String) -> String?
    ) throws(Problem) -> SavedServer {
        let saved = [user, local].compactMap(\.self)
        guard let url = server ?? environment("HOSTLER_SERVER") ?? saved.first?.server else {
            throw Problem(
                "server-unknown", status: 0, title: "It is not known which server to talk to",
                detail: "no --server, no HOSTLER_SERVER, no \(SavedServer.userPath), and no readable admin.json of a server here",
                remedy: "Log in: hostler login https://SERVER:8443 --token hst_…  (or run this as root on the server)")
        }
        let address = normalised(url)
        let match = saved.first { normalised($0.server) == address }
        guard let secret = token ?? environment("HOSTLER_TOKEN") ?? match?.token else {
            throw Problem(
                "token-missing", status: 401, title: "There is no token for \(address)",
                remedy: "Log in: hostler login \(address) --token hst_…")
        }
        var authority = match?.ca
        if let path = environment("HOSTLER_CA") {
            guard let pem = readFile(path) else {
                throw Problem("ca-unreadable", title: "The file that HOSTLER_CA names cannot be read", detail: path)
            }
            authority = pem
        }
        return SavedServer(server: address, token: secret, ca: authority)
    }

    static func normalised(_ url: String) -> String {
        var text = url.contains("://") ? url : "https://" + url
        while text.hasSuffix("/") { text.removeLast() }
        return text
    }
}
