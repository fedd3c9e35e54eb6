import Foundation
import Model
import Synchronization
import Testing

@testable import hostler_init

@Suite("An agent whose server is silent")
struct ServerSearchTests {
    private static let here = "http://10.77.0.1:8080"
    private static let there = "http://10.77.0.9:8080"
    private static let elsewhere = "http://10.77.0.66:8080"

    @Test("asks nobody while the server is silent for no longer than a restart of it takes")
    func patient() {
        var search = ServerSearch(base: Self.here)
        for seconds in [0, 30, 119] { #expect(search.timePassed(silence: .seconds(seconds)) == .rest) }
        #expect(search.timePassed(silence: .seconds(120)) == .ask)
    }

    @Test("stays where the server still offers itself, and where nobody does, for days")
    func down() {
        var search = ServerSearch(base: Self.here)
        for _ in 0..<1000 {
            #expect(search.timePassed(silence: .seconds(86_400)) == .ask)
            #expect(search.found([]) == .rest)
            #expect(search.found([Self.here]) == .rest)
            // Beside the one that it has, another does not count.
            #expect(search.found([Self.elsewhere, Self.here]) == .rest)
        }
    }

    @Test("follows the server to its new address once that has shown that it knows the session")
    func moved() {
        var search = ServerSearch(base: Self.here)
        #expect(search.found([Self.elsewhere, Self.there, Self.there]) == .challenge([Self.elsewhere, Self.there]))
        #expect(search.answered(Self.there, silence: .seconds(130), mayRestart: true) == .move(Self.there))
        #expect(search.base == Self.there)
        #expect(search.found([Self.there]) == .rest)
        #expect(search.found([Self.here]) == .challenge([Self.here]), "and back again")
    }

    @Test("takes no address that was not offered")
    func notOffered() {
        var search = ServerSearch(base: Self.here)
        _ = search.found([Self.there])
        #expect(search.answered(Self.elsewhere, silence: .seconds(130), mayRestart: true) == .rest)
        #expect(search.base == Self.here)
    }

    @Test("restarts through the network only where another boots machines here, again and again, and the server is long gone")
    func restarts() {
        var search = ServerSearch(base: Self.here)
        func ask(_ bases: [String], _ silence: Duration, mayRestart: Bool = true) -> ServerSearch.Action {
            guard case .ask = search.timePassed(silence: silence) else { return .rest }
            guard case .challenge = search.found(bases) else { return .rest }
            return search.answered(nil, silence: silence, mayRestart: mayRestart)
        }
        for _ in 0..<10 { #expect(ask([Self.there], .seconds(899)) == .rest) }
        // Once is not again and again.
        #expect(ask([], .seconds(1000)) == .rest)
        #expect(ask([Self.there], .seconds(1000)) == .rest)
        #expect(ask([Self.there], .seconds(1000)) == .rest)
        // Not while a person works on it, or a disk erases itself.
        #expect(ask([Self.there], .seconds(1000), mayRestart: false) == .rest)
        guard case .restart = ask([Self.there], .seconds(1000)) else { Issue.record("no restart"); return }
        // A server that has answered meanwhile was not gone.
        #expect(search.timePassed(silence: .seconds(1)) == .rest)
        #expect(ask([Self.there], .seconds(1000)) == .rest)
    }

    @Test("has no more servers to ask than a wire has")
    func many() {
        var search = ServerSearch(base: Self.here)
        guard case .challenge(let bases) = search.found((1...200).map { "http://10.77.1.\($0):8080" }) else { Issue.record("none"); return }
        #expect(bases.count == 4)
    }

    @Test(
        "what a DHCP server names is a boot script's address or nothing",
        arguments: [
            ("http://10.77.0.9:8080/boot/script?mac=52:54:00:00:00:01&platform=bios", Self.there),
            ("http://10.77.0.9/boot/script?mac=x", "http://10.77.0.9"),
            ("https://10.77.0.9:8080/boot/script?mac=x", nil), ("http://server:8080/boot/script?mac=x", nil), ("undionly.kpxe", nil), ("", nil),
            ("http://10.77.0.9:8080/boot/script", nil), ("http://10.77.0.9:8080@evil/boot/script?x", nil), ("http://10.77.0.9:0/boot/script?x", nil),
            ("http://10.77.0.9:99999/boot/script?x", nil), ("http://10.77.0.9:8080:1/boot/script?x", nil), ("http:///boot/script?x", nil),
            ("http://0.0.0.0:80/boot/script?x", nil), ("http://255.255.255.255/boot/script?x", nil), ("http://10.77.0.9: 80/boot/script?x", nil),
            ("http://10.77.0.9:+80/boot/script?x", nil), ("http://evil/http://10.77.0.9/boot/script?x", nil),
        ] as [(String, String?)])
    func scripts(_ url: String, _ base: String?) { #expect(ServerSeeker.base(ofScript: url) == base) }

    // MARK: Against servers on loopback

    /// A server at 127.0.0.2 that knows `session`, or says something else; it answers nothing to whoever shows a session where
    /// it was only asked to prove itself.
    private final class PlayedServer {
        private let process = Process()
        /// It ends with this, and so with the test program, too: a test runner waits for all that have its output.
        private let life = Pipe()
        let base: String

        init(knows session: String, answers: String = "proof") throws {
            let pipe = Pipe()
            process.executableURL = URL(filePath: "/usr/bin/env")
            process.arguments = ["python3", "-u", "-c", Self.text, session, answers]
            process.standardInput = life
            process.standardOutput = pipe
            process.standardError = FileHandle.nullDevice
            try process.run()
            var line: [UInt8] = []
            while let byte = try pipe.fileHandleForReading.read(upToCount: 1)?.first, byte != UInt8(ascii: "\n") { line.append(byte) }
            base = "http://127.0.0.2:" + String(decoding: line, as: UTF8.self)
        }

        /// By SIGKILL: the thread that started it may have SIGTERM blocked, and so has the child then.
        func end() {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }

        private static let text = #"""
            import hashlib, hmac, http.server, json, os, sys, threading
            session, answers = sys.argv[1:]
            class Server(http.server.BaseHTTPRequestHandler):
                def do_POST(self):
                    body = self.rfile.read(int(self.headers["Content-Length"]))
                    bearer = self.headers["Authorization"]
                    status, reply = 404, b"{}"
                    if self.path == "/agent/v1/prove" and bearer is None:
                        asked = json.loads(body)
                        text = f"server|{asked['machine']}|{asked['challenge']}"
                        code = hmac.new(session.encode(), text.encode(), hashlib.sha256).hexdigest()
                        status, reply = 200, {"proof": json.dumps({"code": code}), "echo": json.dumps({"code": asked["challenge"]}),
                                              "page": "<html>welcome</html>", "large": "x" * 100_000, "empty": json.dumps({"code": ""})}[answers].encode()
                    if self.path == "/agent/v1/log" and bearer == "Bearer " + session: status, reply = 204, b""
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(reply)))
                    self.end_headers()
                    self.wfile.write(reply)
                def log_message(self, *words): pass
            server = http.server.ThreadingHTTPServer(("127.0.0.2", 0), Server)
            threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
            print(server.server_address[1])
            server.serve_forever()
            """#
    }

    private static let session = "m-test01." + String(repeating: "ab", count: 32)

    private func seeker(_ client: ControlClient, finds bases: [String]) -> ServerSeeker {
        ServerSeeker(
            client: client, log: AgentLog(), permit: RestartPermit(), ask: { bases }, restart: {}, silence: { .seconds(1000) })
    }

    /// A client of a server at an address where nobody listens.
    private func talking(_ body: (ControlClient) async throws -> Void) async throws {
        let client = ControlClient(base: "http://127.0.0.1:9")
        do { try await body(client) } catch {
            await client.shutdown()
            throw error
        }
        await client.shutdown()
    }

    @Test("goes on with its session at a server that has another address now, and has shown its session to nobody else")
    func follows() async throws {
        let server = try PlayedServer(knows: Self.session)
        defer { server.end() }
        let impostor = try PlayedServer(knows: "m-test01." + String(repeating: "cd", count: 32))
        defer { impostor.end() }
        // Where it was, nobody listens any more.
        try await talking { client in
            client.use(session: Self.session)
            await #expect(throws: TalkError.self) { try await client.post("log", LogBatch(lines: [])) }
            var search = ServerSearch(base: client.base)
            await seeker(client, finds: [impostor.base, server.base]).look(&search)
            #expect(client.base == server.base && search.base == server.base)
            try await client.post("log", LogBatch(lines: []))
        }
    }

    @Test("stays with its own where another cannot show that it is the same", arguments: ["proof", "echo", "page", "large", "empty"])
    func stays(_ answers: String) async throws {
        let impostor = try PlayedServer(knows: "m-test01." + String(repeating: "cd", count: 32), answers: answers)
        defer { impostor.end() }
        try await talking { client in
            client.use(session: Self.session)
            var search = ServerSearch(base: client.base)
            await seeker(client, finds: [impostor.base]).look(&search)
            #expect(client.base == "http://127.0.0.1:9" && search.base == client.base)
        }
    }

    @Test("an agent without a session yet has nobody to follow; its way is a restart through the network")
    func noSession() async throws {
        let server = try PlayedServer(knows: "")
        defer { server.end() }
        try await talking { client in
            #expect(await client.isServer(server.base) == false)
            let count = RestartCount()
            let seeker = ServerSeeker(
                client: client, log: AgentLog(), permit: RestartPermit(), ask: { [server = server.base] in [server] }, restart: { count.add() },
                silence: { .seconds(1000) })
            var search = ServerSearch(base: client.base)
            for _ in 0..<ServerSearch.restartAsks { await seeker.look(&search) }
            #expect(count.value == 1 && client.base == "http://127.0.0.1:9")
        }
    }

    private final class RestartCount: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func add() { count.withLock { $0 += 1 } }
    }

    @Test("nothing restarts a machine in a rescue shell, or while a disk erases itself")
    func permit() async throws {
        let permit = RestartPermit()
        #expect(permit.isGiven)
        await permit.without {
            #expect(!permit.isGiven)
            await permit.without { #expect(!permit.isGiven) }
            #expect(!permit.isGiven)
        }
        #expect(permit.isGiven)
    }
}
