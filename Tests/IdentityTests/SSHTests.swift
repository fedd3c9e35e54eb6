import Foundation
import Model
import Testing

@testable import Identity

@Suite("SSH certificates") struct SSHTests {
    static let now = Timestamp(milliseconds: 1_800_000_000_000)

    /// A folder of the test's own, gone afterwards.
    private func withFolder(_ body: (String) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "hostler-ssh-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    private func run(_ arguments: String...) throws -> (status: Int32, text: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.environment = ["TZ": "UTC", "PATH": "/usr/bin:/bin"]
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    private func authority() throws -> SSHAuthority {
        SSHAuthority(user: try SSHAuthorityKey([UInt8](repeating: 1, count: 32)), host: try SSHAuthorityKey([UInt8](repeating: 2, count: 32)))
    }

    @Test(
        "ssh-keygen reads our certificates of every key type",
        arguments: [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048")])
    func read(_ type: String, _ bits: String) throws {
        try withFolder { folder in
            #expect(try run("ssh-keygen", "-q", "-t", type, "-b", bits, "-N", "", "-f", folder + "/key").status == 0)
            let key = try String(contentsOfFile: folder + "/key.pub", encoding: .utf8)
            let user = try authority().sign(
                UserCertificateRequest(publicKey: key, principals: ["debian", "root"], sourceAddresses: ["10.0.0.0/8", "::1"]),
                serial: .max, keyID: "token:ann", now: Self.now)
            try user.certificate.write(toFile: folder + "/key-cert.pub", atomically: true, encoding: .utf8)
            let shown = try run("ssh-keygen", "-L", "-f", folder + "/key-cert.pub").text
            for part in [
                "user certificate", "Key ID: \"token:ann\"", "Serial: 18446744073709551615",
                "Valid: from 2027-01-13T08:00:00 to 2027-01-15T16:00:00", "debian\n", "root\n", "source-address 10.0.0.0/8,::1",
                "permit-pty",
            ] { #expect(shown.contains(part), "\(part) in \(shown)") }
            let host = try authority().sign(
                HostCertificateRequest(publicKey: key, principals: ["m-7f3k2q", "10.0.0.7"]), serial: 7, keyID: "m-7f3k2q", now: Self.now)
            try host.certificate.write(toFile: folder + "/host-cert.pub", atomically: true, encoding: .utf8)
            let other = try run("ssh-keygen", "-L", "-f", folder + "/host-cert.pub").text
            for part in ["host certificate", "m-7f3k2q\n", "10.0.0.7\n", "Critical Options: (none)", "Extensions: (none)"] {
                #expect(other.contains(part), "\(part) in \(other)")
            }
        }
    }

    @Test("a forced command takes all other permissions away") func forced() throws {
        let key = SSHPublicKey(ed25519: [UInt8](repeating: 9, count: 32)).line
        try withFolder { folder in
            let signed = try authority().sign(
                UserCertificateRequest(publicKey: key, principals: ["a"], forceCommand: "/bin/true"), serial: 1, keyID: "x", now: Self.now)
            try signed.certificate.write(toFile: folder + "/c-cert.pub", atomically: true, encoding: .utf8)
            let shown = try run("ssh-keygen", "-L", "-f", folder + "/c-cert.pub").text
            #expect(shown.contains("force-command /bin/true") && shown.contains("Extensions: (none)"))
        }
    }

    @Test(
        "what is not signed: no principals, a lifetime without bounds, text that is no key",
        arguments: [
            UserCertificateRequest(publicKey: good, principals: []),
            UserCertificateRequest(publicKey: good, principals: ["a,b"]),
            UserCertificateRequest(publicKey: good, principals: ["a b"]),
            UserCertificateRequest(publicKey: good, principals: ["a"], lifetimeSeconds: 59),
            UserCertificateRequest(publicKey: good, principals: ["a"], lifetimeSeconds: 8 * 86_400),
            UserCertificateRequest(publicKey: good, principals: ["a"], sourceAddresses: ["10.0.0.0/8,0.0.0.0/0"]),
            UserCertificateRequest(publicKey: "ssh-ed25519 AAAA", principals: ["a"]),
            UserCertificateRequest(publicKey: "ssh-dss AAAAB3NzaC1kc3MAAAABAA==", principals: ["a"]),
            UserCertificateRequest(publicKey: "ssh-rsa " + good.split(separator: " ")[1], principals: ["a"]),
            UserCertificateRequest(publicKey: "", principals: ["a"]),
        ])
    func refused(_ request: UserCertificateRequest) throws {
        let authority = try authority()
        #expect(throws: Problem.self) { try authority.sign(request, serial: 1, keyID: "x", now: Self.now) }
    }

    static let good = SSHPublicKey(ed25519: [UInt8](repeating: 9, count: 32)).line

    @Test("a key cut off at any byte, or with bytes after it, is refused") func truncated() throws {
        let blob = SSHPublicKey(ed25519: [UInt8](repeating: 9, count: 32)).blob
        #expect(try SSHPublicKey(blob: blob).blob == blob)
        for count in 0..<blob.count { #expect(throws: SSHFormatError.self) { try SSHPublicKey(blob: Array(blob.prefix(count))) } }
        #expect(throws: SSHFormatError.self) { try SSHPublicKey(blob: blob + [0]) }
    }

    @Test("a running machine's own host keys are signed for its id, name and address, and no other machine's") func machine() async throws {
        let rig = try Rig()
        let good = Self.good
        rig.question.withLock {
            $0.machine?.installed?.hostKeys = [good]
            $0.machine?.observed.address = .init("10.0.0.7")
        }
        let service = try await rig.service()
        let signed = try await service.hostCertificates(of: Rig.machine)
        #expect(signed.map(\.principals) == [["m-7f3k2q", "web-1", "10.0.0.7"]])
        rig.question.withLock { $0.machine?.state = .wiping }
        await #expect { _ = try await service.hostCertificates(of: Rig.machine) } throws: { code($0) == "identity-refused" }
    }
}
