import Foundation
import Model
import Testing

@testable import Hardware

@Suite("Passwords at rest") struct VaultTests {
    private func inFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder + "/vault.key")
    }

    private func code(_ body: () throws -> Void) -> String? {
        do { try body() } catch let problem as Problem { return problem.code } catch { return "\(error)" }
        return nil
    }

    @Test("a secret opens with the key file, in its own place, and is nowhere readable") func sealing() throws {
        try inFolder { path in
            let sealed = try Vault(keyFile: path).seal("hunter2", context: "bmc-1")
            #expect(!sealed.contains("hunter2") && sealed.hasPrefix("v1.k1."))
            let again = try Vault(keyFile: path)
            #expect(try again.open(sealed, context: "bmc-1") == "hunter2")
            #expect(code { _ = try again.open(sealed, context: "bmc-2") } == "vault-broken")
            #expect(code { _ = try again.open(String(sealed.dropLast(2)) + "00", context: "bmc-1") } == "vault-broken")
            #expect(try again.seal("hunter2", context: "bmc-1") != sealed, "no two look alike")
        }
    }

    @Test("the file is its owner's alone, and one that is not is refused") func mode() throws {
        try inFolder { path in
            _ = try Vault(keyFile: path)
            #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
            #expect(code { _ = try Vault(keyFile: path) } == "vault-file-open")
        }
    }

    @Test("after a rotation new keys seal and old ones still open") func rotation() throws {
        try inFolder { path in
            let vault = try Vault(keyFile: path)
            let old = try vault.seal("a", context: "x")
            try vault.rotate()
            let new = try vault.seal("b", context: "x")
            #expect(new.hasPrefix("v1.k2.") && vault.isCurrent(new) && !vault.isCurrent(old))
            let again = try Vault(keyFile: path)
            #expect(try again.open(old, context: "x") == "a")
            #expect(try again.open(new, context: "x") == "b")
        }
    }

    @Test("without its key a secret stays shut, and the message says which key") func otherKey() throws {
        try inFolder { path in
            let sealed = try Vault(keyFile: path).seal("a", context: "x")
            let renamed = sealed.replacingOccurrences(of: "v1.k1.", with: "v1.k9.")
            #expect(code { _ = try Vault(keyFile: path).open(renamed, context: "x") } == "vault-key-missing")
        }
    }
}
