import Model
import Testing
import Wire

@testable import VirtualBMC

/// A console as ipmitool is one, over a service without I/O: the handshake, then requests.
struct IPMIConsole {
    var service = IPMIService()
    var dialogue = Dialogue()
    var power = BMCReading.Power.off
    var suite = CipherSuite.sha256
    var name = "admin"
    var password = "hostler-lab"
    var role: UInt8 = 4
    /// The orders that came out, all carried out.
    var orders: [BMCOrder] = []
    /// What was typed at the machine.
    var typed: [UInt8] = []
    var breaks = 0
    /// The datagrams that went in, for whoever wants to send them again.
    var sent: [[UInt8]] = []

    var own: UInt32 = 0xa0a1_a2a3
    private let random = [UInt8](0..<16)
    private var session: UInt32 = 0
    private var keys: (integrity: [UInt8], cipher: [UInt8]) = ([], [])
    private var sequence: UInt32 = 0
    private var number: UInt8 = 0
    private var draws: UInt8 = 0

    private mutating func moment() -> IPMIMoment {
        draws &+= 1
        return IPMIMoment(
            now: dialogue.moment.now, power: power, redfish: dialogue.service, nonce: (0..<48).map { $0 &* 7 &+ draws },
            peer: IPMIPeer(address: IPv4Address(value: 0x7f00_0001), port: 5000))
    }

    /// Where datagrams go instead of to the service in here, and what comes back.
    var wire: (([UInt8]) -> [UInt8]?)?

    mutating func send(_ datagram: [UInt8]) -> [UInt8]? {
        sent.append(datagram)
        if let wire { return wire(datagram) }
        switch service.answer(datagram, at: moment()) {
        case .silence: return nil
        case .reply(let bytes): return bytes
        case .perform(let order, let pending):
            orders.append(order)
            dialogue.service.done(order, at: dialogue.moment.now)
            if case .power(let type) = order { power = type == .forceOff ? .off : .on }
            return service.finish(pending, succeeded: true, nonce: moment().nonce)
        case .type(let bytes, let isBreak, let reply):
            typed += bytes
            breaks += isBreak ? 1 : 0
            return reply
        }
    }

    private mutating func handshake(_ payload: IPMIDatagram.Payload, _ body: [UInt8]) -> [UInt8]? {
        send(IPMIDatagram.open(payload, body)).map { Array($0[16...]) }
    }

    /// The status that ended it; 0: the session is there.
    mutating func open() throws -> UInt8 {
        func algorithm(_ type: UInt8, _ value: UInt8) -> [UInt8] { [type, 0, 0, 8, value, 0, 0, 0] }
        let asked = suite.algorithms
        let wanted = algorithm(0, asked[0]) + algorithm(1, asked[1]) + algorithm(2, asked[2])
        let first = handshake(.openSessionRequest, [7, 0, 0, 0] + own.littleBytes + wanted)
        let opened = try #require(first)
        guard opened[1] == 0 else { return opened[1] }
        #expect(opened[0] == 7 && opened.little32(at: 4) == own)
        session = opened.little32(at: 8)
        let who = [role, UInt8(name.utf8.count)] + Array(name.utf8)
        let head = session.littleBytes
        let challenge = handshake(.rakp1, [8, 0, 0, 0] + head + random + [role, 0, 0, UInt8(name.utf8.count)] + Array(name.utf8))
        let second = try #require(challenge)
        guard second[1] == 0 else { return second[1] }
        let (theirs, guid) = (Array(second[8..<24]), Array(second[24..<40]))
        let key = Array(password.utf8)
        let isTheirs = Array(second[40...]) == suite.code(own.littleBytes + head + random + theirs + guid + who, key: key)
        #expect(isTheirs || password != "hostler-lab")
        let sessionKey = suite.code(random + theirs + who, key: key)
        let third = [9, 0, 0, 0] + head + suite.code(theirs + own.littleBytes + who, key: key)
        let admission = handshake(.rakp3, third)
        let fourth = try #require(admission)
        guard fourth[1] == 0 else { return fourth[1] }
        #expect(Array(fourth[8...]) == Array(suite.code(random + head + guid, key: sessionKey).prefix(suite.codeBytes)))
        keys = (
            suite.code([UInt8](repeating: 1, count: 20), key: sessionKey),
            Array(suite.code([UInt8](repeating: 2, count: 20), key: sessionKey).prefix(16))
        )
        return 0
    }

    /// A request's datagram in the session.
    mutating func datagram(_ function: UInt8, _ command: UInt8, _ data: [UInt8] = [], sameNumber: Bool = false) throws -> [UInt8] {
        sequence += 1
        if !sameNumber { number &+= 4 }
        return try seal(.message, IPMIRequest(function: function, command: command, data: data, sequence: number).bytes)
    }

    /// A datagram of serial over LAN.
    mutating func datagram(_ packet: SOLPacket) throws -> [UInt8] {
        sequence += 1
        return try seal(.serialOverLAN, packet.bytes)
    }

    private func seal(_ payload: IPMIDatagram.Payload, _ body: [UInt8]) throws -> [UInt8] {
        let sealed = try #require(CipherSuite.encrypt(body, key: keys.cipher, iv: [UInt8](repeating: 9, count: 16)))
        let vouched = IPMIDatagram.vouched(payload, session: session, sequence: sequence, isEncrypted: true, sealed)
        return IPMIDatagram.sealed(vouched, code: Array(suite.code(vouched, key: keys.integrity).prefix(suite.codeBytes)))
    }

    /// What an answer's data are, its completion code first; nil: it is none of this session.
    func opened(_ datagram: [UInt8]) -> [UInt8]? {
        guard let plain = plain(datagram, .message), plain.count >= 8 else { return nil }
        return Array(plain[6..<plain.count - 1])
    }

    /// The packet of serial over LAN; nil: it is none of this session.
    func serial(_ datagram: [UInt8]) -> SOLPacket? { plain(datagram, .serialOverLAN).flatMap(SOLPacket.init(parsing:)) }

    private func plain(_ datagram: [UInt8], _ payload: IPMIDatagram.Payload) -> [UInt8]? {
        guard case .packet(let packet) = IPMIDatagram(parsing: datagram), packet.session == own, packet.payload == payload,
            packet.code == Array(suite.code(packet.vouched, key: keys.integrity).prefix(suite.codeBytes))
        else { return nil }
        return CipherSuite.decrypt(packet.body, key: keys.cipher)
    }

    /// What the BMC sends unasked by now, if it is for this session.
    mutating func due() -> SOLPacket? {
        let moment = moment()
        return service.due(at: moment.now, iv: Array(moment.nonce.prefix(16))).flatMap { serial($0.bytes) }
    }

    /// What a packet of serial over LAN is answered with.
    mutating func say(_ packet: SOLPacket) throws -> SOLPacket? { try send(datagram(packet)).flatMap(serial) }

    mutating func ask(_ function: UInt8, _ command: UInt8, _ data: [UInt8] = []) throws -> [UInt8] {
        let reply = try send(datagram(function, command, data))
        return try #require(reply.flatMap(opened))
    }

    /// With the privilege that was asked for in force.
    static func ready(_ suite: CipherSuite = .sha256, firmware: BMCInventory.Firmware = .uefi) throws -> IPMIConsole {
        var console = IPMIConsole()
        console.dialogue = Dialogue(firmware: firmware)
        console.suite = suite
        #expect(try console.open() == 0)
        #expect(try console.ask(0x06, 0x3b, [4]) == [0, 4])
        return console
    }

    /// A second console of the same BMC.
    func another() throws -> IPMIConsole {
        var console = IPMIConsole()
        (console.service, console.dialogue, console.power) = (service, dialogue, power)
        console.own = own &+ 1
        #expect(try console.open() == 0)
        #expect(try console.ask(0x06, 0x3b, [4]) == [0, 4])
        return console
    }
}
