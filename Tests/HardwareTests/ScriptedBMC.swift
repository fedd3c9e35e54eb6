import Crypto
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import SwiftASN1
import Synchronization
import X509

@testable import Hardware

/// A BMC in this process whose every answer the test writes.
final class ScriptedBMC: Sendable {
    struct Question: Sendable {
        var method: String
        var path: String
        var headers: [String: String]
        var body: JSON
    }

    enum Answer: Sendable {
        case json(Int, JSON, [String: String] = [:])
        case text(Int, String, [String: String] = [:])
        /// A body of so many bytes, sent in pieces.
        case flood(bytes: Int)
        /// The head and a few bytes, then the socket is closed.
        case closedInTheMiddle
        case hang
    }

    typealias Script = @Sendable (Question) -> Answer
    private let channel: any Channel
    private let asked = Mutex<[Question]>([])
    let script: Mutex<Script>
    let isTLS: Bool

    private init(_ channel: any Channel, _ script: @escaping Script, isTLS: Bool) {
        self.channel = channel
        self.script = Mutex(script)
        self.isTLS = isTLS
    }

    var questions: [Question] { asked.withLock { $0 } }
    var port: Int { channel.localAddress?.port ?? 0 }
    var address: RedfishAddress { RedfishAddress("\(isTLS ? "https" : "http")://127.0.0.1:\(port)")! }

    /// A server for the length of `body`, plain or with a certificate.
    static func with(tls: NIOSSLContext? = nil, _ script: @escaping Script, _ body: (ScriptedBMC) async throws -> Void) async throws {
        let server = Mutex<ScriptedBMC?>(nil)
        let box = Box(server)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.backlog, value: 512)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(Handler(box))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let bmc = ScriptedBMC(channel, script, isTLS: tls != nil)
        box.server.withLock { $0 = bmc }
        do { try await body(bmc) } catch {
            try? await channel.close()
            throw error
        }
        try? await channel.close()
    }

    final class Box: Sendable {
        let server: Mutex<ScriptedBMC?>
        init(_ server: consuming Mutex<ScriptedBMC?>) { self.server = server }
    }

    /// A certificate nobody signed but itself, long expired as BMCs' are.
    static func selfSigned() throws -> NIOSSLContext {
        let key = P256.Signing.PrivateKey()
        let name = try DistinguishedName { CommonName("bmc.invalid") }
        let certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey), notValidBefore: Date(timeIntervalSince1970: 0),
            notValidAfter: Date(timeIntervalSince1970: 86_400), issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: .init(), issuerPrivateKey: .init(key))
        var serializer = DER.Serializer()
        try serializer.serialize(certificate)
        let shown = try NIOSSLCertificate(bytes: serializer.serializedBytes, format: .der)
        let secret = try NIOSSLPrivateKey(bytes: Array(key.pemRepresentation.utf8), format: .pem)
        return try NIOSSLContext(configuration: .makeServerConfiguration(certificateChain: [.certificate(shown)], privateKey: .privateKey(secret)))
    }

    fileprivate func answer(_ question: Question) -> Answer {
        asked.withLock { $0.append(question) }
        return script.withLock { $0 }(question)
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        private let box: Box
        private var head: HTTPRequestHead?
        private var body = ByteBuffer()

        init(_ box: Box) { self.box = box }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                self.head = head
                body.clear()
            case .body(var part): body.writeBuffer(&part)
            case .end:
                guard let head, let server = box.server.withLock({ $0 }) else { return }
                var headers: [String: String] = [:]
                for (name, value) in head.headers { headers[name.lowercased()] = value }
                let question = Question(
                    method: head.method.rawValue, path: head.uri, headers: headers,
                    body: (try? JSONParser.parse(Array(body.readableBytesView))) ?? .null)
                reply(server.answer(question), context)
            }
        }

        private func reply(_ answer: Answer, _ context: ChannelHandlerContext) {
            switch answer {
            case .json(let status, let json, let headers):
                send(status, json.encoded, headers.merging(["content-type": "application/json"]) { a, _ in a }, context)
            case .text(let status, let text, let headers): send(status, Array(text.utf8), headers, context)
            case .flood(let bytes): send(200, [UInt8](repeating: UInt8(ascii: "["), count: bytes), ["content-type": "application/json"], context)
            case .closedInTheMiddle:
                let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: ["content-length": "5000"])
                context.write(wrapOutboundOut(.head(head)), promise: nil)
                context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: #"{"Members": ["#)))), promise: nil)
                context.close(promise: nil)
            case .hang: break
            }
        }

        private func send(_ status: Int, _ bytes: [UInt8], _ headers: [String: String], _ context: ChannelHandlerContext) {
            var fields = HTTPHeaders(headers.map { ($0.key, $0.value) })
            fields.replaceOrAdd(name: "content-length", value: String(bytes.count))
            context.write(wrapOutboundOut(.head(.init(version: .http1_1, status: .init(statusCode: status), headers: fields))), promise: nil)
            if !bytes.isEmpty { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: nil) }
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}

/// The state of a well-behaved BMC, and its script.
final class GoodBMC: Sendable {
    struct State: Sendable {
        var power = "Off"
        var target = "None"
        var enabled = "Disabled"
        var uri: String?
        var password = "calvin"
        var image: String?
        var etag = 1
        var resets: [String] = []
        /// Says OK to resets and does nothing.
        var isLying = false
        /// Power changes at once.
        var polls = 0
    }
    let state = Mutex(State())

    static let system = "/redfish/v1/Systems/1"

    func answer(_ question: ScriptedBMC.Question) -> ScriptedBMC.Answer {
        let path = question.path.hasSuffix("/") && question.path.count > 1 ? String(question.path.dropLast()) : question.path
        if path == "/redfish/v1" { return .json(200, Self.root) }
        if path == "/redfish/v1/SessionService/Sessions" { return login(question) }
        guard question.headers["x-auth-token"] == "token-\(state.withLock { $0.password })" else {
            return .json(401, ["error": ["@Message.ExtendedInfo": [["MessageId": "Base.1.0.NoValidSession", "Message": "Log in first."]]]])
        }
        switch (question.method, path) {
        case ("GET", "/redfish/v1/Systems"):
            return .json(200, ["@odata.id": "/redfish/v1/Systems", "Members": [["@odata.id": .string(Self.system)]]])
        case ("GET", Self.system): return .json(200, system, ["etag": "W/\"\(state.withLock { $0.etag })\""])
        case ("PATCH", Self.system): return patch(question)
        case ("POST", Self.system + "/Actions/ComputerSystem.Reset"): return reset(question.body["ResetType"]?.text ?? "")
        case ("GET", "/redfish/v1/AccountService"):
            return .json(200, ["@odata.id": .string(path), "Accounts": ["@odata.id": "/redfish/v1/AccountService/Accounts"]])
        case ("GET", "/redfish/v1/AccountService/Accounts"):
            return .json(200, ["Members": [["@odata.id": "/redfish/v1/AccountService/Accounts/2"]]])
        case ("GET", "/redfish/v1/AccountService/Accounts/2"): return .json(200, ["@odata.id": .string(path), "UserName": "root"])
        case ("PATCH", "/redfish/v1/AccountService/Accounts/2"):
            state.withLock { $0.password = question.body["Password"]?.text ?? "" }
            return .text(204, "")
        case ("DELETE", _): return .text(204, "")
        default: return .json(404, ["error": ["message": "not here"]])
        }
    }

    static let root: JSON = [
        "@odata.id": "/redfish/v1/", "RedfishVersion": "1.6.0", "Vendor": "Contoso",
        "Systems": ["@odata.id": "/redfish/v1/Systems"], "AccountService": ["@odata.id": "/redfish/v1/AccountService"],
        "Links": ["Sessions": ["@odata.id": "/redfish/v1/SessionService/Sessions"]],
    ]

    private func login(_ question: ScriptedBMC.Question) -> ScriptedBMC.Answer {
        let password = state.withLock { $0.password }
        guard question.body["Password"]?.text == password else { return .json(401, ["error": ["message": "wrong"]]) }
        return .json(
            201, ["@odata.id": "/redfish/v1/SessionService/Sessions/9"],
            [
                "x-auth-token": "token-\(password)", "location": "/redfish/v1/SessionService/Sessions/9",
            ])
    }

    private var system: JSON {
        state.withLock { state in
            [
                "@odata.id": .string(Self.system), "Id": "1", "UUID": "4C4C4544-0035", "PowerState": .string(state.power),
                "Status": ["Health": "OK"],
                "Boot": [
                    "BootSourceOverrideTarget": .string(state.target), "BootSourceOverrideEnabled": .string(state.enabled),
                    "BootSourceOverrideMode": "UEFI", "HttpBootUri": state.uri.map { .string($0) } ?? .null,
                    "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd", "Cd", "UefiHttp"],
                ],
                "Actions": [
                    "#ComputerSystem.Reset": [
                        "target": .string(Self.system + "/Actions/ComputerSystem.Reset"),
                        "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "GracefulShutdown", "ForceRestart"],
                    ]
                ],
            ]
        }
    }

    private func patch(_ question: ScriptedBMC.Question) -> ScriptedBMC.Answer {
        state.withLock { state in
            if let match = question.headers["if-match"], match != "W/\"\(state.etag)\"", match != "*" { return .text(412, "") }
            let boot = question.body["Boot"]
            state.target = boot?["BootSourceOverrideTarget"]?.text ?? state.target
            state.enabled = boot?["BootSourceOverrideEnabled"]?.text ?? state.enabled
            state.uri = boot?["HttpBootUri"]?.text ?? state.uri
            state.etag += 1
            return .text(204, "")
        }
    }

    private func reset(_ type: String) -> ScriptedBMC.Answer {
        state.withLock { state in
            state.resets.append(type)
            if !state.isLying { state.power = type == "On" || type == "ForceRestart" ? "On" : "Off" }
            return .text(204, "")
        }
    }

    /// A client of a server that runs this.
    static func client(
        _ server: ScriptedBMC, password: String = "calvin", trust: CertificateTrust = .init(pinned: nil), timeout: Duration = .seconds(5)
    ) -> RedfishBMC {
        let transport = HTTPTransport(server.address, trust: trust, timeout: timeout)
        let client = RedfishClient(
            transport: transport, address: server.address.description, credentials: .init(userName: "root", password: password))
        return RedfishBMC(client: client, trust: trust)
    }
}
