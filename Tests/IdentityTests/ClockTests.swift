import Foundation
import Logging
import Model
import Store
import Synchronization
import Testing

@testable import Identity

/// The wall clock is set while identities are issued.
@Suite("Identities, when the clock is set") struct IdentityClockTests {
    private final class Clocks: Sendable {
        let wall = Mutex(Timestamp(milliseconds: 1_800_000_000_000))
        let steady = Mutex(Timestamp(milliseconds: 1_800_000_000_000))
    }

    private func service(_ clocks: Clocks, _ store: MemoryStore, sealing: [UInt8]) async throws -> IdentityService {
        let machine = try Rig.running()
        return try await IdentityService(
            issuer: IssuerURL("https://rack.example:8443/"), region: nil, store: store, sealing: SealingKey(sealing),
            surroundings: IdentitySurroundings(
                question: { _ in IdentityQuestion(machine: machine) }, record: { _, _, _, _, _ in }, now: { clocks.wall.withLock { $0 } },
                steady: { clocks.steady.withLock { $0 } }, logger: Logger(label: "test")))
    }

    @Test("a clock that is days ahead retires no key, and the token says what the clock says") func keys() async throws {
        let (clocks, store, sealing) = (Clocks(), MemoryStore(), SealingKey.random())
        let first = try await service(clocks, store, sealing: sealing)
        let before = await first.publishedKeys.keys.map(\.kid)
        clocks.wall.withLock { $0 = $0 + .seconds(40 * 86_400) }
        let second = try await service(clocks, store, sealing: sealing)
        #expect(await second.publishedKeys.keys.map(\.kid) == before)
        let claims = try payload(try await second.mint(machine: Rig.machine, audience: "a").token)
        #expect(claims["iat"] as? Int == 1_800_000_000 + 40 * 86_400)
        // In its time the next key comes, whatever the wall clock says.
        clocks.wall.withLock { $0 = Timestamp(milliseconds: 0) }
        clocks.steady.withLock { $0 = $0 + .seconds(40 * 86_400) }
        let third = try await service(clocks, store, sealing: sealing)
        #expect(await third.publishedKeys.keys.count == 2)
    }

    @Test("a clock that is set back does not leave a machine without its allowance") func pace() async throws {
        let clocks = Clocks()
        let service = try await service(clocks, MemoryStore(), sealing: SealingKey.random())
        for _ in 0..<MintBudget.burst { _ = try await service.mint(machine: Rig.machine, audience: "a") }
        clocks.wall.withLock { $0 = $0 + .seconds(86_400) }
        await #expect(throws: Problem.self) { try await service.mint(machine: Rig.machine, audience: "a") }
        clocks.wall.withLock { $0 = Timestamp(milliseconds: 0) }
        clocks.steady.withLock { $0 = $0 + MintBudget.interval }
        _ = try await service.mint(machine: Rig.machine, audience: "a")
    }

    @Test("the certificate of documents is good with the right clock, whatever clock it was made with", arguments: [0, 1_890_000_000, 4_000_000_000])
    func document(seconds: Int64) async throws {
        let clocks = Clocks()
        clocks.wall.withLock { $0 = Timestamp(milliseconds: seconds * 1000) }
        let pem = try await service(clocks, MemoryStore(), sealing: SealingKey.random()).documentCertificatePEM
        let path = NSTemporaryDirectory() + "hostler-document-\(UUID().uuidString).pem"
        try pem.write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        // The middle of 2027, to OpenSSL.
        process.arguments = ["openssl", "verify", "-partial_chain", "-attime", "1815000000", "-CAfile", path, path]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }
}
