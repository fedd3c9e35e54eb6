import NIOCore
import Testing

@testable import BootServices

@Suite("TFTP places")
struct TFTPPlacesTests {
    private func limits(_ total: Int, perClient: Int, reserved: Int) -> TFTPTransferLimits {
        var limits = TFTPTransferLimits()
        limits.total = total
        limits.perClient = perClient
        limits.reservedForKnown = reserved
        return limits
    }

    private func admit(_ places: inout TFTPPlaces, _ host: Int, _ port: Int, known: Bool = false) throws -> TFTPPlaces.Admission {
        let client = try SocketAddress(ipAddress: "10.0.\(host / 256).\(host % 256)", port: port)
        return places.admit(client, host: "\(host)", isKnown: known)
    }

    @Test("of one address, what was never acknowledged gives way first, and what was acknowledged does not")
    func perClient() throws {
        var places = TFTPPlaces(limits(100, perClient: 2, reserved: 0))
        #expect(try admit(&places, 1, 1) == .admitted(ticket: 1, inPlaceOf: nil))
        #expect(try admit(&places, 1, 1) == .repetition)
        #expect(try admit(&places, 1, 2) == .admitted(ticket: 2, inPlaceOf: nil))
        places.prove(1)
        #expect(try admit(&places, 1, 3) == .admitted(ticket: 3, inPlaceOf: 2))
        places.prove(3)
        #expect(try admit(&places, 1, 4) == .refused)
        places.leave(1)
        #expect(try admit(&places, 1, 4) == .admitted(ticket: 4, inPlaceOf: nil))
    }

    @Test("264 requests that nobody acknowledges, from made-up addresses, keep neither a stranger nor a known machine out")
    func flood() throws {
        var places = TFTPPlaces(TFTPTransferLimits())
        for number in 0..<264 { #expect(try admit(&places, number, 1) != .refused) }
        #expect(places.count == 192)
        let stranger = try admit(&places, 1_000, 1)
        guard case .admitted(let ticket, .some) = stranger else {
            Issue.record("\(stranger)")
            return
        }
        places.prove(ticket)
        for number in 0..<1_000 { _ = try admit(&places, 2_000 + number, 1) }
        #expect(places.holds(ticket), "what was acknowledged goes on")
        for number in 0..<64 {
            guard case .admitted(_, nil) = try admit(&places, 4_000 + number, 1, known: true) else {
                Issue.record("known \(number) is not let in")
                return
            }
        }
        // More known machines than are reserved for take strangers' places.
        guard case .admitted(_, .some) = try admit(&places, 5_000, 1, known: true) else {
            Issue.record("not let in")
            return
        }
        #expect(places.count == 256)
    }

    @Test("strangers that do acknowledge give way too, the one with most transfers first")
    func greedy() throws {
        var places = TFTPPlaces(limits(6, perClient: 4, reserved: 2))
        for port in 1...3 {
            guard case .admitted(let ticket, _) = try admit(&places, 1, port) else { return }
            places.prove(ticket)
        }
        guard case .admitted(let fourth, nil) = try admit(&places, 2, 1) else { return }
        places.prove(fourth)
        #expect(try admit(&places, 3, 1) == .admitted(ticket: 5, inPlaceOf: 1))
        places.prove(5)
        #expect(try admit(&places, 1, 9) == .refused)
        #expect(try admit(&places, 4, 1, known: true) == .admitted(ticket: 6, inPlaceOf: nil))
        #expect(try admit(&places, 5, 1, known: true) == .admitted(ticket: 7, inPlaceOf: nil))
        #expect(try admit(&places, 6, 1, known: true) == .admitted(ticket: 8, inPlaceOf: 2))
    }
}
