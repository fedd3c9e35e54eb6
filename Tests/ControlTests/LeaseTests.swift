import Model
import Store
import Testing

@testable import Control

@Suite("A machine that is lent", .timeLimit(.minutes(1))) struct LeaseTests {
    private let clock = ManualClock()

    @Test("a lease that goes on keeps its id when its end is moved; one that is over does not come back; an end in the past is refused")
    func patches() throws {
        let now = clock.now
        let first = try #require(try LeasePatch(endsAt: now + .seconds(60)).applied(to: nil, now: now))
        let moved = try #require(try LeasePatch(endsAt: now + .seconds(90)).applied(to: first, now: now))
        #expect(moved.id == first.id && moved.endsAt == now + .seconds(90))
        let later = now + .seconds(91)
        #expect(try LeasePatch(endsAt: later + .seconds(60)).applied(to: moved, now: later)?.id != first.id)
        var told = first
        told.endedAt = now
        #expect(try LeasePatch(endsAt: now + .seconds(90)).applied(to: told, now: now)?.id != first.id)
        #expect(try LeasePatch(endsAt: nil).applied(to: moved, now: now) == nil)
        #expect(throws: Problem.self) { try LeasePatch(endsAt: now).applied(to: nil, now: now) }
    }

    @Test("its end is told once, in the record and in the events; one that was moved meanwhile goes on")
    func ending() async throws {
        let store = MemoryStore()
        try await store.commit([try machine(.running).put(.absent)])
        try await running(try await open(store, clock: clock)) { control in
            let end = clock.now + .seconds(60)
            let lent = try await control.update(machine: "one", with: MachinePatch(lease: LeasePatch(endsAt: end)), expecting: nil, by: "test")
            let id = try #require(lent.value.desired.lease?.id)
            try await control.endLeases()
            #expect(try await control.machine(named: "one").value.desired.lease?.endedAt == nil)
            clock.advance(.seconds(60))
            // The background task may have been quicker; either way it is told once.
            for _ in 0..<3 { try await control.endLeases() }
            let lease = try #require(try await control.machine(named: "one").value.desired.lease)
            #expect(lease == LeaseTerm(id: id, endsAt: end, endedAt: lease.endedAt) && lease.endedAt != nil)
            let events = try await control.records.all(Event.self).map(\.value).filter { $0.kind == "lease.ended" }
            #expect(events.count == 1 && events.first?.message.contains("gets no identity") == true)
        }
    }
}
