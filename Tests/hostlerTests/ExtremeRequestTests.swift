import AsyncHTTPClient
import Control
import Foundation
import Logging
import Model
import NIOCore
import NIOHTTP1
import NIOPosix
import OCI
import Store
import Testing
import Wire

@testable import API

/// One image that is never fetched.
private struct NoImages: ImageCatalog, ImageShelf {
    func image(named name: String) async throws -> InstallableImage? { nil }
    func image(digest: String) async throws -> InstallableImage? { nil }
    func summaries() async throws -> [ImageSummary] { [] }
    func summary(named name: String) async throws -> ImageSummary? { nil }
    func removeImage(named name: String) async throws {}
    func importImage(
        _ name: String, from url: String, sha256: String?, progress: @escaping @Sendable (Model.Progress) -> Void
    ) async throws {}
}

@Suite("No request can trap the server", .timeLimit(.minutes(5))) struct ExtremeRequestTests {
    /// A valid body for each schema that a route takes. A new one comes with its sample.
    private static let bodies: [String: String] = [
        "MachinePatch": """
        {"name":"n","hostname":"h","labels":{"a":"b","c":null},"tags":{"a":"b"},"sshKeys":["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA x"],
         "userData":{"data":"AA==","access":"once"},"lease":{"endsAt":"2030-01-01T00:00:00Z","holder":"h"},
         "network":{"ethernets":[{"name":"eth0","mac":"52:54:00:00:00:01","rename":true,"addressing":{"dhcp":true,"addresses":["10.0.0.2/24"],
           "routes":[{"to":"0.0.0.0/0","via":"10.0.0.1","metric":5}],"nameservers":["10.0.0.1"],"searchDomains":["x"],"mtu":1500}}],
           "bonds":[{"name":"bond0","mode":"802.3ad","members":["eth0"],"monitorMilliseconds":100,"addressing":{"dhcp":true}}],
           "vlans":[{"name":"v","id":4,"link":"bond0"}],"bridges":[{"name":"br0","members":["v"],"spanningTree":true}]}}
        """,
        "MachineBulkPatch": #"{"items":[{"machine":"one","patch":{"lease":{"endsAt":"2030-01-01T00:00:00Z"}},"revision":3}]}"#,
        "InstallRequest":
            #"{"image":"debian-12","hostname":"h","sshKeys":["k"],"userData":"AA==","networkConfig":"version: 2","disk":"D","restart":"kexec","dataSource":"ec2"}"#,
        "WipeRequest": #"{"disks":["D"]}"#,
        "RescueRequest": #"{"sshKeys":["k"]}"#,
        "OperationBulk":
            #"{"items":[{"machine":"one","confirm":"c","install":{"image":"debian-12"}},{"machine":"one","inspect":{}},{"machine":"one","wipe":{"disks":["D"]}}]}"#,
        "FreezeRequest": #"{"reason":"r"}"#,
        "ImageRequest": #"{"name":"n","url":"http://127.0.0.1:1/x","sha256":"aa"}"#,
        "TokenRequest": #"{"name":"n","role":"viewer","expiresAt":"2199-01-01T00:00:00Z"}"#,
        "BMCRequest":
            #"{"kind":"redfish","address":"127.0.0.1:1","userName":"u","password":"p","machine":"one","system":"1","fingerprint":"SHA256:00","options":{"outlet":"1"}}"#,
        "BMCScanRequest": #"{"network":"127.0.0.0/30"}"#,
        "BMCTrust": #"{"fingerprint":"SHA256:00"}"#,
        "BMCBindRequest": #"{"machine":"m-0001"}"#,
        "AttestationRuleRequest": #"{"rule":"required"}"#,
        "InterfaceRequest": #"{"mac":"52:54:00:00:00:02"}"#,
        "MachineAddition": #"{"mac":"52:54:00:00:00:05","name":"added"}"#,
        "BootOverride": #"{"target":"pxe","persistent":false,"uri":"http://x","uefi":true}"#,
        "PowerRequest": #"{"action":"on"}"#,
        "FirmwareSettingsChange": #"{"attributes":{"a":1,"b":"x","c":true}}"#,
        "SecureBoot": #"{"enabled":true}"#,
        "MediaRequest": #"{"image":"http://x"}"#,
        "FirmwareUpdateRequest": #"{"url":"http://x","targets":["/t"]}"#,
        "WorkloadTokenRequest": #"{"audience":"a","lifetimeSeconds":600}"#,
        "UserCertificateRequest":
            #"{"publicKey":"ssh-ed25519 AAAA","principals":["p"],"lifetimeSeconds":600,"sourceAddresses":["10.0.0.0/8"],"forceCommand":"x"}"#,
        "HostCertificateRequest": #"{"publicKey":"ssh-ed25519 AAAA","principals":["p"],"lifetimeSeconds":600}"#,
    ]

    @Test("every field of every body, every query parameter and every part of a path takes every extreme") func everything() async throws {
        let store = MemoryStore()
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let control = try await ControlPlane.open(
            store: store, images: NoImages(), environment: ControlEnvironment(now: TokenStore.wallClock, logger: logger))
        var machine = Machine(
            id: MachineID(unchecked: "m-0000"), name: try DisplayName("one"), interfaces: [Interface(mac: MACAddress(value: 1))],
            now: TokenStore.wallClock())
        machine.state = .ready
        try await store.commit([.put(key: machine.key, value: RecordCoding.encode(machine), if: .none)])
        let tokens = TokenStore(store: store)
        let secret = try await tokens.create(name: "admin", role: .admin).secret
        let (ports, feed) = AsyncStream.makeStream(of: Int.self)
        let server = APIServer(
            configuration: .init(address: "127.0.0.1", port: 0, tls: .off), control: control, images: NoImages(), tokens: tokens,
            surroundings: .init(version: "test"), eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger,
            onRunning: { feed.yield($0) })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await control.run() }
            group.addTask { try await server.run() }
            defer { group.cancelAll() }
            let port = try #require(await ports.first { _ in true })
            let client = HTTPClient.shared
            func send(_ method: String, _ target: String, _ body: String?) async throws -> Int {
                var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(target)")
                request.method = HTTPMethod(rawValue: method)
                request.headers.add(name: "Authorization", value: "Bearer \(secret)")
                if let body { request.body = .bytes(ByteBuffer(string: body)) }
                let response = try await client.execute(request, timeout: .seconds(30))
                _ = try await response.body.collect(upTo: 64 << 20)
                return Int(response.status.code)
            }
            var sent = 0
            // While the rack is frozen most routes would only say so.
            for route in APIRouter.routes where route.name != "freeze" && route.path != "/v1/machines/{machine}/console/socket" && !Self.isSlow(route)
            {
                for request in try Self.requests(of: route) {
                    let status = try await send(route.method.rawValue, request.target, request.body)
                    #expect(status != 500, "\(route.method.rawValue) \(request.target.prefix(200)) \(request.body?.prefix(300) ?? "")")
                    sent += 1
                }
            }
            #expect(sent > 2000)
            #expect(try await send("GET", "/healthz", nil) == 200)
        }
    }

    /// What the machine's own work would be: without BMCs it ends at once, except a wait for nothing.
    private static func isSlow(_ route: Route) -> Bool { route.name == "takeBackup" }

    private static func requests(of route: Route) throws -> [(target: String, body: String?)] {
        let path = route.path.replacing("{machine}", with: "one")
        var requests: [(String, String?)] = []
        if let schema = route.body {
            let sample = try #require(bodies[schema], "no sample of \(schema)")
            try ExtremeValues(sample).forEach { requests.append((path.replacing(/\{[a-z]+\}/, with: "x-0000"), $0)) }
        }
        let short = ExtremeValues.values.filter { $0.utf8.count < 5000 }.map(\.percentEncoded)
        for value in short {
            if route.path.contains("{") { requests.append((route.path.replacing(/\{[a-z]+\}/, with: value), route.body.flatMap { bodies[$0] })) }
            for parameter in route.parametersOfQuery where parameter.name != "watch" {
                requests.append(("\(path.replacing(/\{[a-z]+\}/, with: "x-0000"))?\(parameter.name)=\(value)", nil))
            }
        }
        // A route that forgets what it was tried on would leave nothing to try.
        return route.method == .delete && route.path == "/v1/machines/{machine}" || route.path.hasPrefix("/v1/tokens/")
            ? requests.filter { !$0.0.hasSuffix("/one") } : requests
    }
}
