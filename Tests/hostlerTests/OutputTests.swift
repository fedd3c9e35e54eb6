import Model
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
