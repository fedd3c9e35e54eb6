import Model
import Testing

@testable import Hardware

/// The rules of who is whom, over all that can be.
@Suite("Whether two descriptions are of one machine") struct SameMachineTests {
    typealias Standings = SameMachine.Standings
    private static let facts = IdentityFact.allCases

    /// All 3125 of them.
    private static let all: [Standings] = {
        var all = [Standings()]
        for fact in facts {
            all = all.flatMap { before in
                FactStanding.allCases.map { standing in
                    var next = before
                    next[fact] = standing
                    return next
                }
            }
        }
        return all
    }()

    private static func claims(_ standings: Standings, _ wanted: FactStanding) -> Int {
        [IdentityFact.toldMAC, .uuid, .serial].count { standings[$0] == wanted }
    }

    @Test("there are 3125 rows, and each has a verdict") func count() {
        #expect(Self.all.count == 3125)
        var seen: [SameMachine.Verdict: Int] = [:]
        for row in Self.all { seen[SameMachine.verdict(row), default: 0] += 1 }
        #expect(Set(seen.keys) == Set(SameMachine.Verdict.allCases))
    }

    @Test("a person's word decides in every row") func hand() {
        for row in Self.all where row.hand == .agrees { #expect(SameMachine.verdict(row) == .same, "\(row)") }
        for row in Self.all where row.hand == .differs {
            #expect(SameMachine.verdict(row) == .different && !SameMachine.stands(row), "\(row)")
        }
    }

    @Test("what is a filler or shared says as little as what is absent, in every row and for every fact") func silent() {
        for row in Self.all {
            for fact in Self.facts where row[fact] == .filler || row[fact] == .shared {
                var without = row
                without[fact] = .absent
                #expect(SameMachine.verdict(row) == SameMachine.verdict(without), "\(row)")
                #expect(SameMachine.stands(row) == SameMachine.stands(without), "\(row)")
            }
        }
    }

    @Test("where nothing agrees nobody is bound, and nobody is proposed") func nothing() {
        for row in Self.all where !Self.facts.contains(where: { row[$0] == .agrees }) {
            #expect(SameMachine.verdict(row) == .different, "\(row)")
            #expect(!SameMachine.stands(row))
        }
    }

    @Test("no single fact decides against another that differs") func single() {
        for row in Self.all where !row.hand.isTelling {
            let agreeing = Self.facts.count { row[$0] == .agrees }
            let differing = Self.facts.count { row[$0] == .differs }
            if agreeing == 1, differing > 0 { #expect(SameMachine.verdict(row) == .ask, "\(row)") }
            if SameMachine.verdict(row) == .same { #expect(agreeing > differing, "\(row)") }
        }
    }

    @Test("a claim alone is never a proof, and where the wire says otherwise all claims together are none") func claims() {
        for row in Self.all where !row.hand.isTelling && row.bootedMAC != .agrees {
            if Self.claims(row, .agrees) < 2 { #expect(SameMachine.verdict(row) != .same, "\(row)") }
            if row.bootedMAC == .differs { #expect(SameMachine.verdict(row) != .same && !SameMachine.stands(row), "\(row)") }
            if Self.claims(row, .differs) > 0 { #expect(SameMachine.verdict(row) != .same, "\(row)") }
        }
    }

    @Test("a booted port is never overruled by claims: at the worst it is asked, and what it proved once stands") func booted() {
        for row in Self.all where row.bootedMAC == .agrees && row.hand != .differs {
            #expect(SameMachine.verdict(row) >= .ask, "\(row)")
            #expect(SameMachine.stands(row))
            if Self.claims(row, .differs) == 0 { #expect(SameMachine.verdict(row) == .same, "\(row)") }
        }
    }

    @Test("more agreement never makes two machines of one, and more difference never one of two") func monotonic() {
        for row in Self.all {
            for fact in Self.facts {
                var (agreeing, differing) = (row, row)
                agreeing[fact] = .agrees
                differing[fact] = .differs
                #expect(SameMachine.verdict(agreeing) >= SameMachine.verdict(row), "\(row) with \(fact)")
                #expect(SameMachine.verdict(differing) <= SameMachine.verdict(row), "\(row) with \(fact)")
            }
        }
    }

    @Test("what is the same without a person's word stands") func stands() {
        for row in Self.all where SameMachine.verdict(row) == .same { #expect(SameMachine.stands(row)) }
        for row in Self.all where SameMachine.stands(row) && row.bootedMAC != .agrees { #expect(SameMachine.verdict(row) == .same) }
    }

    struct Row: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var booted = FactStanding.absent
        var told = FactStanding.absent
        var uuid = FactStanding.absent
        var serial = FactStanding.absent
        var hand = FactStanding.absent
        var verdict: SameMachine.Verdict
    }

    static let rows: [Row] = [
        Row(testDescription: "a default UUID on both, the serial numbers differ", uuid: .filler, serial: .differs, verdict: .different),
        Row(testDescription: "a default UUID and a default serial number on both", uuid: .filler, serial: .filler, verdict: .different),
        Row(testDescription: "a UUID that no table has and that is on both boards", booted: .differs, uuid: .agrees, serial: .filler, verdict: .ask),
        Row(testDescription: "the same, and the serial numbers differ", uuid: .agrees, serial: .differs, verdict: .ask),
        Row(testDescription: "the same, and nothing else is said", uuid: .agrees, verdict: .ask),
        Row(
            testDescription: "the link to the BMC has one address everywhere", booted: .differs, told: .filler, uuid: .differs, serial: .differs,
            verdict: .different),
        Row(
            testDescription: "one named port, everything else differs", booted: .differs, told: .agrees, uuid: .differs, serial: .differs,
            verdict: .ask),
        Row(testDescription: "one named port alone", told: .agrees, verdict: .ask),
        Row(testDescription: "a port that two boards name", told: .shared, verdict: .different),
        Row(testDescription: "a port that two boards boot by", booted: .shared, uuid: .differs, verdict: .different),
        Row(testDescription: "everything agrees", booted: .agrees, told: .agrees, uuid: .agrees, serial: .agrees, verdict: .same),
        Row(testDescription: "a booted port alone: its board has fillers", booted: .agrees, uuid: .filler, serial: .filler, verdict: .same),
        Row(testDescription: "a booted port, and a UUID that IPMI made up", booted: .agrees, uuid: .differs, serial: .filler, verdict: .ask),
        Row(
            testDescription: "a booted port and the serial number, and a UUID that IPMI made up", booted: .agrees, uuid: .differs, serial: .agrees,
            verdict: .same),
        Row(testDescription: "a card that was moved to another board", booted: .agrees, uuid: .differs, serial: .differs, verdict: .ask),
        Row(testDescription: "UUID and serial number, no ports named", uuid: .agrees, serial: .agrees, verdict: .same),
        Row(
            testDescription: "UUID and serial number, and the machine boots by a card that the BMC does not name", booted: .differs, uuid: .agrees,
            serial: .agrees, verdict: .ask),
        Row(testDescription: "UUID and a named port", told: .agrees, uuid: .agrees, verdict: .same),
        Row(testDescription: "the serial number of a chassis with four machines", uuid: .differs, serial: .shared, verdict: .different),
        Row(
            testDescription: "a person says so, everything differs", booted: .differs, told: .differs, uuid: .differs, serial: .differs,
            hand: .agrees, verdict: .same),
        Row(
            testDescription: "a person says not, everything agrees", booted: .agrees, told: .agrees, uuid: .agrees, serial: .agrees, hand: .differs,
            verdict: .different),
        Row(testDescription: "nothing is known", verdict: .different),
    ]

    @Test("the notable rows", arguments: rows) func notable(_ row: Row) {
        var standings = Standings()
        standings.bootedMAC = row.booted
        standings.toldMAC = row.told
        standings.uuid = row.uuid
        standings.serial = row.serial
        standings.hand = row.hand
        #expect(SameMachine.verdict(standings) == row.verdict)
    }
}
