import Foundation
import Model
import Testing

@testable import Identity

@Suite("Signed instance identity documents") struct DocumentTests {
    @Test("openssl verifies the signature and the CMS message, and neither for another document") func openssl() async throws {
        let folder = NSTemporaryDirectory() + "hostler-document-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func file(_ name: String, _ text: String) throws { try text.write(toFile: folder + "/" + name, atomically: true, encoding: .utf8) }
        func openssl(_ arguments: String) throws -> (status: Int32, text: String) {
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/env")
            process.arguments = ["openssl"] + arguments.split(separator: " ").map(String.init)
            process.currentDirectoryURL = URL(filePath: folder)
            let pipe = Pipe()
            process.standardOutput = pipe
            process.standardError = FileHandle.nullDevice
            try process.run()
            let data = pipe.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            return (process.terminationStatus, String(decoding: data, as: UTF8.self))
        }

        let rig = try Rig()
        let service = try await rig.service()
        let document = #"{"instanceId":"m-7f3k2q","region":"north"}"#
        let signatures = try await service.sign(document: Array(document.utf8), of: Rig.machine)
        try file("cert.pem", service.documentCertificatePEM)
        try file("document", document)
        try file("other", document + " ")
        try file("signature", signatures.signature + "\n")
        try file("pkcs7", "-----BEGIN PKCS7-----\n\(signatures.pkcs7)\n-----END PKCS7-----\n")

        try file("key.pem", try openssl("x509 -in cert.pem -noout -pubkey").text)
        #expect(try openssl("base64 -d -in signature -out signature.bin").status == 0)
        #expect(try openssl("dgst -sha256 -verify key.pem -signature signature.bin document").status == 0)
        #expect(try openssl("dgst -sha256 -verify key.pem -signature signature.bin other").status != 0)
        // As EC2's readers do: with the document beside it, or out of the message.
        #expect(try openssl("smime -verify -in pkcs7 -inform PEM -content document -certfile cert.pem -noverify").text == document)
        #expect(try openssl("cms -verify -in pkcs7 -inform PEM -certfile cert.pem -noverify").text == document)
        #expect(try openssl("smime -verify -in pkcs7 -inform PEM -content other -certfile cert.pem -noverify").status != 0)

        rig.question.withLock { $0.machine?.state = .wiping }
        await #expect { _ = try await service.sign(document: [], of: Rig.machine) } throws: { code($0) == "identity-refused" }
    }
}
