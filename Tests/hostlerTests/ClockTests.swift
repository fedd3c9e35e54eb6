import API
import Foundation
import Model
import Testing

@testable import hostler

/// What the command line says of clocks.
@Suite("Wrong clocks, as the command line tells of them") struct CommandClockTests {
    private let now = Timestamp(milliseconds: 1_800_000_000_000)

    @Test("a certificate that is refused for its dates is told as a clock that is wrong") func certificate() throws {
        let good = CertificateDates(begins: .first, ends: now + .seconds(1))
        #expect(good.problem(of: "its certificate", at: "https://s", now: now) == nil)
        let early = try #require(
            CertificateDates(begins: now + .seconds(86_400), ends: .last).problem(of: "its certificate", at: "https://s", now: now))
        #expect(early.code == "certificate-date" && hostler.ExitStatus(early) == .unreachable)
        #expect(early.title.contains("good from 2027-01-16") && early.title.contains("here it is 2027-01-15"))
        #expect(early.remedy?.contains("date -u") == true && early.remedy?.contains("hostler login https://s") == true)
        let late = try #require(CertificateDates(begins: .first, ends: now).problem(of: "the CA's certificate", at: "https://s", now: now))
        #expect(late.title.contains("was good until 2027-01-15"))
    }

    @Test("a trusted CA whose dates are over is named before anybody is asked") func authority() async throws {
        let folder = NSTemporaryDirectory() + "hostler-clock-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let authority = try CertificateAuthority.open(directory: folder)
        let saved = SavedServer(server: "https://192.0.2.1:8443", token: "t", ca: authority.certificatePEM)
        let problem = await CertificateDates.problem(saved, now: Timestamp.now + .seconds(3700 * 86_400))
        #expect(problem?.title.contains("the CA's certificate was good until") == true)
    }

    @Test("doctor finds a clock that says less than the state's own files, and certificates that are not good now") func doctor() throws {
        let folder = NSTemporaryDirectory() + "hostler-clock-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let authority = try CertificateAuthority.open(directory: folder + "/tls")
        _ = try authority.serverCertificate(names: ["a"])
        try Data().write(to: URL(filePath: folder + "/hostler.db"))
        func findings(_ seconds: Int64) -> [HostCheck.Finding] {
            ClockCheck(stateDirectory: folder, now: Timestamp(milliseconds: Timestamp.now.milliseconds + seconds * 1000), signs: ["/"]).findings()
        }
        #expect(findings(0).map(\.level) == [.good] && findings(30 * 86_400).map(\.level) == [.good])
        let back = findings(-3600)
        #expect(back.map(\.level) == [.bad] && back[0].found.contains("hostler-clock") && back[0].found.contains("a file of"))
        #expect(findings(500 * 86_400).map(\.what) == ["clock", "certificate server.pem"])
        #expect(findings(-60 * 86_400).map(\.what) == ["clock", "certificate server.pem"])
        #expect(ClockCheck(stateDirectory: folder, now: .first).findings().first?.level == .bad)
    }
}
