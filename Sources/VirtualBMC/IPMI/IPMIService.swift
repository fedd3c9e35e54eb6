internal import Model
public import Wire

/// What an IPMI datagram comes to.
enum IPMIAnswer {
    /// No word: it was none of ours, or not to be believed.
    case silence
    case reply([UInt8])
    /// Carry the order out; then ``IPMIService/finish(_:succeeded:nonce:)``.
    case perform(BMCOrder, IPMIService.Pending)
    /// Type at the machine, and hold the line down where it is a break.
    case type([UInt8], isBreak: Bool, [UInt8]?)
}

/// Where a console is: an address and a UDP port.
public struct IPMIPeer: Hashable, Sendable {
    public let address: IPv4Address
    public let port: UInt16

    public init(address: IPv4Address, port: UInt16) {
        self.address = address
        self.port = port
    }
}

/// What the service knows of the world when it answers; nothing else gets in.
struct IPMIMoment {
    var now: Timestamp
    var power: BMCReading.Power
    /// The BMC's other face: accounts, boot override and inventory are the same ones.
    var redfish: RedfishService
    /// Unpredictable bytes, 48 of them, different each time.
    var nonce: [UInt8]
    /// Whose datagram it is.
    var peer: IPMIPeer
}

/// IPMI 2.0 over LAN for one machine: a value. A datagram goes in, an answer or an order to the hardware comes out.
///
/// It speaks RMCP+ with the two cipher suites that authenticate and encrypt, and nothing older: a password hash that
/// anybody may ask for is no protection (the known weakness of RAKP stays: give good passwords).
struct IPMIService {
    /// A small BMC's.
    static let sessionLimit = 8
    /// §6.12.15.
    static let sessionTimeout: Duration = .seconds(60)

    var sessions: [IPMISession] = []
    var boot = IPMIBootOptions()
    var serial = SerialOverLAN()
    /// Sessions that lost the serial port to others, and have not been told.
    var deposed: [UInt32] = []

    /// An answer that waits for the hardware.
    struct Pending {
        /// Nil: outside of any session.
        let session: UInt32?
        let request: IPMIRequest
        let data: [UInt8]
    }

    mutating func answer(_ datagram: [UInt8], at moment: IPMIMoment) -> IPMIAnswer {
        expire(at: moment.now)
        switch IPMIDatagram(parsing: datagram) {
        case nil: return .silence
        case .presencePing(let tag): return .reply(IPMIDatagram.pong(tag: tag))
        case .plain(let request):
            guard let data = outside(request, moment) else { return .silence }
            return .reply(IPMIDatagram.plain(request.answer(data)))
        case .packet(let packet):
            switch packet.payload {
            case .openSessionRequest: return reply(.openSessionResponse, openSession(packet.body, moment))
            case .rakp1: return reply(.rakp2, challenge(packet.body, moment))
            case .rakp3: return reply(.rakp4, admit(packet.body, moment))
            case .message where packet.session == 0:
                guard let request = IPMIRequest(parsing: packet.body[...]), let data = outside(request, moment) else { return .silence }
                return .reply(IPMIDatagram.open(.message, request.answer(data)))
            case .message: return message(packet, moment)
            case .serialOverLAN: return typed(packet, moment)
            default: return .silence
            }
        }
    }

    private func reply(_ payload: IPMIDatagram.Payload, _ body: [UInt8]?) -> IPMIAnswer {
        body.map { .reply(IPMIDatagram.open(payload, $0)) } ?? .silence
    }

    /// What may be asked before a session.
    private func outside(_ request: IPMIRequest, _ moment: IPMIMoment) -> [UInt8]? {
        guard request.function == 0x06 else { return nil }
        switch request.command {
        case 0x38, 0x54, 0x37: return appCommand(request, moment, session: nil)
        default: return [IPMICode.privilegeInsufficient]
        }
    }

    // MARK: The handshake

    /// §13.17 and §13.18. The console's tag and number go back in each answer.
    private mutating func openSession(_ body: [UInt8], _ moment: IPMIMoment) -> [UInt8]? {
        guard body.count == 32 else { return nil }
        let console = body.little32(at: 4)
        func refusal(_ status: UInt8) -> [UInt8] { [body[0], status, 0, 0] + console.littleBytes }
        guard let suite = CipherSuite(authentication: body[12], integrity: body[20], confidentiality: body[28]) else {
            return refusal(0x11)  // no cipher suite match
        }
        // Those who began and did not go on give way.
        if sessions.count >= Self.sessionLimit, let idle = sessions.firstIndex(where: { if case .active = $0.stage { false } else { true } }) {
            sessions.remove(at: idle)
        }
        guard sessions.count < Self.sessionLimit else { return refusal(0x01) }
        var id = moment.nonce.little32(at: 0)
        while id == 0 || sessions.contains(where: { $0.id == id }) { id &+= 1 }
        sessions.append(IPMISession(id: id, console: console, suite: suite, now: moment.now))
        let asked = body[1] & 0x0f
        return [body[0], 0, asked == 0 ? IPMIPrivilege.administrator.rawValue : asked, 0] + console.littleBytes + id.littleBytes + body[8..<32]
    }

    /// RAKP 1 → RAKP 2 (§13.20, §13.21).
    private mutating func challenge(_ body: [UInt8], _ moment: IPMIMoment) -> [UInt8]? {
        guard body.count >= 28, body.count >= 28 + Int(body[27]), let index = sessions.firstIndex(where: { $0.id == body.little32(at: 4) })
        else { return nil }
        let session = sessions[index]
        func refusal(_ status: UInt8) -> [UInt8] { [body[0], status, 0, 0] + session.console.littleBytes }
        let (console, role, name) = (Array(body[8..<24]), body[24], Array(body[28..<28 + Int(body[27])]))
        guard case .opened = session.stage else { return refusal(0x02) }
        guard let account = moment.redfish.accounts.first(where: { Array($0.userName.utf8) == name && $0.isEnabled }),
            account.password.utf8.count <= IPMICommands.passwordBytes
        else { return refusal(0x0d) }  // unauthorized name
        let limit = IPMIPrivilege(account.role)
        guard let wanted = IPMIPrivilege(rawValue: role & 0x0f), wanted <= limit else { return refusal(0x09) }
        let suite = session.suite
        let key = Array(account.password.utf8)
        let own = Array(moment.nonce[16..<32])
        let guid = IPMICommands.guid(moment.redfish.inventory)
        let who = [role, UInt8(name.count)] + name
        let ids = session.console.littleBytes + session.id.littleBytes
        let sessionKey = suite.code(console + own + who, key: key)
        sessions[index].stage = .challenged(
            expected: suite.code(own + session.console.littleBytes + who, key: key), sessionKey: sessionKey,
            proof: Array(suite.code(console + session.id.littleBytes + guid, key: sessionKey).prefix(suite.codeBytes)))
        sessions[index].limit = wanted
        sessions[index].accountID = account.id
        return [body[0], 0, 0, 0] + session.console.littleBytes + own + guid + suite.code(ids + console + own + guid + who, key: key)
    }

    /// RAKP 3 → RAKP 4 (§13.22, §13.23).
    private mutating func admit(_ body: [UInt8], _ moment: IPMIMoment) -> [UInt8]? {
        guard body.count >= 8, let index = sessions.firstIndex(where: { $0.id == body.little32(at: 4) }),
            case .challenged(let expected, let sessionKey, let proof) = sessions[index].stage
        else { return nil }
        let session = sessions[index]
        // The console did not like what it got, or does not know the password.
        guard body[1] == 0, body.count == 8 + expected.count, zip(body[8...], expected).reduce(0, { $0 | ($1.0 ^ $1.1) }) == 0 else {
            sessions.remove(at: index)
            return body[1] != 0 ? nil : [body[0], 0x0f, 0, 0] + session.console.littleBytes
        }
        sessions[index].activate(sessionKey: sessionKey)
        sessions[index].isUsed(moment)
        return [body[0], 0, 0, 0] + session.console.littleBytes + proof
    }

    // MARK: In a session

    private mutating func message(_ packet: IPMIDatagram.Packet, _ moment: IPMIMoment) -> IPMIAnswer {
        guard let index = sessions.firstIndex(where: { $0.id == packet.session }), let plain = sessions[index].open(packet),
            let request = IPMIRequest(parsing: plain[...])
        else { return .silence }
        sessions[index].isUsed(moment)
        // The same again: its answer was lost, and what it asked for is not done twice.
        if let last = sessions[index].last, last.request == request { return seal(last.answer, at: index, moment.nonce) }
        let before = sessions[index]
        switch command(request, moment, session: index) {
        case .data(let data):
            // It may have been the session's last word.
            guard sessions.indices.contains(index), sessions[index].id == before.id else {
                var gone = before
                return gone.seal(.message, request.answer(data), iv: Array(moment.nonce[32..<48])).map { .reply($0) } ?? .silence
            }
            return answer(request, data, at: index, moment.nonce)
        case .order(let order, let data): return .perform(order, Pending(session: before.id, request: request, data: data))
        }
    }

    private mutating func answer(_ request: IPMIRequest, _ data: [UInt8], at index: Int, _ nonce: [UInt8]) -> IPMIAnswer {
        let answer = request.answer(data)
        sessions[index].last = (request, answer)
        return seal(answer, at: index, nonce)
    }

    private mutating func seal(_ answer: [UInt8], at index: Int, _ nonce: [UInt8]) -> IPMIAnswer {
        sessions[index].seal(.message, answer, iv: Array(nonce[32..<48])).map { .reply($0) } ?? .silence
    }

    private mutating func expire(at now: Timestamp) {
        sessions.removeAll { now - $0.usedAt > Self.sessionTimeout }
        if let holder = serial.session, !sessions.contains(where: { $0.id == holder }) { serial.deactivate() }
    }

    // MARK: The serial port

    private mutating func typed(_ packet: IPMIDatagram.Packet, _ moment: IPMIMoment) -> IPMIAnswer {
        guard let index = sessions.firstIndex(where: { $0.id == packet.session }), let plain = sessions[index].open(packet),
            let payload = SOLPacket(parsing: plain)
        else { return .silence }
        sessions[index].isUsed(moment)
        // To a session that has the port no more, silence: a console that hears nothing gives up.
        guard serial.session == packet.session else { return .silence }
        serial.powered(moment.power == .on)
        let heard = serial.heard(payload, at: moment.now)
        let answer = heard.answer.flatMap { sessions[index].seal(.serialOverLAN, $0.bytes, iv: Array(moment.nonce[32..<48])) }
        return .type(heard.typed, isBreak: heard.isBreak, answer)
    }

    /// A datagram that no other asked for, and is due by now; ask until there is none.
    ///
    /// - Parameter iv: 16 unpredictable bytes, different each time.
    mutating func due(at now: Timestamp, iv: [UInt8]) -> (peer: IPMIPeer, bytes: [UInt8])? {
        expire(at: now)
        while let id = deposed.popLast() {
            guard let index = sessions.firstIndex(where: { $0.id == id }) else { continue }
            return seal(SOLPacket(status: .deactivated), at: index, iv)
        }
        guard let index = sessions.firstIndex(where: { $0.id == serial.session }), let packet = serial.due(at: now) else { return nil }
        return seal(packet, at: index, iv)
    }

    private mutating func seal(_ packet: SOLPacket, at index: Int, _ iv: [UInt8]) -> (peer: IPMIPeer, bytes: [UInt8])? {
        guard let peer = sessions[index].peer, let bytes = sessions[index].seal(.serialOverLAN, packet.bytes, iv: iv) else { return nil }
        return (peer, bytes)
    }

    /// When ``due(at:iv:)`` may have one, if nothing happens before; nil: never. It may have passed.
    var deadline: Timestamp? {
        if !deposed.isEmpty { return Timestamp(milliseconds: 0) }
        guard let holder = sessions.first(where: { $0.id == serial.session }) else { return nil }
        let end = holder.usedAt + Self.sessionTimeout + .milliseconds(1)
        return serial.deadline.map { min($0, end) } ?? end
    }

    /// The hardware has done it, or not.
    mutating func finish(_ pending: Pending, succeeded: Bool, nonce: [UInt8]) -> [UInt8]? {
        guard let index = sessions.firstIndex(where: { $0.id == pending.session }) else { return nil }
        let data = succeeded ? pending.data : [IPMICode.notInThisState]
        guard case .reply(let bytes) = answer(pending.request, data, at: index, nonce) else { return nil }
        return bytes
    }
}

/// Completion codes (table 5-2).
enum IPMICode {
    static let good: UInt8 = 0x00
    static let invalidCommand: UInt8 = 0xc1
    static let requestTooShort: UInt8 = 0xc7
    static let parameterOutOfRange: UInt8 = 0xc9
    static let notPresent: UInt8 = 0xcb
    static let invalidField: UInt8 = 0xcc
    static let privilegeInsufficient: UInt8 = 0xd4
    static let notInThisState: UInt8 = 0xd5
    /// Of Get System Boot Options: no such parameter.
    static let parameterUnsupported: UInt8 = 0x80
}
