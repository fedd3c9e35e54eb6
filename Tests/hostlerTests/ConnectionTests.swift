import Model
import Testing

@testable import hostler

@Suite("Finding the server") struct ConnectionTests {
    private let user = SavedServer(server: "https://user:1", token: "u", ca: "user CA")
    private let local = SavedServer(server: "https://local:1", token: "l", ca: "local CA")

    private func resolve(
        server: String? = nil, token: String? = nil, environment: [String: String] = [:], user: SavedServer? = nil,
        local: SavedServer? = nil
    ) throws(Problem) -> SavedServer {
        try ConnectionOptions.resolve(
            server: server, token: token, environment: { environment[$0] }, user: user, local: local,
            readFile: { $0 == "/ca" ? "file CA" : nil })
    }

    @Test("flags come before the environment, that before the login, that before the server on this host")
    func precedence() throws {
        let environment = ["HOSTLER_SERVER": "https://env:1/", "HOSTLER_TOKEN": "e"]
        #expect(try resolve(local: local) == local)
        #expect(try resolve(user: user, local: local) == user)
        #expect(try resolve(environment: environment, user: user) == SavedServer(server: "https://env:1", token: "e", ca: nil))
        #expect(try resolve(server: "flag:1", token: "f", environment: environment) == SavedServer(server: "https://flag:1", token: "f"))
    }

    @Test("a saved token and CA go only to the server that they are of") func noLeak() throws {
        #expect(throws: Problem.self) { try resolve(server: "https://other:1", user: user, local: local) }
        #expect(try resolve(server: "https://local:1/", user: user, local: local) == local)
        #expect(try resolve(server: "https://other:1", token: "t", user: user).ca == nil)
        #expect(try resolve(environment: ["HOSTLER_CA": "/ca"], local: local).ca == "file CA")
    }

    @Test("exit codes tell what kind of failure it was") func exits() {
        let cases: [(String, Int, hostler.ExitStatus)] = [
            ("server-unreachable", 0, .unreachable), ("token-refused", 401, .unauthorised), ("role-too-low", 403, .unauthorised),
            ("machine-not-found", 404, .notFound), ("machine-busy", 409, .conflict), ("revision-mismatch", 412, .conflict),
            ("disk-ambiguous", 422, .failure), ("internal", 500, .failure),
        ]
        for (code, status, expected) in cases { #expect(hostler.ExitStatus(Problem(code, status: status, title: "")) == expected, "\(code)") }
    }

    @Test("events are read the same however their bytes are cut") func events() throws {
        let text = ": hi\n\nevent: put\ndata: {\"a\":\ndata: 1}\nid: 7\n\nevent: deleted\r\ndata: x\r\n\r\n: alive\n\n"
        let expected = [
            ServerSentEvent(name: "put", data: "{\"a\":\n1}", lastID: "7"), ServerSentEvent(name: "deleted", data: "x", lastID: "7"),
        ]
        let bytes = Array(text.utf8)
        for cut in 0...bytes.count {
            var reader = EventStreamReader()
            #expect(try reader.read(bytes[..<cut]) + reader.read(bytes[cut...]) == expected)
        }
    }
}
