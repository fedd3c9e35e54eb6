import NIOCore
import Testing

@testable import API

@Suite("The pace of a request") struct RequestPaceTests {
    private let start = ContinuousClock.now
    private let limits = ConnectionLimits()
    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    @Test("a connection that never asks is late, TLS or not") func opening() {
        let pace = RequestPace(limits, now: start)
        #expect(pace.lateness(at(19.9)) == nil)
        #expect(pace.lateness(at(20)) == .opening)
    }

    @Test("between requests it may be idle for a while, while it is answered for as long as the answer takes") func idle() {
        var pace = RequestPace(limits, now: start)
        pace.headCame(at(1))
        pace.requestEnded(at(1))
        #expect(pace.lateness(at(10_000)) == nil)
        pace.writeBegan(at(10_000))
        pace.writeEnded(at(10_000))
        let over = pace.answered(at(10_000))
        #expect(!over)
        #expect(pace.lateness(at(10_074)) == nil)
        #expect(pace.lateness(at(10_075)) == .idle)
        pace.headCame(at(10_070))
        pace.requestEnded(at(10_070))
        #expect(pace.lateness(at(10_080)) == nil)
    }

    @Test("a body that trickles is late, one that flows is not, and the server's own pause counts against nobody") func body() {
        var pace = RequestPace(limits, now: start)
        pace.headCame(start)
        for second in 1...19 { pace.bodyCame(100, at(Double(second))) }
        #expect(pace.lateness(at(20)) == .body)

        pace = RequestPace(limits, now: start)
        pace.headCame(start)
        for second in 1...200 {
            pace.bodyCame(1000, at(Double(second)))
            #expect(pace.lateness(at(Double(second))) == nil)
        }
        pace.reading(false, at(200))
        #expect(pace.lateness(at(400)) == nil)
        pace.reading(true, at(400))
        #expect(pace.lateness(at(419)) == nil)
        #expect(pace.lateness(at(420)) == .body)
    }

    @Test("who takes nothing of what is written is gone, who takes a little at a time is not") func stall() {
        var pace = RequestPace(limits, now: start)
        pace.headCame(start)
        pace.requestEnded(start)
        for _ in 0..<10 { pace.writeBegan(at(1)) }
        #expect(pace.lateness(at(30)) == nil)
        #expect(pace.lateness(at(31)) == .stall)
        for piece in 0..<9 {
            pace.writeEnded(at(30 + Double(piece) * 25))
            #expect(pace.lateness(at(54 + Double(piece) * 25)) == nil)
        }
        pace.writeEnded(at(260))
        #expect(pace.lateness(at(10_000)) == nil)
    }

    @Test("after an answer that came before the body was over a little more is thrown away, then the connection is cut") func drain() {
        var pace = RequestPace(limits, now: start)
        pace.headCame(start)
        pace.bodyCame(10, at(1))
        #expect(!pace.requestIsWhole)
        let isCutShort = pace.answered(at(1))
        #expect(isCutShort)
        #expect(pace.lateness(at(3.9)) == nil)
        #expect(pace.lateness(at(4)) == .drain)
        pace.bodyCame(limits.drainBytes + 1, at(2))
        #expect(pace.isDrained && pace.lateness(at(2)) == .drain)
    }

    @Test("requests that follow each other without waiting are answered one by one") func pipelined() {
        var pace = RequestPace(limits, now: start)
        for _ in 0..<3 {
            pace.headCame(start)
            pace.requestEnded(start)
        }
        let first = (pace.answered(at(1)), pace.answered(at(1)))
        #expect(first == (false, false))
        #expect(pace.lateness(at(500)) == nil)
        let last = pace.answered(at(500))
        #expect(!last)
        #expect(pace.lateness(at(575)) == .idle)
    }
}

@Suite("How many connections there may be") struct ConnectionCountTests {
    private func origin(_ address: String) throws -> ConnectionCount.Origin {
        .init(try SocketAddress(ipAddress: address, port: 1))
    }

    @Test("addresses are counted as the hosts that have them") func origins() throws {
        #expect(try origin("192.0.2.1") == .address("192.0.2.1"))
        #expect(try origin("::ffff:192.0.2.1") == origin("192.0.2.1"))
        #expect(try origin("2001:db8:1:2:3::1") == origin("2001:db8:1:2:4::9"))
        #expect(try origin("2001:db8:1:2::1") != origin("2001:db8:1:3::1"))
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] { #expect(try origin(address) == .loopback) }
    }

    @Test("one address takes no more than its share, all together leave room for this host") func shares() throws {
        var limits = ConnectionLimits()
        (limits.total, limits.perAddress, limits.perLoopback, limits.reservedForLoopback) = (10, 3, 4, 2)
        let count = ConnectionCount(limits)
        for number in 1...4 { #expect(try count.open(origin("192.0.2.1")) == (number <= 3)) }
        for number in 1...9 { #expect(try count.open(origin("198.51.100.\(number)")) == (number <= 5)) }
        #expect(count.total == 8 && count.refused == 5)
        #expect(count.open(.loopback) && count.open(.loopback) && !count.open(.loopback))
        count.close(try origin("192.0.2.1"))
        #expect(try !count.open(origin("192.0.2.1")), "the room that is left is this host's")
        #expect(count.open(.loopback))
        // What was never open takes nothing away.
        count.close(try origin("203.0.113.1"))
        #expect(count.total == 10)
    }

    @Test("a refusal is told at once, then once an hour with its count; many addresses are told of together") func notes() {
        let notes = RefusalNotes()
        let start = ContinuousClock.now
        for _ in 0..<5 { notes.note("k", "w", origin: "192.0.2.1") }
        #expect(notes.due(start).map(\.count) == [5])
        for _ in 0..<7 { notes.note("k", "w", origin: "192.0.2.1") }
        #expect(notes.due(start + .seconds(3599)).isEmpty)
        #expect(notes.due(start + .seconds(3600)).map(\.count) == [7])
        for number in 0..<1000 { notes.note("k", "w", origin: "10.0.\(number / 250).\(number % 250)") }
        let told = notes.due(start + .seconds(3601))
        #expect(told.count == RefusalNotes.origins && told.reduce(0) { $0 + $1.count } == 1000)
        #expect(told.contains { $0.origin == "others" && $0.count > 900 })
        // What has been quiet for an hour is forgotten.
        #expect(notes.due(start + .seconds(7300)).isEmpty && notes.due(start + .seconds(7300)).isEmpty)
    }
}
