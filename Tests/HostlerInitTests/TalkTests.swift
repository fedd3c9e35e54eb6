import Model
import Testing

@testable import hostler_init

@Suite("What the agent says")
struct TalkTests {
    @Test("pauses double up to the limit and stay within half of the step")
    func backoffGrows() {
        var generator = SplitMix64(state: 7)
        var backoff = Backoff(first: 100, limit: 1000)
        for step in [100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.next(using: &generator)
            #expect(pause >= .milliseconds(step / 2) && pause <= .milliseconds(step))
        }
        #expect(backoff.tries == 6)
    }

    @Test("the kernel's warnings are kept with their time, and nothing less")
    func kernelWarnings() throws {
        let line = try #require(KernelLog.warning("4,339,5140900,-;ACPI: bad table\n SUBSYSTEM=acpi\n"))
        #expect(line.text == "kernel: ACPI: bad table")
        #expect(line.uptimeMilliseconds == 5140)
        #expect(KernelLog.warning("6,339,5140900,-;usb 1-1: new device\n") == nil)
        // Facility 3: a daemon's message, written into the same buffer.
        #expect(KernelLog.warning("28,1,5,-;systemd: hello") == nil)
        #expect(KernelLog.warning("4,1;no time") == nil)
        #expect(KernelLog.warning("garbage") == nil)
    }

    private func line(_ number: Int) -> LogBatch.Line {
        LogBatch.Line(uptimeMilliseconds: Int64(number), text: "line \(number)")
    }

    @Test("lines stay until their batch is acknowledged")
    func linesStay() {
        let log = AgentLog()
        for number in 0..<5 { log.append(line(number)) }
        let batch = log.oldest(3)
        #expect(batch.batch.lines.map(\.text) == ["line 0", "line 1", "line 2"])
        #expect(log.oldest(3).taken == 3)
        log.forget(batch)
        #expect(log.oldest(3).batch.lines.map(\.text) == ["line 3", "line 4"])
    }

    @Test("beyond the limit the oldest lines are dropped, and how many is said once")
    func dropsAreCounted() {
        let log = AgentLog()
        for number in 0..<AgentLog.lineLimit + 7 { log.append(line(number)) }
        let batch = log.oldest(2)
        #expect(batch.batch.lines.count == 3)
        #expect(batch.batch.lines[0].text.contains("7 lines were dropped"))
        #expect(batch.batch.lines[1].text == "line 7")
        log.forget(batch)
        #expect(log.oldest(1).batch.lines.map(\.text) == ["line 9"])
    }

    @Test("lines dropped while their batch was on its way are not taken away twice")
    func dropsDuringFlight() {
        let log = AgentLog()
        for number in 0..<AgentLog.lineLimit { log.append(line(number)) }
        let batch = log.oldest(10)
        for number in 0..<4 { log.append(line(10_000 + number)) }
        log.forget(batch)
        // Lines 0 to 3 were dropped and had been sent; 4 to 9 had been sent too.
        #expect(log.oldest(1).batch.lines.map(\.text) == ["line 10"])
        #expect(log.oldest(1).dropped == 0)
    }
}
