import AsyncHTTPClient
import Foundation
import Model
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Testing

@testable import VirtualBMC

/// A BMC on loopback for the time of a test.
private func withBMC(
    tls: Bool = false, faults: [Misbehaviour] = [],
    _ body: @Sendable @escaping (VirtualBMC, SimulatedHardware, VirtualBMCServer, HTTPClient) async throws -> Void
) async throws {
    let hardware = SimulatedHardware(inventory: .simulated(1))
    let bmc = VirtualBMC(
        hardware: hardware,
        account: BMCAccount(id: "1", userName: "admin", password: "hostler-lab", role: .administrator),
        now: { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) })
    bmc.setFaults(faults)
    let certificates = tls ? try (1...2).map { try BMCCertificate(name: "bmc\($0)", address: "127.0.0.1") } : []
    let server = try await VirtualBMCServer(bmc, host: "127.0.0.1", port: 0, certificates: certificates)
    var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
    configuration.tlsConfiguration = .makeClientConfiguration()
    configuration.tlsConfiguration?.certificateVerification = .none
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    do {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            try await body(bmc, hardware, server, client)
            group.cancelAll()
        }
    } catch is CancellationError {
    } catch {
        try await client.shutdown()
        throw error
    }
    try await client.shutdown()
}

private func request(
    _ server: VirtualBMCServer, _ path: String, tls: Bool = false, method: HTTPMethod = .GET, body: JSON? = nil
) -> HTTPClientRequest {
    var request = HTTPClientRequest(
        url: "\(tls ? "https" : "http")://127.0.0.1:\(server.address.port ?? 0)/redfish/v1/\(path)")
    request.method = method
    request.headers.add(name: "Authorization", value: "Basic \(Data("admin:hostler-lab".utf8).base64EncodedString())")
    if let body { request.body = .bytes(ByteBuffer(bytes: body.bytes)) }
    return request
}

/// The certificate that a new connection is shown, in DER.
private func shownCertificate(_ server: VirtualBMCServer) async throws -> [UInt8] {
    let shown = MultiThreadedEventLoopGroup.singleton.any().makePromise(of: [UInt8].self)
    let context = try NIOSSLContext(configuration: .makeClientConfiguration())
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let handler = try NIOSSLClientHandler(
                    context: context, serverHostname: nil,
                    customVerificationCallback: { chain, verdict in
                        shown.completeWith(Result { try chain[0].toDERBytes() })
                        verdict.succeed(.certificateVerified)
                    })
                try channel.pipeline.syncOperations.addHandler(handler)
            }
        }
        .connect(to: server.address).get()
    defer { channel.close(promise: nil) }
    return try await shown.futureResult.get()
}

@Suite("a BMC on the network")
struct ServerTests {
    @Test("it is switched on over TLS, and the listener hears of it")
    func powerOn() async throws {
        try await withBMC(tls: true) { _, hardware, server, client in
            let stream = try await client.execute(request(server, "EventService/SSE", tls: true), timeout: .seconds(10))
            #expect(stream.headers.first(name: "Content-Type") == "text/event-stream")
            let reset = request(
                server, "Systems/1/Actions/ComputerSystem.Reset", tls: true, method: .POST, body: ["ResetType": "On"])
            let done = try await client.execute(reset, timeout: .seconds(10)).status
            #expect(done == .noContent)
            var heard = ""
            for try await part in stream.body {
                heard += String(buffer: part)
                if heard.contains("The system was powered on.") { break }
            }
            #expect(hardware.orders == [.power(.on)])
            #expect(await hardware.reading().power == .on)
        }
    }

    @Test("a lie is told with a straight face")
    func lie() async throws {
        try await withBMC(faults: [.lie]) { bmc, hardware, server, client in
            let reset = request(
                server, "Systems/1/Actions/ComputerSystem.Reset", method: .POST, body: ["ResetType": "On"])
            let done = try await client.execute(reset, timeout: .seconds(10)).status
            #expect(done == .noContent)
            let patch = request(server, "Systems/1", method: .PATCH, body: ["AssetTag": "lie"])
            let changed = try await client.execute(patch, timeout: .seconds(10)).status
            #expect(changed == .ok)
            #expect(hardware.orders.isEmpty)
            #expect(bmc.service.assetTag != "lie")
        }
    }

    @Test("a hung BMC takes the request and is silent")
    func hang() async throws {
        try await withBMC(faults: [.hang]) { _, _, server, client in
            await #expect(throws: HTTPClientError.self) {
                try await client.execute(request(server, "Systems/1"), timeout: .milliseconds(300))
            }
        }
    }

    @Test("one request in three is dropped")
    func drop() async throws {
        try await withBMC(faults: [.drop(oneIn: 3)]) { bmc, _, _, _ in
            var closed: [Bool] = []
            for _ in 0..<6 {
                let reply = await bmc.reply(to: RedfishRequest(method: "GET", target: "/redfish/v1/"))
                closed.append(reply == .close)
            }
            #expect(closed == [false, false, true, false, false, true])
        }
    }

    @Test("the connection ends in the middle of the body")
    func cut() async throws {
        try await withBMC(faults: [.cut]) { _, _, server, client in
            let response = try await client.execute(request(server, "Systems/1"), timeout: .seconds(5))
            #expect(response.status == .ok)
            await #expect(throws: (any Error).self) { try await response.body.collect(upTo: 1 << 20) }
        }
    }

    @Test("what should be JSON is a page, half of it, ten megabytes of it, an error, or elsewhere")
    func nonsense() async throws {
        try await withBMC { bmc, _, server, client in
            func read() async throws -> (HTTPClientResponse, [UInt8]) {
                let response = try await client.execute(request(server, "Systems/1"), timeout: .seconds(20))
                return (response, Array(try await response.body.collect(upTo: 20 << 20).readableBytesView))
            }
            bmc.setFaults([.html])
            let kind = try await read().0.headers.first(name: "Content-Type")
            #expect(kind == "text/html")
            bmc.setFaults([.truncate])
            let (whole, half) = try await read()
            #expect(whole.status == .ok)
            #expect(JSON(parsing: half) == nil)
            bmc.setFaults([.huge])
            let count = try await read().1.count
            #expect(count >= 10 << 20)
            bmc.setFaults([.error])
            let status = try await read().0.status
            #expect(status == .internalServerError)
            bmc.setFaults([.redirect(host: Misbehaviour.nowhere)])
            let place = try await read().0.headers.first(name: "Location")
            #expect(place == "https://192.0.2.1/redfish/v1/Systems/1")
            bmc.setFaults([.slow(milliseconds: 60)])
            let clock = ContinuousClock()
            let took = try await clock.measure { _ = try await read() }
            #expect(took >= .milliseconds(60))
        }
    }

    @Test("the certificate changes, and with the fault it goes")
    func certificate() async throws {
        try await withBMC(tls: true) { bmc, _, server, _ in
            let first = try await shownCertificate(server)
            bmc.setFaults([.certificate])
            let second = try await shownCertificate(server)
            bmc.setFaults([])
            #expect(first != second)
            let third = try await shownCertificate(server)
            #expect(third == first)
        }
    }

    @Test("an override that was forgotten is shown, and not obeyed")
    func forgetBoot() async throws {
        try await withBMC(faults: [.forgetBoot]) { bmc, hardware, server, client in
            let patch = request(
                server, "Systems/1", method: .PATCH, body: ["Boot": ["BootSourceOverrideTarget": "Pxe"]])
            let status = try await client.execute(patch, timeout: .seconds(10)).status
            #expect(status == .ok)
            #expect(bmc.service.bootOverride?.target == .pxe)
            #expect(hardware.orders == [.boot(nil)])
            try await hardware.perform(.power(.on))
            let end = ContinuousClock.now + .seconds(10)
            while bmc.service.bootOverride != nil, ContinuousClock.now < end { await Task.yield() }
            #expect(bmc.service.bootOverride == nil)
        }
    }

    @Test("power that flips by itself is an event like any other")
    func flip() async throws {
        try await withBMC(faults: [.flip(everySeconds: 1)]) { bmc, hardware, _, _ in
            let listen = RedfishRequest(
                method: "GET", target: "/redfish/v1/EventService/SSE",
                headers: [("Authorization", "Basic \(Data("admin:hostler-lab".utf8).base64EncodedString())")])
            guard case .events(let subscription) = await bmc.reply(to: listen) else {
                Issue.record("no event stream")
                return
            }
            for await event in bmc.events(subscription) {
                #expect(event["Events"]?.elements?.first?["EventType"] == "StatusChange")
                break
            }
            #expect(await hardware.reading().power == .on)
            bmc.setFaults([])
        }
    }

    @Test("every fault is written as it is read")
    func texts() {
        for kind in Misbehaviour.kinds {
            let fault = Misbehaviour(kind)
            #expect(fault?.kind == kind)
            #expect(fault.flatMap { Misbehaviour($0.description) } == fault)
        }
        #expect(Misbehaviour("slow=250") == .slow(milliseconds: 250))
        #expect(Misbehaviour("redirect:evil.example") == .redirect(host: "evil.example"))
        #expect(Misbehaviour("slow=x") == nil)
        #expect(Misbehaviour("hang=3") == nil)
        #expect(Misbehaviour("sulk") == nil)
    }
}
