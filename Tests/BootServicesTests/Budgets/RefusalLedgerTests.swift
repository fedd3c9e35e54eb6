import Control
import Logging
import Model
import Store
import Testing
import Wire

@testable import BootServices

@Suite("Refusals")
struct RefusalLedgerTests {
    private let start = Timestamp(milliseconds: 1_700_000_000_000)
    private func refusal(_ source: String, _ why: String = "connections") -> Refusal {
        Refusal(service: "boot", why: why, source: source, event: "boot.refused")
    }

    @Test("the first is told at once, the others once an hour by their number, and after a quiet hour it is news again")
    func hours() {
        var ledger = RefusalLedger()
        #expect(ledger.note(refusal("10.0.0.9"), of: "9", .neighbour, at: start)?.again == nil)
        for second in 1...1_204 { #expect(ledger.note(refusal("10.0.0.9"), of: "9", .neighbour, at: start + .seconds(second)) == nil) }
        #expect(ledger.due(at: start + .seconds(3_599)).isEmpty)
        let told = ledger.due(at: start + .seconds(3_600))
        #expect(told.map(\.again) == [1_204])
        #expect(told.first?.message == "10.0.0.9 was refused 1,204 more times in the last hour by the boot service: connections")
        // One more in the second hour, none in the third.
        #expect(ledger.note(refusal("10.0.0.9"), of: "9", .neighbour, at: start + .seconds(4_000)) == nil)
        #expect(ledger.due(at: start + .seconds(7_200)).first?.message.contains("once more") == true)
        #expect(ledger.due(at: start + .seconds(10_800)).isEmpty)
        #expect(ledger.count == 0)
        #expect(ledger.note(refusal("10.0.0.9"), of: "9", .neighbour, at: start + .seconds(10_801))?.again == nil)
    }

    @Test("another kind and another source are news of their own")
    func kinds() {
        var ledger = RefusalLedger()
        #expect(ledger.note(refusal("a"), of: "a", .neighbour, at: start) != nil)
        #expect(ledger.note(refusal("a", "head-slow"), of: "a", .neighbour, at: start) != nil)
        #expect(ledger.note(refusal("b"), of: "b", .neighbour, at: start) != nil)
        #expect(ledger.note(refusal("b"), of: "b", .neighbour, at: start) == nil)
    }

    @Test("sources beyond the limit share one place, and no class takes another's", arguments: RefusalLedger.Standing.allCases)
    func overflow(standing: RefusalLedger.Standing) {
        var ledger = RefusalLedger()
        let told = (0..<100_000).compactMap { ledger.note(refusal("\($0)"), of: "\($0)", standing, at: start) }
        #expect(told.count == standing.limit + 1)
        #expect(told.last?.source == "one of more than \(standing.limit) sources, now \(standing.limit),")
        #expect(ledger.count == standing.limit + 1)
        for other in RefusalLedger.Standing.allCases where other != standing {
            #expect(ledger.note(refusal("x"), of: "x", other, at: start)?.source == "x")
        }
        let hour = ledger.due(at: start + .seconds(3_600))
        #expect(hour.map(\.again) == [100_000 - standing.limit - 1])
    }

    @Test("an event names the interface, the address and the MAC address")
    func event() async throws {
        let (store, clock) = (MemoryStore(), ManualClock())
        let control = try await openControl(store, clock: clock)
        let book = RefusalBook(interface: "eth7", control: control, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let log = RefusalLog(service: "boot", book: book, counters: Counters())
        let mac = MACAddress(value: 0x5254_0000_0001)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await book.run() }
            for _ in 0..<3 { log.note("connections", of: Caller(owner: .neighbour(mac), isKnown: false), source: "10.0.0.9") }
            clock.advance(.seconds(3_600))
            book.reportDue()
            var events: [Event] = []
            for try await change in try await control.records.watch(Event.self, after: .zero) {
                if case .put(let found) = change, found.value.kind == "boot.refused" { events.append(found.value) }
                if events.count == 2 { break }
            }
            #expect(events[0].evidence["interface"] == "eth7" && events[0].evidence["source"] == "10.0.0.9")
            #expect(events[0].evidence["mac"] == mac.description && events[0].evidence["again"] == nil)
            #expect(events[1].evidence["again"] == "2" && events[1].message.contains("2 more times"))
            tasks.cancelAll()
        }
        #expect(log.counters["refused-connections"] == 3 && log.counters["events"] == 1)
    }
}
