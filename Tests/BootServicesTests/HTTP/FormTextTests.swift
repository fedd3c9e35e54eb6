import Testing

@testable import BootServices

/// Everything here comes from anybody on the wire, before any check of who it is.
@Suite("Queries and forms")
struct FormTextTests {
    @Test("a pair without a name, without a value or without anything is no reason to fall over")
    func oddPairs() {
        #expect(FormText.split("/?=").query == ["": ""])
        #expect(FormText.split("/?==").query == ["": "="])
        #expect(FormText.split("/?=v").query == ["": "v"])
        #expect(FormText.split("/?a").query == ["a": ""])
        #expect(FormText.split("/?a=").query == ["a": ""])
        #expect(FormText.split("/?&&").query.isEmpty)
        #expect(FormText.split("/?").query.isEmpty)
        #expect(FormText.split("?").path.isEmpty)
        #expect(FormText.split("").path.isEmpty)
        #expect(FormText.pairs(Array("=".utf8)) == ["": ""])
        #expect(FormText.pairs(Array("&=&".utf8)) == ["": ""])
        #expect(FormText.pairs([]).isEmpty)
        #expect(FormText.pairs([0xff, 0x3d, 0xfe]) == ["\u{fffd}": "\u{fffd}"])
    }

    @Test("what is percent-encoded is decoded, and what only looks so stays")
    func percent() {
        #expect(FormText.split("/boot/script?mac=52%3a54:00&x=a+b%").query == ["mac": "52:54:00", "x": "a b%"])
        #expect(FormText.pairs(Array("k%3D=v%26&h=%zz".utf8)) == ["k=": "v&", "h": "%zz"])
    }

    @Test("any short text of the characters that mean something is taken")
    func anyText() {
        let alphabet = Array("=&?%+a0/".utf8)
        for number in 0..<alphabet.count * alphabet.count * alphabet.count * alphabet.count {
            var rest = number
            let text = (0..<4).map { _ in
                defer { rest /= alphabet.count }
                return alphabet[rest % alphabet.count]
            }
            _ = FormText.pairs(text)
            _ = FormText.split("/?" + String(decoding: text, as: UTF8.self))
        }
    }
}
