import AsyncHTTPClient
import Foundation
import Logging
import NIOSSL
import Testing

@testable import API

@Suite("The API's certificates") struct TLSTests {
    private func inDirectory(_ body: (String) async throws -> Void) async throws {
        let path = NSTemporaryDirectory() + "hostler-tls-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await body(path)
    }

    @Test("a client that trusts the CA is served, another is not") func served() async throws {
        try await inDirectory { directory in
            let authority = try CertificateAuthority.open(directory: directory)
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(authority.certificatePEM.utf8)))
            try await Rack.with(tls: .generated(directory: directory), client: .init(tlsConfiguration: tls)) { rack in
                #expect(try await rack.send(.GET, "/v1/status").status == 200)
                let pem = try await rack.send(.GET, "/ca.pem", as: nil)
                #expect(try CertificateAuthority.fingerprint(ofPEM: pem.text) == authority.fingerprint)
            }
            try await Rack.with(tls: .generated(directory: directory)) { rack in
                await #expect(throws: (any Error).self) { try await rack.send(.GET, "/healthz") }
            }
        }
    }

    @Test("keys are for their owner only, and stay the same from start to start") func files() async throws {
        try await inDirectory { directory in
            let first = try CertificateAuthority.open(directory: directory)
            let server = try first.serverCertificate(names: ["localhost", "127.0.0.1", "::1"])
            let second = try CertificateAuthority.open(directory: directory)
            #expect(second.certificatePEM == first.certificatePEM)
            #expect(try second.serverCertificate(names: ["localhost"]).certificatePEM == server.certificatePEM)
            for name in ["ca.key", "server.key"] {
                let attributes = try FileManager.default.attributesOfItem(atPath: "\(directory)/\(name)")
                #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
            }
        }
    }

    @Test("a server certificate is renewed at two thirds of its life, or for a new name") func renewal() async throws {
        try await inDirectory { directory in
            let authority = try CertificateAuthority.open(directory: directory)
            let start = Date()
            let first = try authority.serverCertificate(names: ["a"], now: start)
            let day = 86_400.0
            let early = try authority.serverCertificate(names: ["a"], now: start.addingTimeInterval(260 * day))
            #expect(early.certificatePEM == first.certificatePEM)
            let late = try authority.serverCertificate(names: ["a"], now: start.addingTimeInterval(266 * day))
            #expect(late.certificatePEM != first.certificatePEM)
            #expect(late.notAfter > first.notAfter)
            let other = try authority.serverCertificate(names: ["a", "192.0.2.7"], now: start.addingTimeInterval(267 * day))
            #expect(other.certificatePEM != late.certificatePEM)
        }
    }

    private static let day = 86_400.0

    @Test("certificates that a first start made with a wrong clock are good once the clock is right", arguments: [1.0, -1, 25, -400, -20_000])
    func wrongClock(days: Double) async throws {
        try await inDirectory { directory in
            let wrong = Date().addingTimeInterval(days * Self.day)
            let authority = try CertificateAuthority.open(directory: directory, now: wrong)
            _ = try authority.serverCertificate(names: CertificateAuthority.namesOfThisHost(), now: wrong)
            #expect(try CertificateAuthority.open(directory: directory).certificatePEM == authority.certificatePEM, "clients know this one")
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(authority.certificatePEM.utf8)))
            try await Rack.with(tls: .generated(directory: directory), client: .init(tlsConfiguration: tls)) { rack in
                let status = try await rack.send(.GET, "/v1/status").status
                #expect(status == 200)
            }
        }
    }

    @Test("what is not good now is made anew: the CA with its key and name, the server's certificate altogether") func madeAnew() async throws {
        try await inDirectory { directory in
            let now = Date()
            let first = try CertificateAuthority.open(directory: directory, now: now)
            let leaf = try first.serverCertificate(names: ["a"], now: now)
            let late = now.addingTimeInterval(20 * 365 * Self.day)
            let second = try CertificateAuthority.open(directory: directory, now: late)
            #expect(second.certificatePEM != first.certificatePEM)
            let other = try second.serverCertificate(names: ["a"], now: late)
            #expect(other.notBefore <= late && other.notAfter > late && other.certificatePEM != leaf.certificatePEM)
            // Back again: the CA is good at both times, the certificate of the future is not.
            let third = try CertificateAuthority.open(directory: directory, now: now)
            #expect(third.certificatePEM == second.certificatePEM)
            let again = try third.serverCertificate(names: ["a"], now: now)
            #expect(again.notBefore <= now && again.renewAt > now)
        }
    }

    @Test("a server that runs makes its certificate anew when the clock leaves its dates, in either direction") func whileRunning() async throws {
        try await inDirectory { directory in
            let identity = try #require(try TLSIdentity(.generated(directory: directory)))
            let path = "\(directory)/server.pem"
            var known = try String(contentsOfFile: path, encoding: .utf8)
            for (days, isNew) in [(1.0, false), (-20, false), (-60, true), (-60, false), (0, false), (300, true)] {
                identity.renewIfDue(Date().addingTimeInterval(days * Self.day), Logger(label: "test"))
                let now = try String(contentsOfFile: path, encoding: .utf8)
                #expect((now != known) == isNew, "\(days) days")
                known = now
            }
        }
    }
}
