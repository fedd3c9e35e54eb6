import API
import ArgumentParser
import FoundationEssentials
import Model

struct LoginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "login", abstract: "Remember a server and a token in ~/.config/hostler/config.json.",
        discussion: """
            A server with a CA of its own is trusted on first use: its CA's fingerprint is shown, to compare with the \
            one that `hostler status` shows on the server; or give it with --ca-fingerprint.
            """)
    @Argument(help: "As https://192.0.2.1:8443.") var url: String
    @Option(help: "The token. Else $HOSTLER_TOKEN.") var token: String?
    @Option(help: "The CA's fingerprint, sha256:….") var caFingerprint: String?
    @Flag(help: "Trust the CA that the server shows, without asking.") var yes = false

    func run() async throws {
        guard let secret = token ?? Environment["HOSTLER_TOKEN"] else { throw ValidationError("Give --token, or set HOSTLER_TOKEN.") }
        var saved = SavedServer(server: ConnectionOptions.normalised(url), token: secret)
        if saved.server.hasPrefix("https://") { saved.ca = try await authority(saved) }
        let status = try await APIClient.with(saved) { try await $0.get(StatusReply.self, "/v1/status") }
        let path = SavedServer.userPath
        guard let slash = path.lastIndex(of: "/") else { return }
        try PrivateFile.makeDirectory(String(path[..<slash]))
        try saved.write(to: path)
        print("logged in to \(saved.server), Hostler \(status.version); saved in \(path)")
    }

    /// The server's own CA, once a person or a fingerprint vouches for it; nil where the system's CAs do.
    private func authority(_ server: SavedServer) async throws -> String? {
        let stranger = SavedServer(server: server.server, token: "")
        if caFingerprint == nil, (try? await APIClient.with(stranger, { try await $0.text("/healthz") })) != nil { return nil }
        // Nothing secret is sent to a server that is not yet trusted.
        let pem = try await APIClient.with(stranger, trustAnyone: true) { try await $0.text("/ca.pem") }
        let fingerprint = try CertificateAuthority.fingerprint(ofPEM: pem)
        if let expected = caFingerprint {
            guard expected.lowercased().replacing(":", with: "") == fingerprint.replacing(":", with: "") else {
                throw Problem(
                    "ca-mismatch", title: "The server shows another CA than expected", detail: "it shows \(fingerprint)",
                    remedy: "Check the address and the fingerprint; if both are right, somebody is between you and the server.")
            }
        } else {
            try confirm(yes, "The server's CA has the fingerprint\n  \(fingerprint)\nIt will be trusted from now on.")
        }
        return pem
    }
}
