import Foundation
import Model
import Store
import Testing

@testable import hostler

@Suite("the key files of a server")
struct ServerKeysTests {
    private func inFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "/hostler-keys-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    @Test("a passphrase is the one line of its file; what would be taken for less than it is, is refused")
    func passphrase() throws {
        try inFolder { folder in
            let path = folder + "/passphrase"
            /// Nil: it is refused.
            func phrase(_ text: String) -> String? {
                let isWritten = FileManager.default.createFile(atPath: path, contents: Data(text.utf8))
                let bytes = isWritten ? try? ServerKeys.passphrase(in: path) : []
                return bytes.map { String(decoding: $0, as: UTF8.self) }
            }
            for text in ["six words", "six words\n", "six words\r\n", "six words\n\n"] { #expect(phrase(text) == "six words") }
            #expect(phrase(" ä \n") == " ä ")
            for text in ["", "\n", "\nsecond", "one\ntwo", String(repeating: "x", count: 5000)] {
                #expect(phrase(text) == nil, "\(text.prefix(9))")
            }
            for missing in [folder + "/none", folder] { #expect((try? ServerKeys.passphrase(in: missing)) == nil) }
        }
    }

    @Test("the files of a backup come into place; what was there before is kept, and what is no key file of ours is left alone")
    func restore() throws {
        try inFolder { folder in
            let keys = ServerKeys(stateDirectory: folder)
            let none = try keys.read()
            #expect(none == [:])
            let files: [String: [UInt8]] = ["seal.key": [1, 2], "vault.key": [3], "../escape": [4], "hostler.db": [5]]
            let first = try keys.restore(files, at: Timestamp(milliseconds: 7))
            let placed = try keys.read()
            #expect(first == [] && placed == ["seal.key": [1, 2], "vault.key": [3]])
            let second = try keys.restore(["seal.key": [9], "vault.key": [3]], at: Timestamp(milliseconds: 8))
            let replaced = try keys.read()
            #expect(second == [folder + "/seal.key.before-restore-8"])
            #expect(replaced == ["seal.key": [9], "vault.key": [3]])
            let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
            #expect(names == ["seal.key", "seal.key.before-restore-8", "vault.key"])
            #expect(!FileManager.default.fileExists(atPath: folder + "/../escape"))
        }
    }

    @Test("what is left out of a restore is named with what to do, and what is made anew anyway is not")
    func leftOut() {
        #expect(LeftOutSecrets(keys: []).isEmpty && LeftOutSecrets(keys: ["/secrets/session", "/secrets/boot"]).isEmpty)
        let left = LeftOutSecrets(keys: [
            "/secrets/session", "/secrets/user-data/m-1", "/secrets/user-data/m-2", "/secrets/bmcs/bmc-1", "/secrets/identity/oidc",
            "/secrets/markers", "/secrets/seeds/op-1", "/secrets/unheard/of",
        ])
        #expect(left.lines.count == 6)
        for part in ["the user-data of m-1, m-2: ", "the password of bmc-1: ", "the issuer's keys oidc: ", "op-1: ", "/secrets/unheard/of"] {
            #expect(left.text.contains(part), "\(part)")
        }
    }
}
