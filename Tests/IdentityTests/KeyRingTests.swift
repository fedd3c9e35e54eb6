import Model
import Testing

@testable import Identity

@Suite("The ring of signing keys") struct KeyRingTests {
    static let day = Duration.seconds(86_400)
    let schedule = KeySchedule()
    let start = Timestamp(milliseconds: 1_800_000_000_000)

    /// Does what is due at `now`, and says what it was.
    private func settle(_ ring: inout KeyRing, at now: Timestamp, made: inout Int) -> [String] {
        var said: [String] = []
        while true {
            switch ring.action(at: now, schedule) {
            case .make:
                made += 1
                ring.add("k\(made)", at: now)
                said.append("make k\(made)")
            case .drop(let id):
                ring.remove(id)
                said.append("drop \(id)")
            case .rest: return said
            }
            if said.count > 10 { return said }
        }
    }

    @Test("the first key signs at once; its successor is published a day before it signs; the old one goes when its last token is over")
    func transcript() {
        var ring = KeyRing()
        var made = 0
        #expect(settle(&ring, at: start, made: &made) == ["make k1"])
        #expect(ring.signer(at: start, schedule)?.id == "k1")
        #expect(ring.action(at: start, schedule) == .rest(until: start + Self.day * 29))

        let published = start + Self.day * 29
        #expect(settle(&ring, at: published + .milliseconds(-1), made: &made) == [])
        #expect(settle(&ring, at: published, made: &made) == ["make k2"])
        #expect(ring.signer(at: published, schedule)?.id == "k1")
        let takesOver = published + Self.day
        #expect(ring.signer(at: takesOver + .milliseconds(-1), schedule)?.id == "k1")
        #expect(ring.signer(at: takesOver, schedule)?.id == "k2")

        // A token signed at the last moment lives an hour, and a clock may be five minutes behind.
        let over = takesOver + .seconds(3900)
        #expect(ring.action(at: takesOver, schedule) == .rest(until: over))
        #expect(settle(&ring, at: over + .milliseconds(-1), made: &made) == [])
        #expect(settle(&ring, at: over, made: &made) == ["drop k1"])
        #expect(ring.entries.map(\.id) == ["k2"])
    }

    @Test("what was signed is verifiable for its whole life, whenever it was signed, over a year of hours")
    func everyTokenIsVerifiable() {
        var ring = KeyRing()
        var made = 0
        var alive: [(key: String, until: Timestamp)] = []
        for hour in 0..<(365 * 24) {
            let now = start + .seconds(hour * 3600)
            _ = settle(&ring, at: now, made: &made)
            alive.removeAll { $0.until <= now }
            for token in alive { #expect(ring.entries.contains { $0.id == token.key }) }
            guard let signer = ring.signer(at: now, schedule) else {
                Issue.record("no signer in hour \(hour)")
                return
            }
            alive.append((signer.id, now + schedule.longestLife))
            #expect(ring.entries.count <= 2)
            // But for the first of all, no key signs before it was published for a day.
            if signer.id != "k1" { #expect(signer.createdAt + schedule.lead <= now) }
        }
        #expect(made == 13)
    }

    @Test("after months without the server the old key signs until the new one is known") func longSleep() {
        var ring = KeyRing()
        var made = 0
        _ = settle(&ring, at: start, made: &made)
        let later = start + Self.day * 200
        #expect(settle(&ring, at: later, made: &made) == ["make k2"])
        #expect(ring.signer(at: later, schedule)?.id == "k1")
        #expect(ring.signer(at: later + Self.day, schedule)?.id == "k2")
    }

    @Test("a clock that goes back makes no keys and leaves a signer") func clockBack() {
        var ring = KeyRing()
        var made = 0
        _ = settle(&ring, at: start, made: &made)
        let past = start + Self.day * -400
        #expect(settle(&ring, at: past, made: &made) == [])
        #expect(ring.signer(at: past, schedule)?.id == "k1")
    }
}
