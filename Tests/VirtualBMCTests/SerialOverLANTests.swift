import Model
import Testing

@testable import VirtualBMC

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// Moments of a test, in milliseconds since it began.
private func at(_ milliseconds: Int64) -> Timestamp { Timestamp(milliseconds: 1_800_000_000_000 + milliseconds) }

/// What a console sends.
private func packet(
    _ sequence: UInt8, _ text: String = "", acknowledged: UInt8 = 0, accepted: Int = 0, _ operation: SOLPacket.Operation = []
) -> SOLPacket {
    var packet = SOLPacket(sequence: sequence, acknowledged: acknowledged, accepted: UInt8(accepted), characters: bytes(text))
    packet.flags = operation.rawValue
    return packet
}

private func active(isOn: Bool = true) -> SerialOverLAN {
    var serial = SerialOverLAN()
    serial.activate(1, isOn: isOn)
    return serial
}

@Suite("Serial over LAN, as a machine of states") struct SerialOverLANTests {
    // MARK: From the console

    @Test("what is typed is typed once and acknowledged, with its count") func typing() {
        var serial = active()
        let heard = serial.heard(packet(1, "ls\r"), at: at(0))
        #expect(heard == .init(typed: bytes("ls\r"), answer: SOLPacket(acknowledged: 1, accepted: 3)))
        #expect(serial.heard(packet(2, "x"), at: at(1)).typed == bytes("x"))
    }

    @Test("the same packet again is acknowledged again and not typed again") func duplicate() {
        var serial = active()
        let first = serial.heard(packet(1, "reboot\r", .break), at: at(0))
        let second = serial.heard(packet(1, "reboot\r", .break), at: at(500))
        #expect(first.isBreak && !second.isBreak)
        #expect(first.answer == second.answer && second.typed.isEmpty)
    }

    @Test("a packet that comes again with more at its end has only that typed") func more() {
        var serial = active()
        _ = serial.heard(packet(1, "sys"), at: at(0))
        let heard = serial.heard(packet(1, "system"), at: at(500))
        #expect(heard == .init(typed: bytes("tem"), answer: SOLPacket(acknowledged: 1, accepted: 6)))
    }

    @Test("a packet that was overtaken is not typed after the one that overtook it", arguments: 1...15 as ClosedRange<UInt8>)
    func overtaken(_ sequence: UInt8) {
        var serial = active()
        let next = SOLPacket.sequence(after: sequence)
        _ = serial.heard(packet(sequence, "a"), at: at(0))
        #expect(serial.heard(packet(next, "b"), at: at(1)).typed == bytes("b"))
        #expect(serial.heard(packet(sequence, "a"), at: at(2)) == .init())
        #expect(serial.heard(packet(SOLPacket.sequence(after: next), "c"), at: at(3)).typed == bytes("c"))
    }

    @Test("the numbers go round from 15 to 1") func round() {
        var serial = active()
        var sequence: UInt8 = 0
        for number in 0..<40 {
            sequence = SOLPacket.sequence(after: sequence)
            #expect(serial.heard(packet(sequence, "\(number % 10)"), at: at(0)).typed == bytes("\(number % 10)"))
        }
        #expect((1...15).contains(sequence))
    }

    @Test("a console that gave one up goes on with the next number") func gap() {
        var serial = active()
        _ = serial.heard(packet(3, "a"), at: at(0))
        #expect(serial.heard(packet(5, "c"), at: at(1)).typed == bytes("c"))
    }

    @Test("of a packet that is too long the first part is taken, and the count says so") func long() {
        var serial = active()
        let text = String(repeating: "x", count: 250)
        let heard = serial.heard(packet(1, text), at: at(0))
        #expect(heard.typed.count == 200)
        #expect(heard.answer == SOLPacket(acknowledged: 1, accepted: 200))
        #expect(serial.heard(packet(2, String(repeating: "x", count: 50)), at: at(1)).typed.count == 50)
    }

    @Test("what is typed at a machine that is off is refused, and taken when it comes again after the start") func off() {
        var serial = active(isOn: false)
        let refused = serial.heard(packet(1, "ls\r", .break), at: at(0))
        #expect(refused == .init(answer: SOLPacket(acknowledged: 1, status: [.refused, .unavailable])))
        serial.powered(true)
        let heard = serial.heard(packet(1, "ls\r", .break), at: at(1))
        #expect(heard == .init(typed: bytes("ls\r"), isBreak: true, answer: SOLPacket(acknowledged: 1, accepted: 3)))
    }

    @Test("an empty packet keeps the console alive: it is acknowledged, though the machine is off") func keepalive() {
        var serial = active(isOn: false)
        #expect(serial.heard(packet(1), at: at(0)).answer == SOLPacket(acknowledged: 1, status: .unavailable))
    }

    @Test("an acknowledgement alone is not answered") func quiet() {
        var serial = active()
        #expect(serial.heard(packet(0, acknowledged: 3, accepted: 4), at: at(0)) == .init())
    }

    // MARK: To the console

    @Test("a few characters are gathered for a while, many go at once, in packets of 200") func gathering() {
        var serial = active()
        serial.wrote(bytes("lo"), at: at(0))
        #expect(serial.due(at: at(0)) == nil && serial.deadline == at(40))
        serial.wrote(bytes("gin: "), at: at(10))
        #expect(serial.due(at: at(39)) == nil)
        #expect(serial.due(at: at(40)) == SOLPacket(sequence: 1, characters: bytes("login: ")))
        _ = serial.heard(packet(0, acknowledged: 1, accepted: 7), at: at(41))
        #expect(serial.deadline == nil)
        serial.wrote(bytes(String(repeating: "y", count: 250)), at: at(50))
        #expect(serial.due(at: at(50))?.characters.count == 200)
        #expect(serial.due(at: at(51)) == nil, "one at a time")
        _ = serial.heard(packet(0, acknowledged: 2, accepted: 200), at: at(52))
        #expect(serial.due(at: at(90))?.characters.count == 50)
    }

    @Test("what is not acknowledged is sent again, so often and no more, and what comes after says that some was lost")
    func retries() {
        var serial = active()
        serial.wrote(bytes("lost"), at: at(0))
        let first = serial.due(at: at(40))
        #expect(first?.characters == bytes("lost"))
        for retry in 1...7 {
            let moment = at(40 + Int64(retry) * 250)
            #expect(serial.deadline == moment)
            #expect(serial.due(at: moment + .milliseconds(-1)) == nil)
            #expect(serial.due(at: moment) == first)
        }
        #expect(serial.due(at: at(40 + 8 * 250)) == nil && serial.deadline == nil)
        serial.wrote(bytes("next"), at: at(9000))
        #expect(serial.due(at: at(9040)) == SOLPacket(sequence: 2, status: .overrun, characters: bytes("next")))
        _ = serial.heard(packet(0, acknowledged: 2, accepted: 4), at: at(9041))
        serial.wrote(bytes("more"), at: at(9050))
        #expect(serial.due(at: at(9090)) == SOLPacket(sequence: 3, characters: bytes("more")))
    }

    @Test("an acknowledgement that comes late, twice or for another packet changes nothing") func stale() {
        var serial = active()
        serial.wrote(bytes("one"), at: at(0))
        _ = serial.due(at: at(40))
        _ = serial.heard(packet(0, acknowledged: 7, accepted: 3), at: at(41))
        #expect(serial.deadline == at(290))
        _ = serial.heard(packet(0, acknowledged: 1, accepted: 3), at: at(42))
        serial.wrote(bytes("two"), at: at(50))
        #expect(serial.due(at: at(90))?.sequence == 2)
        _ = serial.heard(packet(0, acknowledged: 1, accepted: 3), at: at(91))
        #expect(serial.due(at: at(340)) == SOLPacket(sequence: 2, characters: bytes("two")))
    }

    @Test("what the console took only in part goes on with the rest, under the next number") func part() {
        var serial = active()
        serial.wrote(bytes("abcdef"), at: at(0))
        _ = serial.due(at: at(40))
        serial.wrote(bytes("gh"), at: at(41))
        _ = serial.heard(packet(0, acknowledged: 1, accepted: 2), at: at(42))
        #expect(serial.due(at: at(80)) == SOLPacket(sequence: 2, characters: bytes("cdefgh")))
        _ = serial.heard(packet(0, acknowledged: 2, accepted: 0, .refused), at: at(81))
        #expect(serial.due(at: at(330)) == nil, "refused: not at once again")
        #expect(serial.due(at: at(331)) == SOLPacket(sequence: 3, characters: bytes("cdefgh")))
    }

    @Test("an acknowledgement that claims more than was sent takes what was sent") func greedy() {
        var serial = active()
        serial.wrote(bytes("ab"), at: at(0))
        _ = serial.due(at: at(40))
        _ = serial.heard(packet(0, acknowledged: 1, accepted: 255), at: at(41))
        #expect(serial.deadline == nil)
    }

    @Test("for a console that takes nothing so much is kept, and the oldest goes first") func flood() {
        var serial = active()
        for _ in 0..<100 { serial.wrote([UInt8](repeating: 1, count: 1000), at: at(0)) }
        serial.wrote([2], at: at(1))
        var count = 0
        var last: UInt8 = 0
        var now: Int64 = 100
        #expect(serial.due(at: at(now))?.status.contains(.overrun) == true)
        _ = serial.heard(packet(0, acknowledged: 1, accepted: 200), at: at(now))
        while let packet = serial.due(at: at(now)) {
            count += packet.characters.count
            last = packet.characters.last ?? 0
            #expect(!packet.status.contains(.overrun))
            now += 1
            _ = serial.heard(VirtualBMCTests.packet(0, acknowledged: packet.sequence, accepted: packet.characters.count), at: at(now))
        }
        #expect(count == SerialOverLAN.waitingLimitBytes - 200 && last == 2)
    }

    @Test("a flush of the output forgets what waits") func flush() {
        var serial = active()
        serial.wrote(bytes("old"), at: at(0))
        _ = serial.heard(packet(1, "", .flushOutput), at: at(1))
        #expect(serial.due(at: at(100)) == nil && serial.deadline == nil)
    }

    @Test("a change of power is told") func power() {
        var serial = active()
        serial.powered(false)
        #expect(serial.deadline.map { $0 < at(0) } == true)
        #expect(serial.due(at: at(0)) == SOLPacket(status: .unavailable))
        serial.powered(false)
        #expect(serial.due(at: at(0)) == nil)
        serial.powered(true)
        #expect(serial.due(at: at(0)) == SOLPacket())
    }

    // MARK: Whose it is

    @Test("nobody's serial port keeps nothing and says nothing") func nobody() {
        var serial = SerialOverLAN()
        serial.wrote(bytes("boot"), at: at(0))
        serial.powered(true)
        #expect(serial.deadline == nil && serial.due(at: at(1000)) == nil)
        #expect(serial.heard(packet(1, "x"), at: at(0)) == .init())
    }

    @Test("another console begins with nothing of the one before, the same one again loses nothing") func anew() {
        var serial = active()
        serial.wrote(bytes("secret"), at: at(0))
        _ = serial.due(at: at(40))
        serial.wrote(bytes(" text"), at: at(41))
        serial.activate(1, isOn: true)
        #expect(serial.activations == 1)
        #expect(serial.due(at: at(90)) == SOLPacket(sequence: 1, characters: bytes("secret text")))
        serial.deactivate()
        serial.activate(2, isOn: true)
        #expect(serial.activations == 2 && serial.due(at: at(5000)) == nil)
        #expect(serial.heard(packet(1, "x"), at: at(5000)).typed == bytes("x"))
    }

    @Test("over a network that loses, doubles and turns round packets, both sides get every character once, in order")
    func storm() {
        for seed in 1...30 as ClosedRange<UInt64> {
            var storm = Storm(seed: seed)
            storm.run()
            #expect(storm.typed == storm.wanted, "seed \(seed)")
            #expect(storm.shown == storm.printed, "seed \(seed)")
        }
    }

    // MARK: The payload

    @Test("a payload is read and written alike, and none is too short to be refused") func codec() {
        let whole: [UInt8] = [0x05, 0x0e, 3, 0x68, 0x61, 0x62]
        #expect(SOLPacket(parsing: whole)?.bytes == whole)
        for length in 0..<4 { #expect(SOLPacket(parsing: Array(whole.prefix(length))) == nil) }
        #expect(SOLPacket(parsing: [0xff, 0xff, 0, 0])?.bytes == [0x0f, 0x0f, 0, 0], "reserved bits are nobody's")
    }

    @Test("noise in place of packets does not end it") func noise() {
        var generator = SeededGenerator(seed: 3)
        var serial = active()
        for step in 0..<20_000 {
            let length = Int.random(in: 0...300, using: &generator)
            let noise = (0..<length).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            if let packet = SOLPacket(parsing: noise) { _ = serial.heard(packet, at: at(Int64(step))) }
            if step % 7 == 0 { serial.wrote(noise, at: at(Int64(step))) }
            if step % 50 == 0 { serial.powered(.random(using: &generator)) }
            if let packet = serial.due(at: at(Int64(step))) { #expect(packet.characters.count <= SerialOverLAN.characterLimit) }
        }
    }
}

/// A console and a BMC with a bad network between them.
private struct Storm {
    let wanted = (0..<400).map { UInt8($0 % 251) }
    let printed = (0..<4000).map { UInt8($0 % 253) }
    var typed: [UInt8] = []
    var shown: [UInt8] = []

    private var generator: SeededGenerator
    private var serial = active()
    private var toBMC: [SOLPacket] = []
    private var toConsole: [SOLPacket] = []
    // The console's half, as FreeIPMI and ipmitool have it: one packet outstanding, retried until it is acknowledged.
    private var sequence: UInt8 = 0
    private var outstanding: (packet: SOLPacket, sentAt: Int64)?
    private var taken = 0
    private var lastShown: (sequence: UInt8, count: Int) = (0, 0)

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func run() {
        // All retries of one packet may be lost with few of them; a storm needs more patience.
        _ = serial.configuration.set([1, 4, 7, 2])
        var written = 0
        for now in 0..<60_000 as Range<Int64> {
            if written < printed.count, now % 3 == 0 {
                let part = printed[written..<min(written + 11, printed.count)]
                serial.wrote(Array(part), at: at(now))
                written += part.count
            }
            sendTyped(now)
            deliver(now)
            if let packet = serial.due(at: at(now)) { toConsole.append(packet) }
            if typed.count == wanted.count, shown.count == printed.count { return }
        }
    }

    private mutating func sendTyped(_ now: Int64) {
        if let (packet, sentAt) = outstanding {
            guard now - sentAt >= 30 else { return }
            toBMC.append(packet)
            outstanding = (packet, now)
        } else if taken < wanted.count {
            sequence = SOLPacket.sequence(after: sequence)
            let packet = SOLPacket(sequence: sequence, characters: Array(wanted[taken..<min(taken + 9, wanted.count)]))
            toBMC.append(packet)
            outstanding = (packet, now)
        }
    }

    private mutating func deliver(_ now: Int64) {
        if let packet = pick(\.toBMC) {
            let heard = serial.heard(packet, at: at(now))
            typed += heard.typed
            if let answer = heard.answer { toConsole.append(answer) }
        }
        if let packet = pick(\.toConsole) {
            if let sent = outstanding, packet.acknowledged == sent.packet.sequence {
                taken += Int(packet.accepted)
                outstanding = nil
            }
            guard packet.sequence != 0 else { return }
            // The console, too, drops what was overtaken.
            let isSame = packet.sequence == lastShown.sequence
            let isOld = lastShown.sequence != 0 && SOLPacket.steps(from: lastShown.sequence, to: packet.sequence) > 7
            guard !isOld else { return }
            if !isSame { shown += packet.characters }
            lastShown = (packet.sequence, packet.characters.count)
            toBMC.append(SOLPacket(acknowledged: packet.sequence, accepted: UInt8(packet.characters.count)))
        }
    }

    /// The next packet to arrive: lost, doubled or out of turn now and then.
    private mutating func pick(_ queue: WritableKeyPath<Storm, [SOLPacket]>) -> SOLPacket? {
        guard !self[keyPath: queue].isEmpty else { return nil }
        let isTurned = self[keyPath: queue].count > 1 && Int.random(in: 0..<10, using: &generator) == 0
        let packet = self[keyPath: queue].remove(at: isTurned ? 1 : 0)
        switch Int.random(in: 0..<10, using: &generator) {
        case 0: return nil
        case 1:
            self[keyPath: queue].append(packet)
            return packet
        default: return packet
        }
    }
}
