import Control
import Foundation
import Model
import Store
import Testing

@testable import API

@Suite("Connections to the API", .timeLimit(.minutes(2))) struct ConnectionTests {
    /// Limits that pass in a moment, where a test waits for them.
    private static var short: ConnectionLimits {
        var limits = ConnectionLimits()
        limits.tick = .milliseconds(10)
        return limits
    }

    private func port(_ rack: Rack) -> Int { Int(rack.base.split(separator: ":").last ?? "") ?? 0 }

    private func head(_ rack: Rack, _ line: String, as role: Role? = .admin, _ more: String = "") -> String {
        let token = role.flatMap { rack.secrets[$0] }.map { "Authorization: Bearer \($0)\r\n" } ?? ""
        return "\(line) HTTP/1.1\r\nHost: x\r\n\(token)\(more)\r\n"
    }

    @Test("one that says nothing, half a TLS handshake, and half a head are closed") func opening() async throws {
        var limits = Self.short
        limits.opening = .milliseconds(200)
        let directory = NSTemporaryDirectory() + "hostler-connections-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        for tls in [APIConfiguration.TLS.off, .generated(directory: directory)] {
            try await Rack.with(tls: tls, connections: limits) { rack in
                // A ClientHello's first bytes, of which no more come.
                for text in ["", "\u{16}\u{3}\u{1}\u{2}", "GET /healthz HTTP/1.1\r\nHost:"] {
                    let connection = try RawConnection(port: port(rack))
                    connection.send(text)
                    #expect(connection.rest().ended)
                }
            }
        }
    }

    @Test("one that is kept after an answer is closed when it is idle") func idle() async throws {
        var limits = Self.short
        limits.idle = .milliseconds(200)
        try await Rack.with(connections: limits) { rack in
            let connection = try RawConnection(port: port(rack))
            for _ in 0..<2 {
                connection.send(head(rack, "GET /healthz"))
                #expect(connection.read(until: "ok").contains("200 OK"))
            }
            #expect(connection.rest() == ("", true))
        }
    }

    @Test("a body that trickles is cut off") func body() async throws {
        var limits = Self.short
        limits.bodyWindow = .milliseconds(200)
        try await Rack.with(connections: limits) { rack in
            let connection = try RawConnection(port: port(rack))
            connection.send(head(rack, "POST /v1/tokens", "Content-Length: 100000\r\n") + "{")
            #expect(connection.rest().ended)
            while !rack.control.kinds.contains("api.connection-slow") { try await Task.sleep(for: .milliseconds(5)) }
        }
    }

    @Test("without a valid token a body is not waited for: the answer comes, and the connection ends") func unauthorised() async throws {
        try await Rack.with(connections: Self.short) { rack in
            for authorization in ["", "Authorization: Bearer hst_x\r\n"] {
                let connection = try RawConnection(port: port(rack))
                connection.send(
                    "PATCH /v1/machines/one HTTP/1.1\r\nHost: x\r\n\(authorization)Content-Length: 20000000\r\n\r\n"
                        + String(repeating: "x", count: 100_000))
                let answer = connection.rest()
                #expect(answer.text.hasPrefix("HTTP/1.1 401") && answer.text.lowercased().contains("connection: close"), "\(answer.text)")
                #expect(answer.ended)
            }
        }
    }

    @Test("a body that is too large is answered and not taken; one that fits is, and the connection is kept") func large() async throws {
        try await Rack.with(connections: Self.short) { rack in
            let connection = try RawConnection(port: port(rack))
            connection.send(head(rack, "POST /v1/tokens", "Content-Length: 3000000\r\n") + String(repeating: " ", count: 300_000))
            #expect(connection.rest().text.hasPrefix("HTTP/1.1 413"))
            let kept = try RawConnection(port: port(rack))
            let body = String(repeating: " ", count: 500_000) + #"{"name":"n","role":"viewer"}"#
            for _ in 0..<2 {
                kept.send(head(rack, "POST /v1/tokens", "Content-Length: \(body.utf8.count)\r\n") + body)
                #expect(kept.read(until: "secret").contains("201 Created"))
            }
        }
    }

    @Test("beyond the limit a connection is closed before anything is said, and room that is given back is taken again")
    func tooMany() async throws {
        var limits = Self.short
        limits.perLoopback = 4
        try await Rack.with(connections: limits) { rack in
            var open = try (0..<4).map { _ in try RawConnection(port: port(rack)) }
            for connection in open {
                connection.send(head(rack, "GET /healthz"))
                #expect(connection.read(until: "ok").contains("200 OK"))
            }
            let refused = try RawConnection(port: port(rack))
            refused.send(head(rack, "GET /healthz"))
            #expect(refused.rest() == ("", true))
            while !rack.control.kinds.contains("api.connection-refused") { try await Task.sleep(for: .milliseconds(5)) }
            open.removeLast()
            var answer = ""
            while !answer.contains("200 OK") {
                let next = try RawConnection(port: port(rack))
                next.send(head(rack, "GET /healthz"))
                answer = next.read(until: "ok")
            }
        }
    }

    @Test("a watcher that does not read is cut off with the revision to go on from, and misses nothing when it does")
    func slowWatcher() async throws {
        var limits = Self.short
        limits.watch = WatchBuffer(batches: 8, bytes: 1 << 20)
        try await Rack.with(connections: limits) { rack in
            let start = try await rack.store.currentRevision()
            let watcher = try RawConnection(port: port(rack))
            watcher.send(head(rack, "GET /v1/machines?watch=true&after=\(start)"))
            var seen = Self.ids(watcher.read(until: "watching"))
            var machine = try await rack.machine("one")
            machine.desired.labels["l"] = String(repeating: "x", count: 200_000)
            // More than the kernel's buffers and the store's hold together.
            var last = Revision.zero
            for _ in 0..<60 { last = try await rack.control.put(machine) }
            let text = watcher.read(until: "\r\n0\r\n\r\n")
            seen += Self.ids(text)
            #expect(text.contains("event: error") && seen.count < 61)
            // The error's own id is that of the last event before it.
            #expect(seen.count >= 2 && seen.last == seen.dropLast().last)
            seen.removeLast()
            let again = try RawConnection(port: port(rack))
            again.send(head(rack, "GET /v1/machines?watch=true&after=\(try #require(seen.last))"))
            seen += Self.ids(again.read(until: "id: \(last)\n"))
            #expect(seen == Array(start.rawValue + 1...last.rawValue))
        }
    }

    private static func ids(_ text: String) -> [Int64] {
        text.split(separator: "\n").filter { $0.hasPrefix("id: ") }.compactMap { Int64($0.dropFirst(4).trimmingCharacters(in: .whitespaces)) }
    }

    @Test("who never reads again is gone after a while, and takes nothing of the server with it") func stalled() async throws {
        var limits = Self.short
        limits.stall = .milliseconds(300)
        limits.watch = WatchBuffer(batches: 10_000, bytes: 1 << 30)
        try await Rack.with(connections: limits) { rack in
            let watchers = try (0..<20).map { _ in try RawConnection(port: port(rack)) }
            for watcher in watchers {
                watcher.send(head(rack, "GET /v1/machines?watch=true"))
                _ = watcher.read(until: "watching")
            }
            var machine = try await rack.machine("one")
            machine.desired.labels["l"] = String(repeating: "x", count: 200_000)
            for _ in 0..<60 { _ = try await rack.control.put(machine) }
            // Who reads before the server has given it up is no such one.
            while rack.tokens.lives.count > 0 { try await Task.sleep(for: .milliseconds(5)) }
            // The server's side is closed: what the kernel had is all that is left to read.
            for watcher in watchers {
                let ended = watcher.rest().ended
                #expect(ended)
            }
        }
    }

    @Test("two hundred watchers that do not read cost neither memory without end nor the writers' time") func manyStalled() async throws {
        try await Rack.with(connections: Self.short) { rack in
            var machine = try await rack.machine("one")
            machine.desired.labels["l"] = String(repeating: "x", count: 50_000)
            func writes(_ count: Int) async throws -> Duration {
                var times: [Duration] = []
                for _ in 0..<count {
                    let start = ContinuousClock.now
                    _ = try await rack.control.put(machine)
                    times.append(.now - start)
                }
                return times.sorted()[count / 2]
            }
            let alone = try await writes(100)
            let before = Self.residentBytes()
            let watchers = try (0..<200).map { _ in try RawConnection(port: port(rack)) }
            for watcher in watchers { watcher.send(head(rack, "GET /v1/machines?watch=true", as: .viewer)) }
            while rack.tokens.lives.count < 400 { try await Task.sleep(for: .milliseconds(5)) }
            // 25 MB of changes: kept for each watcher, they were 5 GB.
            let watched = try await writes(500)
            let grown = (Self.residentBytes() - before) >> 20
            print("a write: \(alone) alone, \(watched) with 200 watchers that do not read; memory grew by \(grown) MiB")
            #expect(watched < alone * 10 + .milliseconds(10))
            #expect(grown < 400)
            withExtendedLifetime(watchers) {}
        }
    }

    private static func residentBytes() -> Int {
        let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
        return (pages ?? 0) * 4096
    }

    @Test("a token's end ends what it opened: by the API, by another's hand, by its time; other tokens' stay", arguments: ["api", "store", "time"])
    func tokenEnds(_ how: String) async throws {
        try await Rack.with(connections: Self.short) { rack in
            let until = how == "time" ? Timestamp(milliseconds: TokenStore.wallClock().milliseconds + 700) : nil
            let made = try await rack.tokens.create(name: "guest", role: .viewer, expiresAt: until)
            let paths = ["machines", "events", "operations"].map { "/v1/\($0)?watch=true" }
            let guests = try paths.map { path in
                let connection = try RawConnection(port: port(rack))
                connection.send("GET \(path) HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(made.secret)\r\n\r\n")
                #expect(connection.read(until: "watching").contains("200 OK"))
                return connection
            }
            let other = try RawConnection(port: port(rack))
            other.send(head(rack, "GET /v1/machines?watch=true", as: .viewer))
            _ = other.read(until: "watching")
            switch how {
            case "api": #expect(try await rack.sendAgreed(.DELETE, "/v1/tokens/\(made.token.id)").status == 204)
            case "store": try await rack.store.commit([.delete(key: "/tokens/\(made.token.id)", if: .exists)])
            default: break
            }
            for guest in guests {
                let last = guest.read(until: "\r\n0\r\n\r\n")
                #expect(last.contains("event: error") && last.contains("id: "), "\(last)")
            }
            #expect(try await rack.send(.GET, "/v1/status", token: made.secret).status == 401)
            try await rack.machine("after")
            #expect(other.read(until: "after").contains("event: put"))
        }
    }

    @Test("a token's end cuts a download off that is under way") func download() async throws {
        try await Rack.with(connections: Self.short, hasBackup: true) { rack in
            let made = try await rack.tokens.create(name: "guest", role: .admin)
            let connection = try RawConnection(port: port(rack))
            connection.send("POST /v1/backup HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(made.secret)\r\nContent-Length: 0\r\n\r\n")
            let begun = connection.read(until: "\r\n\r\n")
            #expect(begun.contains("200 OK") && begun.lowercased().contains("content-length: \(Rack.backupBytes)"))
            try await rack.tokens.revoke(made.token.id)
            while rack.tokens.lives.count > 0 { try await Task.sleep(for: .milliseconds(5)) }
            let (text, ended) = connection.rest()
            #expect(ended && text.utf8.count < Rack.backupBytes)
        }
    }

    @Test("a token that ends by itself is refused from then on, is shown with its end, and is no last admin") func expiry() async throws {
        try await Rack.with { rack in
            let past = try await rack.send(.POST, "/v1/tokens", body: #"{"name":"n","role":"viewer","expiresAt":"2020-01-01T00:00:00Z"}"#)
            #expect(past.status == 422 && past.code == "token-expired")
            let wrong = try await rack.send(.POST, "/v1/tokens", body: #"{"name":"n","role":"viewer","expiresAt":-9223372036854775808}"#)
            #expect(wrong.status == 400)
            let made = try await rack.send(.POST, "/v1/tokens", body: #"{"name":"n","role":"admin","expiresAt":"2199-01-01T00:00:00Z"}"#)
                .decode(NewToken.self)
            #expect(made.token.expiresAt?.description == "2199-01-01T00:00:00.000Z")
            #expect(try await rack.send(.GET, "/v1/status", token: made.secret).status == 200)
            let admin = try #require(try await rack.tokens.list().first { $0.name == "admin" })
            #expect(try await rack.send(.DELETE, "/v1/tokens/\(admin.id)").code == "last-admin-token")
            #expect(try await rack.sendAgreed(.DELETE, "/v1/tokens/\(made.token.id)").status == 204)
        }
    }
}
