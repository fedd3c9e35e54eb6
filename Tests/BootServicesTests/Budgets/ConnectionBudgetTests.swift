import NIOCore
import Testing
import Wire

@testable import BootServices

@Suite("Connection budget")
struct ConnectionBudgetTests {
    private static func limits() -> ConnectionBudget.Limits {
        var limits = ConnectionBudget.Limits()
        limits.total = 10
        limits.unknown = 6
        limits.routed = 3
        limits.perKnown = 4
        limits.perUnknown = 3
        limits.bodyBytes = 1_000
        limits.unknownBodyBytes = 400
        limits.bodyBytesPerKnown = 500
        limits.bodyBytesPerUnknown = 150
        return limits
    }

    private func caller(_ number: UInt64, known: Bool = false) -> Caller {
        Caller(owner: .neighbour(MACAddress(value: 0x5254_0000_0000 + number)), isKnown: known)
    }
    private func routed(_ number: UInt32) -> Caller {
        Caller(owner: .address(IPv4Address(value: 0x0a1e_0000 + number)), isKnown: false, isRouted: true)
    }
    /// An older connection has a smaller number.
    private let byAge: (Int) -> Int64 = { Int64($0) }

    @Test("one owner has its limit, whoever else is there")
    func perOwner() {
        var budget = ConnectionBudget(Self.limits())
        for number in 1...3 { #expect(budget.enter(number, caller(1), quietSince: byAge) == .admitted(inPlaceOf: nil)) }
        #expect(budget.enter(4, caller(1), quietSince: byAge) == .refused)
        for number in 5...8 { #expect(budget.enter(number, caller(2, known: true), quietSince: byAge) == .admitted(inPlaceOf: nil)) }
        #expect(budget.enter(9, caller(2, known: true), quietSince: byAge) == .refused)
        budget.leave(2)
        #expect(budget.enter(10, caller(1), quietSince: byAge) == .admitted(inPlaceOf: nil))
    }

    @Test("when strangers have their share, the longest quiet connection of the one that has most gives way")
    func greediest() {
        var budget = ConnectionBudget(Self.limits())
        _ = budget.enter(1, caller(1), quietSince: byAge)
        for number in 2...4 { _ = budget.enter(number, caller(2), quietSince: byAge) }
        for number in 5...6 { _ = budget.enter(number, caller(3), quietSince: byAge) }
        // 3 has been busy for less long than 2 and 4.
        let quiet: (Int) -> Int64 = { [1: 1, 2: 90, 3: 20, 4: 80, 5: 2, 6: 3][$0] ?? 100 }
        #expect(budget.enter(7, caller(4), quietSince: quiet) == .admitted(inPlaceOf: 3))
        // 2 and 3 have two each; the longest quiet of both is 5.
        #expect(budget.enter(8, caller(5), quietSince: quiet) == .admitted(inPlaceOf: 5))
        // Who would have most itself gets nothing.
        #expect(budget.enter(9, caller(2), quietSince: quiet) == .refused)
        #expect(budget.count == 6)
    }

    @Test("a flood of strangers with a connection each keeps no known machine out, and a new stranger gets in")
    func flood() {
        var budget = ConnectionBudget(Self.limits())
        for number in 1...1_000 {
            let admission = budget.enter(number, caller(UInt64(number)), quietSince: byAge)
            #expect(admission == .admitted(inPlaceOf: number <= 6 ? nil : number - 6))
        }
        for number in 2_001...2_004 {
            #expect(budget.enter(number, caller(5_000, known: true), quietSince: byAge) == .admitted(inPlaceOf: nil))
        }
        // A known machine more than there is room for takes a stranger's place.
        #expect(budget.enter(3_000, caller(5_001, known: true), quietSince: byAge) == .admitted(inPlaceOf: 995))
        #expect(budget.count == 10)
    }

    @Test("strangers behind routers have a part of the strangers' share")
    func routers() {
        var budget = ConnectionBudget(Self.limits())
        for number in 1...3 { #expect(budget.enter(number, routed(UInt32(number)), quietSince: byAge) == .admitted(inPlaceOf: nil)) }
        #expect(budget.enter(4, routed(4), quietSince: byAge) == .admitted(inPlaceOf: 1))
        #expect(budget.enter(5, caller(1), quietSince: byAge) == .admitted(inPlaceOf: nil))
    }

    @Test("when known machines fill everything, the one that has most gives way to one that has fewer")
    func allKnown() {
        var budget = ConnectionBudget(Self.limits())
        for number in 1...4 { _ = budget.enter(number, caller(1, known: true), quietSince: byAge) }
        for number in 5...7 { _ = budget.enter(number, caller(2, known: true), quietSince: byAge) }
        for number in 8...10 { _ = budget.enter(number, caller(3, known: true), quietSince: byAge) }
        #expect(budget.enter(11, caller(4, known: true), quietSince: byAge) == .admitted(inPlaceOf: 1))
        #expect(budget.enter(12, caller(9), quietSince: byAge) == .refused, "a stranger takes nothing from known machines")
    }

    @Test("bytes of bodies are counted by owner and by class, and given back with the connection")
    func bodies() {
        var budget = ConnectionBudget(Self.limits())
        for (number, who) in [(1, 1), (2, 1), (3, 2), (4, 3)] as [(Int, UInt64)] { _ = budget.enter(number, caller(who), quietSince: byAge) }
        _ = budget.enter(5, caller(9, known: true), quietSince: byAge)
        #expect(budget.take(100, for: 1) == true)
        #expect(budget.take(50, for: 2) == true)
        #expect(budget.take(1, for: 1) == false, "one owner's, over all its connections")
        #expect(budget.take(150, for: 3) == true)
        #expect(budget.take(100, for: 4) == true)
        #expect(budget.take(1, for: 4) == false, "all strangers'")
        #expect(budget.take(500, for: 5) == true)
        #expect(budget.take(1, for: 5) == false)
        #expect(budget.bodyBytes == 900)
        budget.giveBack(3)
        budget.leave(1)
        #expect(budget.bodyBytes == 650)
        #expect(budget.take(100, for: 2) == true)
        #expect(budget.take(1, for: 2) == false)
        #expect(budget.take(1, for: 77) == false, "a connection that is not there")
        for number in 2...5 { budget.leave(number) }
        #expect(budget.bodyBytes == 0 && budget.count == 0)
    }

    @Test("limits of open files leave room for all else, however few there are")
    func openFiles() {
        for limit in [64, 256, 1_024, 4_096, 65_536, 524_288, 1 << 20] {
            for networks in [1, 2, 8] {
                let budget = OpenFileBudget(limit: limit, networks: networks)
                let most = networks * (2 * budget.http + budget.metadata + budget.transfers)
                if limit >= 1_024 { #expect(most <= limit * 3 / 4, "\(limit) \(networks) \(budget)") }
                #expect(budget.http >= 16 && budget.transfers >= 8)
            }
        }
        #expect(OpenFileBudget(limit: 524_288, networks: 1) == OpenFileBudget(limit: 1 << 20, networks: 2))
        #expect(OpenFileBudget(limit: 524_288, networks: 1).http == 4096)
        #expect(OpenFileBudget(limit: 1_024, networks: 1).http >= 100)
    }
}

@Suite("Connection clock")
struct ConnectionClockTests {
    private func at(_ seconds: Double) -> NIODeadline { .uptimeNanoseconds(1_000_000_000_000 + UInt64(seconds * 1e9)) }

    @Test("a head has ten seconds from the connection or from its first byte, however the bytes come")
    func heads() {
        var clock = ConnectionClock(ConnectionDeadlines(), now: at(0))
        #expect(clock.lateness(at: at(9)) == nil && clock.lateness(at: at(11)) == .slowHead)
        clock.heard(now: at(9))
        #expect(clock.lateness(at: at(11)) == .slowHead, "a first byte gains nothing")
        clock.enter(.idle, now: at(20))
        #expect(clock.lateness(at: at(79)) == nil && clock.lateness(at: at(81)) == .idle)
        clock.heard(now: at(79))
        for second in 80...88 {
            clock.heard(now: at(Double(second)))
            #expect(clock.lateness(at: at(Double(second))) == nil)
        }
        #expect(clock.lateness(at: at(90)) == .slowHead)
    }

    @Test("a body has ten seconds, and must then have come at 8 KiB a second")
    func bodies() {
        var clock = ConnectionClock(ConnectionDeadlines(), now: at(0))
        clock.heard(now: at(0))
        clock.enter(.body, now: at(0))
        #expect(clock.lateness(at: at(10)) == nil)
        #expect(clock.lateness(at: at(10.5)) == .slowBody)
        clock.heardBody(bytes: 64 << 10)
        #expect(clock.lateness(at: at(17.9)) == nil)
        #expect(clock.lateness(at: at(18.2)) == .slowBody, "and no more than eight for 64 KiB")
        clock.enter(.answering, now: at(18))
        #expect(clock.lateness(at: at(1_000)) == nil, "that time is the server's")
        clock.enter(.sending, now: at(20))
        #expect(clock.lateness(at: at(109)) == nil && clock.lateness(at: at(111)) == .untaken)
        clock.enter(.lingering, now: at(200))
        #expect(clock.lateness(at: at(201)) == nil && clock.lateness(at: at(203)) == .lingered)
    }
}

@Suite("Lease queue")
struct LeaseQueueTests {
    private func place(_ number: UInt32) -> IPv4Address { IPv4Address(value: 0x0a4d_0000 + number) }

    @Test("known machines' leases are written first, and those of one address in their order")
    func order() {
        var queue = LeaseQueue<String>()
        queue.append("a", at: place(1), isKnown: false)
        queue.append("b", at: place(2), isKnown: false)
        queue.append("c", at: place(3), isKnown: true)
        // It became known meanwhile: what waits of this address must not be written after.
        queue.append("d", at: place(1), isKnown: true)
        #expect(queue.take(3) == ["c", "a", "b"])
        queue.append("e", at: place(1), isKnown: true)
        queue.append("f", at: place(2), isKnown: true)
        #expect(queue.take(10) == ["f", "d", "e"])
        #expect(queue.isEmpty)
        #expect(queue.take(5).isEmpty)
    }

    @Test("strangers have a limit of their own")
    func limits() {
        var queue = LeaseQueue<Int>(limits: .init(total: 4, unknown: 2))
        for number in 0..<2 { queue.append(number, at: place(UInt32(number)), isKnown: false) }
        #expect(!queue.hasRoom(isKnown: false) && queue.hasRoom(isKnown: true))
        for number in 2..<4 { queue.append(number, at: place(UInt32(number)), isKnown: true) }
        #expect(!queue.hasRoom(isKnown: true))
    }
}
