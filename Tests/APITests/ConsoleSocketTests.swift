import Consoles
import Foundation
import Model
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Synchronization
import Testing

@testable import API

/// One machine's console, of which the test holds the other end.
final class OneConsole: ConsoleControl {
    let console = Consoles.Console(.init())
    let problem = Mutex<Problem?>(nil)

    func consoleState(machine: String) async throws -> ConsoleState {
        guard machine == "one" else { throw Problem.notFound("machine", machine) }
        var state = ConsoleState(machine: MachineID(unchecked: "m-test01"))
        state.problem = problem.withLock { $0 }
        state.connected = state.problem == nil
        state.recordedBytes = console.contents.count
        return state
    }
    func console(machine: String) async throws -> Consoles.Console { console }
}

@Suite("A console's websocket", .timeLimit(.minutes(1))) struct ConsoleSocketTests {
    private static let path = "/v1/machines/one/console/socket"

    /// A client of RFC 6455 that shows every frame.
    private func visit(
        _ rack: Rack, path: String = path, as role: Role = .operator, _ body: @escaping @Sendable (Visit) async throws -> Void
    ) async throws -> Bool {
        let port = Int(rack.base.split(separator: ":").last ?? "") ?? 0
        let secret = rack.secrets[role] ?? ""
        typealias Frames = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>
        let opening = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(host: "127.0.0.1", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                let upgrader = NIOTypedWebSocketClientUpgrader<Frames?> { channel, _ in
                    channel.eventLoop.makeCompletedFuture { try Frames(wrappingChannelSynchronously: channel) }
                }
                let head = HTTPRequestHead(
                    version: .http1_1, method: .GET, uri: path,
                    headers: ["Host": "127.0.0.1", "Authorization": "Bearer \(secret)", "Content-Length": "0"])
                let upgrades = NIOTypedHTTPClientUpgradeConfiguration(upgradeRequestHead: head, upgraders: [upgrader]) { channel in
                    channel.close(promise: nil)
                    return channel.eventLoop.makeSucceededFuture(nil)
                }
                var pipeline = NIOUpgradableHTTPClientPipelineConfiguration(upgradeConfiguration: upgrades)
                // The first frames may come with the answer.
                pipeline.leftOverBytesStrategy = .forwardBytes
                return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(configuration: pipeline)
            }
        }
        guard let frames = try await opening.get() else { return false }
        try await frames.executeThenClose { inbound, outbound in
            let visit = Visit(inbound: .init(inbound.makeAsyncIterator()), outbound: outbound)
            try await body(visit)
        }
        return true
    }

    /// Frames one after the other.
    private final class Visit: @unchecked Sendable {
        private var inbound: Iterator
        let outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>

        final class Iterator {
            var iterator: NIOAsyncChannelInboundStream<WebSocketFrame>.AsyncIterator
            init(_ iterator: NIOAsyncChannelInboundStream<WebSocketFrame>.AsyncIterator) { self.iterator = iterator }
        }
        init(inbound: Iterator, outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>) {
            self.inbound = inbound
            self.outbound = outbound
        }

        /// The next frame that is no ping.
        func next() async throws -> (WebSocketOpcode, String)? {
            while let frame = try await inbound.iterator.next() {
                guard frame.opcode != .ping else { continue }
                return (frame.opcode, String(buffer: frame.unmaskedData))
            }
            return nil
        }
        /// Bytes of the machine, until they end with `text`.
        func heard(_ text: String) async throws {
            var all = ""
            while !all.hasSuffix(text) {
                guard let (opcode, part) = try await next() else {
                    Issue.record("it ended with \(all)")
                    return
                }
                if opcode == .binary { all += part }
            }
        }
        func closedWith() async throws -> WebSocketErrorCode? {
            while let frame = try await inbound.iterator.next() {
                guard frame.opcode == .connectionClose else { continue }
                var data = frame.unmaskedData
                return data.readWebSocketErrorCode()
            }
            return nil
        }
        func send(_ opcode: WebSocketOpcode, _ text: String, masked: Bool = true) async throws {
            try await outbound.write(
                WebSocketFrame(fin: true, opcode: opcode, maskKey: masked ? .random() : nil, data: ByteBuffer(string: text)))
        }
    }

    private func serving(_ body: @escaping @Sendable (Rack, OneConsole) async throws -> Void) async throws {
        let one = OneConsole()
        try await Rack.with(consoles: one) { rack in
            try await rack.machine("one")
            try await body(rack, one)
        }
    }

    @Test("a person sees the state, the past as lines, what comes, and types; that they came and went is on record")
    func conversation() async throws {
        try await serving { rack, one in
            let typed = Typed()
            one.console.setKeyboard { bytes in
                typed.add(bytes)
                one.console.received(Array("echo:".utf8) + bytes)
                return true
            }
            one.console.received(Array("\u{1b}[6nold \u{1b}[1mlines\u{1b}[0m\r\n".utf8))
            let came = try await visit(rack) { visit in
                let first = try #require(try await visit.next())
                #expect(first.0 == .text && first.1.contains(#""connected":true"#))
                let past = try #require(try await visit.next())
                #expect(past.0 == .binary && past.1 == "old lines\r\n", "a terminal would have answered to what was in it")
                one.console.received(Array("\u{1b}[6nnew".utf8))
                try await visit.heard("\u{1b}[6nnew")
                try await visit.send(.binary, "ls\r")
                try await visit.heard("echo:ls\r")
                try await visit.send(.text, "x")
                try await visit.heard("echo:x")
                one.console.setKeyboard(nil)
                try await visit.send(.binary, "lost")
                let note = try #require(try await visit.next())
                #expect(note.0 == .text && note.1 == #"{"lost":true}"#)
                try await visit.send(.connectionClose, "")
                #expect(try await visit.closedWith() == .normalClosure)
            }
            #expect(came)
            #expect(typed.bytes == Array("ls\rx".utf8))
            while one.console.readerCount > 0 { try await Task.sleep(for: .milliseconds(5)) }
            while !rack.control.kinds.contains("console.closed") { try await Task.sleep(for: .milliseconds(5)) }
            #expect(rack.control.kinds == ["console.opened", "console.closed"])
        }
    }

    @Test("any number sit at one console; a viewer reads along and is shown out when typing")
    func viewers() async throws {
        try await serving { rack, one in
            one.console.setKeyboard { _ in
                Issue.record("a viewer typed")
                return true
            }
            let came = try await visit(rack) { first in
                _ = try await first.next()
                let second = try await visit(rack, as: .viewer) { viewer in
                    _ = try await viewer.next()
                    one.console.received(Array("both".utf8))
                    try await viewer.heard("both")
                    try await first.heard("both")
                    try await viewer.send(.binary, "rm -rf /\r")
                    #expect(try await viewer.closedWith() == .policyViolation)
                }
                #expect(second)
            }
            #expect(came)
        }
    }

    @Test("a frame that is not masked ends it, and the machine's end ends it")
    func endings() async throws {
        try await serving { rack, one in
            _ = try await visit(rack) { visit in
                try await visit.send(.binary, "x", masked: false)
                #expect(try await visit.closedWith() == .protocolError)
            }
            _ = try await visit(rack) { visit in
                _ = try await visit.next()
                one.console.close()
                #expect(try await visit.closedWith() == .goingAway)
            }
        }
    }

    @Test("who may not, or asks for what is not there, gets an answer by HTTP that says why")
    func refusals() async throws {
        try await serving { rack, one in
            #expect(try await visit(rack, path: "/v1/machines/two/console/socket") { _ in } == false)
            #expect(try await rack.send(.GET, "/v1/machines/two/console/socket").status == 404)
            #expect(try await rack.send(.GET, Self.path, as: nil).status == 401)
            #expect(try await rack.send(.GET, Self.path, token: "hst_x").status == 401)
            #expect(try await rack.send(.GET, Self.path).code == "upgrade-required")
            // With an Upgrade header and a wrong token: the same answer as without.
            let answer = try await rack.send(
                .GET, Self.path, token: "hst_wrong",
                headers: [
                    "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13",
                ])
            #expect(answer.status == 401)
            one.problem.withLock { $0 = Problem("bmc-unsupported", status: 422, title: "This BMC has none") }
            #expect(try await visit(rack) { _ in } == false)
            #expect(try await rack.send(.GET, Self.path).code == "bmc-unsupported")
            // What was recorded while there was one is still to be seen.
            one.console.received(Array("\u{1b}[2Jpanic\r\n".utf8))
            #expect(try await rack.send(.GET, "/v1/machines/one/console/log").text == "panic\n")
            #expect(try await rack.send(.GET, "/v1/machines/one/console/log?raw=true").text == "\u{1b}[2Jpanic\r\n")
            #expect(try await visit(rack) { visit in _ = try await visit.next() })
        }
    }

    @Test("whose token is taken away is shown out soon")
    func revoked() async throws {
        try await serving { rack, _ in
            let came = try await visit(rack) { visit in
                _ = try await visit.next()
                let tokens = try await rack.tokens.list()
                try await rack.tokens.revoke(try #require(tokens.first { $0.role == .operator }).id)
                #expect(try await visit.closedWith() == .policyViolation)
            }
            #expect(came)
        }
    }

    @Test("a first request that is none is answered, and a flood behind a request for another protocol ends the connection")
    func rubbish() async throws {
        try await serving { rack, _ in
            let port = Int(rack.base.split(separator: ":").last ?? "") ?? 0
            func talk(_ parts: [String]) async throws -> String {
                let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(host: "127.0.0.1", port: port) {
                    channel in
                    channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel) }
                }
                return try await channel.executeThenClose { inbound, outbound in
                    for part in parts { try? await outbound.write(ByteBuffer(string: part)) }
                    var answer = ""
                    do { for try await bytes in inbound { answer += String(buffer: bytes) } } catch {}
                    return answer
                }
            }
            #expect(try await talk(["rubbish\r\n\r\n"]).hasPrefix("HTTP/1.1 400"))
            #expect(try await talk(["GET /v1/status HTTP/1.1\r\nX: \(String(repeating: "y", count: 200_000))\r\n\r\n"]).hasPrefix("HTTP/1.1 4"))
            let head = "GET \(Self.path) HTTP/1.1\r\nHost: x\r\nUpgrade: z\r\nConnection: upgrade\r\n\r\n"
            // It ends, whatever was answered before.
            _ = try await talk([head] + Array(repeating: String(repeating: "z", count: 65_536), count: 64))
        }
    }

    @Test("HTTP on the same port goes on as it did: kept connections, broken requests, other upgrades")
    func plainHTTP() async throws {
        try await serving { rack, _ in
            for _ in 0..<3 { #expect(try await rack.send(.GET, "/v1/status", as: .viewer).status == 200) }
            let other = try await rack.send(.GET, "/v1/status", as: .viewer, headers: ["Upgrade": "h2c", "Connection": "Upgrade"])
            #expect(other.status == 200)
            let body = try await rack.send(
                .POST, "/v1/tokens", body: #"{"name":"n","role":"viewer"}"#,
                headers: [
                    "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13",
                ])
            #expect(body.status == 201)
        }
    }
}

private final class Typed: Sendable {
    private let all = Mutex<[UInt8]>([])
    func add(_ bytes: [UInt8]) { all.withLock { $0 += bytes } }
    var bytes: [UInt8] { all.withLock { $0 } }
}
