import Foundation
import Testing

@testable import Consoles

@Suite("consoles")
struct ConsoleTests {
    @Test("a ring keeps the last bytes, whatever the sizes of what came")
    func ring() {
        let seed = UInt64.random(in: 0 ... .max)
        var state = seed
        var ring = ConsoleRing(capacityBytes: 37)
        var all: [UInt8] = []
        for _ in 0..<500 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let chunk = (0..<Int(state >> 33) % 90).map { UInt8(truncatingIfNeeded: $0 &+ all.count) }
            all += chunk
            ring.append(chunk)
            #expect(ring.contents == all.suffix(37), "seed \(seed)")
        }
        #expect(ring.totalBytes == UInt64(all.count))
    }

    @Test("a console log is turned over at its limit")
    func rotation() throws {
        let path = NSTemporaryDirectory() + "console-\(UUID().uuidString)"
        defer { for end in ["", ".1"] { try? FileManager.default.removeItem(atPath: path + end) } }
        let log = ConsoleLog(path: path, limitBytes: 10)
        for _ in 0..<5 { log.append(Array("abcd".utf8)) }
        #expect(try String(contentsOfFile: path + ".1", encoding: .utf8) == "abcdabcdabcd")
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "abcdabcd")
    }

    @Test("a reader of a console gets the past, the present, and no gap")
    func replay() async {
        let console = Console(.init())
        console.received(Array("past".utf8))
        let (id, stream) = console.attach()
        console.setSilent(true)
        console.received(Array("lost".utf8))
        console.setSilent(false)
        console.received(Array("now".utf8))
        console.detach(id)
        var seen: [UInt8] = []
        for await bytes in stream { seen += bytes }
        #expect(String(decoding: seen, as: UTF8.self) == "pastnow")
    }

    @Test("a console goes on from what its file ends with, the older file included, and is read from there")
    func resumption() {
        let path = NSTemporaryDirectory() + "console-\(UUID().uuidString)"
        defer { for end in ["", ".1"] { try? FileManager.default.removeItem(atPath: path + end) } }
        var keeping = Console.Keeping(path: path)
        keeping.fileBytes = 10
        keeping.memoryBytes = 6
        let before = Console(keeping)
        for _ in 0..<5 { before.received(Array("abcd".utf8)) }
        keeping.resumes = true
        let after = Console(keeping)
        #expect(after.contents == Array("cdabcd".utf8))
        after.received(Array("!".utf8))
        #expect(after.contents == Array("dabcd!".utf8))
        #expect(after.recorded(12) == Array("bcdabcdabcd!".utf8))
        #expect(after.recorded(1000) == Array("abcdabcdabcdabcdabcd!".utf8))
    }

    @Test("typing goes to the keyboard that there is, and is said to be lost where there is none")
    func typing() {
        let console = Console(.init())
        #expect(!console.type([1]))
        let typed = Typed()
        console.setKeyboard { bytes in
            typed.add(bytes)
            return bytes.count < 3
        }
        #expect(console.type([2, 3]))
        #expect(!console.type([5, 6, 7]), "the keyboard says that it was too much")
        console.setKeyboard(nil)
        #expect(!console.type([4]))
        #expect(typed.bytes == [2, 3, 5, 6, 7])
    }

    @Test(
        "lines for people have no control sequences, whatever they are cut by",
        arguments: [
            ("a\r\n\u{1b}[1;31mred\u{1b}[0m\r\n\r\n  \r\nb", ["a", "red", "b"]),
            ("\u{1b}]0;title\u{7}text\u{1b}(Bx\u{1b}P1$r\u{1b}\\y\n", ["textxy"]),
            ("cut\u{1b}[12\nnext\u{8}\u{0}\u{1b}", ["cut", "next"]),
            ("1\n2\n3\n4", ["2", "3", "4"]), ("a\u{9b}6nb\u{202e}c\n", ["a6nbc"]),
        ])
    func lines(text: String, expected: [String]) {
        #expect(ConsoleText.lastLines(3, of: Array(text.utf8)) == expected)
    }

    @Test("noise is filtered without a trap, and a line has its limit")
    func noise() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let bytes = (0..<Int.random(in: 0...600)).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            for line in ConsoleText.lastLines(100, of: bytes) {
                #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) || $0.value == 9 })
            }
        }
        #expect(ConsoleText.lastLines(1, of: Array(repeating: 0x61, count: 9000)).map(\.count) == [400])
    }
}

private final class Typed: @unchecked Sendable {
    private let lock = NSLock()
    private var all: [UInt8] = []
    func add(_ bytes: [UInt8]) { lock.withLock { all += bytes } }
    var bytes: [UInt8] { lock.withLock { all } }
}
