import Foundation
import Logging
import Model
import Synchronization
import Testing

@testable import hostler

@Suite("What commands print") struct OutputTests {
    private let plain = Terminal(isInteractive: false, hasColour: false, columns: 80)

    @Test("columns line up under emoji and wide scripts") func widths() {
        for (text, width) in [("abc", 3), ("🎄", 2), ("日本", 4), ("é", 1), ("e\u{301}", 1), ("👩‍🚀", 2), ("한글", 4), ("❤️", 2)] {
            #expect(text.columns == width, "\(text)")
        }
        var table = Table(["NAME", "STATE"])
        table.add(["🎄", "ready"])
        table.add(["tanne", nil])
        #expect(table.text(terminal: plain) == "NAME   STATE\n🎄     ready\ntanne  -")
    }

    @Test("what machines say cannot move the cursor") func control() {
        #expect(Table.printable("a\u{1b}[2Jb\u{7}") == "a�[2Jb�")
    }

    @Test("a problem's text of several lines begins none where the command line's own begin") func problems() {
        let problem = Problem("x", title: "t", detail: "one\nstate: running\r\n\u{2028}ok", remedy: "a\nb")
        let lines = ProblemText.text(problem, terminal: plain).split(whereSeparator: \.isNewline)
        #expect(lines.dropFirst().allSatisfy { $0.hasPrefix("  ") }, "\(lines)")
        #expect(lines.contains { $0.hasSuffix("state: running") })
    }

    @Test("what is printed keeps our colours and nothing else that a terminal obeys") func printing() {
        let colourful = Terminal(isInteractive: true, hasColour: true, columns: 80)
        let evil = "\u{1b}]0;owned\u{7}\u{1b}[31m\u{9b}2J\u{202e}\rok"
        let painted = colourful.paint("✘ failed", .red)
        #expect(Terminal.shown("\(painted) \u{1b}[2Jx\ny", keepsColour: true) == "\u{1b}[31m✘ failed\u{1b}[0m �[2Jx\ny")
        let shown = Terminal.shown(evil, keepsColour: false)
        #expect(!shown.unicodeScalars.contains { $0.value < 32 && $0 != "\n" || (0x7f...0x9f).contains($0.value) || $0.value == 0x202e })
        let problem = Problem("p\u{1b}", title: evil, detail: evil + "\nsecond line", remedy: evil)
        let text = ProblemText.text(problem, terminal: plain)
        #expect(!text.unicodeScalars.contains { $0 == "\u{1b}" || $0 == "\r" || $0.value == 0x202e } && text.contains("  second line"))
        // A machine cannot paint its own text either, not even where we paint.
        let inColour = ProblemText.text(problem, terminal: colourful)
        #expect(inColour.components(separatedBy: "\u{1b}").count == 3)
    }

    @Test("an operation's evidence and problem are shown as text, in tables and lines") func operations() {
        var operation = Self.operation()
        operation.steps[1].evidence = ["a\u{1b}[2J": "\u{1b}]8;;http://x\u{7}link\u{9d}", "b": "\u{2066}x"]
        operation.steps[1].problem = Problem("p", title: "\u{1b}[31mred\u{202e}")
        operation.problem = operation.steps[1].problem
        let view = OperationView(terminal: plain)
        let lines = operation.steps.map { view.line($0, .init(milliseconds: 20_000), of: operation) }
        for text in lines + [OperationCommand.Show.text(operation), StepTimes.table(operation).text(terminal: plain)] {
            #expect(!text.unicodeScalars.contains { $0 == "\u{1b}" || (0x7f...0x9f).contains($0.value) || $0.value == 0x202e || $0.value == 0x2066 })
        }
    }

    @Test("JSON and YAML escape what is not printable, and stay the same data") func encoded() throws {
        struct Box: Codable, Equatable { var text: String }
        for text in ["\u{9b}2J", "\u{7f}", "\u{202e}x", "\u{2028}", "\u{200b}\u{e0041}", "\u{1b}[2J"] {
            let json = JSONText.escaped(String(decoding: try JSONEncoder().encode(Box(text: text)), as: UTF8.self))
            #expect(json.utf8.allSatisfy { (0x20..<0x7f).contains($0) }, "\(json)")
            #expect(try JSONDecoder().decode(Box.self, from: Data(json.utf8)) == Box(text: text))
            let yaml = try OutputOptions.yaml(Box(text: text))
            #expect(yaml.utf8.allSatisfy { (0x20..<0x7f).contains($0) || $0 == 0x0a }, "\(yaml)")
        }
        let name = Box(text: "Größe 🎄 日本 👩‍🚀")
        #expect(JSONText.escaped(String(decoding: try JSONEncoder().encode(name), as: UTF8.self)).contains("Größe 🎄 日本 👩‍🚀"))
        #expect(try OutputOptions.yaml(Box(text: "Größe 日本")).contains("Größe 日本"))
    }

    @Test("a value in the log begins no line of its own") func log() {
        let lines = Mutex<[String]>([])
        struct Keeper: LogHandler {
            let keep: @Sendable (String) -> Void
            var logLevel = Logger.Level.trace
            var metadata: Logger.Metadata = [:]
            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }
            func log(event: LogEvent) { keep("\(event.message) \(event.metadata ?? [:]) \(metadata)") }
        }
        struct Failure: Error, CustomStringConvertible { var description: String { "a\n2026 error forged" } }
        var logger = Logger(label: "t") { _ in PrintableLog(Keeper(keep: { line in lines.withLock { $0.append(line) } })) }
        logger[metadataKey: "who"] = "x\ny\u{1b}[2J"
        logger.error(
            "m\n2026 forged", metadata: ["a": "1\r\n2", "b": .array(["\u{85}x"]), "c": .dictionary(["d": .stringConvertible(Failure().description)])])
        logger.warning("e\u{2028}f")
        for line in lines.withLock({ $0 }) {
            #expect(!line.unicodeScalars.contains { $0.properties.generalCategory == .control || $0 == "\u{2028}" }, "\(line)")
        }
        #expect(lines.withLock { $0.count } == 2)
    }

    @Test("quantities read as people say them") func quantities() {
        #expect(Quantity.bytes(1023) == "1023 B")
        #expect(Quantity.bytes(3 << 30) == "3.0 GiB")
        #expect(Quantity.duration(.milliseconds(12_340)) == "12.3 s")
        #expect(Quantity.duration(.seconds(245)) == "4 min 05 s")
        #expect(Quantity.duration(.seconds(11_220)) == "3 h 07 min")
    }

    @Test("a running step shows its bar, its rate and its time left") func bar() {
        var view = OperationView(terminal: plain)
        let start = ContinuousClock.now
        var operation = Self.operation()
        for second in 0...2 {
            operation.steps[1].progress = Progress(done: Int64(second) * 100_000_000, total: 1_000_000_000)
            view.show(operation, now: .init(milliseconds: 20_000), clock: start + .seconds(second))
        }
        let line = view.line(operation.steps[1], .init(milliseconds: 20_000), of: operation)
        #expect(line.contains("20%") && line.contains("100.0 MB/s") && line.contains("8.0 s left"), "\(line)")
        #expect(view.line(operation.steps[0], .init(milliseconds: 20_000), of: operation) == "✔ boot-agent     9.0 s")
    }

    @Test("the table of times has the steps and the parts that they told") func times() {
        var operation = Self.operation()
        operation.steps[0].evidence = ["firmwareMilliseconds": "4500", "address": "192.0.2.1"]
        operation.finishedAt = .init(milliseconds: 31_000)
        let text = StepTimes.table(operation).text(terminal: plain)
        #expect(text.contains("boot-agent  9.0 s   1"), "\(text)")
        #expect(text.contains("  firmware  4.5 s"))
        #expect(text.contains("total       30.0 s"))
        #expect(!text.contains("address"))
    }

    static func operation() -> Model.Operation {
        var operation = Model.Operation(
            id: OperationID(unchecked: "op-0000"), machine: MachineID(unchecked: "m-0000"), generation: 1,
            request: .install(InstallRequest(image: "debian-12")), steps: [Step(.agent), Step(.writeImage), Step(.restart)],
            requestedBy: "test", createdAt: .init(milliseconds: 1000))
        operation.steps[0].state = .succeeded
        operation.steps[0].attempts = 1
        operation.steps[0].startedAt = .init(milliseconds: 1000)
        operation.steps[0].finishedAt = .init(milliseconds: 10_000)
        operation.steps[1].state = .running
        operation.steps[1].attempts = 1
        operation.steps[1].startedAt = .init(milliseconds: 10_000)
        return operation
    }
}
