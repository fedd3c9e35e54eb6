import Model
import Testing

@testable import Control

@Suite("A call home's message")
struct CallHomeMessageTests {
    private static let nonce = String(repeating: "0a", count: 32)
    private static let key = CallHomeHarness.key
    private static let text = """
        hostler-call-home 1
        operation op-7f3k2q9a
        nonce \(nonce)
        instance op-7f3k2q9a
        hostname web-1
        cloud-init finished
        later something of a later version
        key ssh-ed25519 AAAA
        """
    private static var body: [UInt8] { Array("\(text)\ncode \(key.code(text))\n".utf8) }

    @Test("is read as the shell wrote it, and its code is what sha256sum makes")
    func reads() throws {
        let message = try CallHomeMessage(parsing: Self.body)
        #expect(message.text == Array(Self.text.utf8) && message.code == Self.key.code(message.text))
        #expect(message.nonce == Self.nonce && message.hostname == "web-1" && message.hostKeys == ["ssh-ed25519 AAAA"])
        // printf %s "$key$(printf %s "$key"abc | sha256sum | cut -c1-64)" | sha256sum, with key=5f5f… (64 digits).
        #expect(Self.key.code("abc") == "0ead476f6920406471a4e65499d552904c501523fe9e6d72562c0d2c9815cf50")
    }

    @Test("cut at any byte it is refused, or its code is not right")
    func truncated() {
        for count in 0..<Self.body.count {
            guard let message = try? CallHomeMessage(parsing: Array(Self.body.prefix(count))) else { continue }
            #expect(message.code != Self.key.code(message.text))
        }
    }

    @Test("with any byte changed it is refused, or its code is not right")
    func changed() {
        for index in Self.body.indices {
            for byte in [UInt8(0), 10, 32, 48, 97, 255] where Self.body[index] != byte {
                var body = Self.body
                body[index] = byte
                guard let message = try? CallHomeMessage(parsing: body) else { continue }
                #expect(message.code != Self.key.code(message.text), "byte \(index)")
            }
        }
    }

    static let bad: [String] = [
        "", "\n", "\n\n", "hostler-call-home 1\n", "hostler-call-home 2\noperation op-7f3k2q9a\nnonce \(nonce)\ncode \(nonce)\n",
        "hostler-call-home 1\noperation ../../x\nnonce \(nonce)\ncode \(nonce)\n", "hostler-call-home 1\noperation op-7f3k2q9a\ncode \(nonce)\n",
        "hostler-call-home 1\noperation op-7f3k2q9a\nnonce \(nonce)\ncode \(nonce.uppercased())\n",
        "hostler-call-home 1\noperation op-7f3k2q9a\nnonce \(nonce)\u{1b}\ncode \(nonce)\n",
        "hostler-call-home 1\noperation op-7f3k2q9a\nnonce \(nonce)\nhostname é\ncode \(nonce)\n",
        String(repeating: "x", count: 1 << 20) + "\n", String(repeating: "\n", count: 16_000),
    ]

    @Test("what has not its form is refused", arguments: bad)
    func malformed(_ text: String) {
        #expect(throws: Problem.self) { try CallHomeMessage(parsing: Array(text.utf8)) }
    }

    @Test("names no more keys than a system has")
    func limits() throws {
        let keys = (0..<40).map { "\nkey ssh-rsa A\($0)" }.joined()
        let text = "hostler-call-home 1\noperation op-7f3k2q9a\nnonce \(Self.nonce)\(keys)\nkey ssh-rsa " + String(repeating: "A", count: 5000)
        let message = try CallHomeMessage(parsing: Array("\(text)\ncode \(Self.key.code(text))\n".utf8))
        #expect(message.hostKeys.count == CallHomeMessage.keyLimit)
    }
}
