internal import Model

/// A console's session, from the first handshake on (IPMI 2.0 §13.15 to §13.24).
struct IPMISession {
    /// The BMC's number for it.
    let id: UInt32
    /// The console's number for it.
    let console: UInt32
    let suite: CipherSuite
    private(set) var usedAt: Timestamp
    /// Where the console was when it was heard last.
    private(set) var peer: IPMIPeer?
    var stage = Stage.opened
    /// In force, at most `limit`.
    var privilege = IPMIPrivilege.user
    var limit = IPMIPrivilege.user
    var accountID = ""
    private(set) var integrityKey: [UInt8] = []
    private(set) var cipherKey: [UInt8] = []
    private var sent: UInt32 = 0
    private var highest: UInt32 = 0
    private var seen: UInt64 = 0
    /// The last request's answer, for a console that asks again because it did not hear it.
    var last: (request: IPMIRequest, answer: [UInt8])?

    enum Stage {
        case opened
        /// RAKP 2 was sent; what RAKP 3 must show, and the key that follows from it.
        case challenged(expected: [UInt8], sessionKey: [UInt8], proof: [UInt8])
        case active
    }

    init(id: UInt32, console: UInt32, suite: CipherSuite, now: Timestamp) {
        self.id = id
        self.console = console
        self.suite = suite
        usedAt = now
    }

    /// It was heard.
    mutating func isUsed(_ moment: IPMIMoment) {
        usedAt = moment.now
        peer = moment.peer
    }

    /// §13.32: the keys for integrity and encryption, of the session integrity key.
    mutating func activate(sessionKey: [UInt8]) {
        integrityKey = suite.code([UInt8](repeating: 1, count: 20), key: sessionKey)
        cipherKey = Array(suite.code([UInt8](repeating: 2, count: 20), key: sessionKey).prefix(16))
        privilege = .user
        stage = .active
    }

    /// The payload's plain bytes; nil where the packet is not the console's, was seen before, or is too old (§6.12.13).
    mutating func open(_ packet: IPMIDatagram.Packet) -> [UInt8]? {
        guard case .active = stage, packet.isAuthenticated, packet.isEncrypted, packet.sequence != 0 else { return nil }
        let code = suite.code(packet.vouched, key: integrityKey).prefix(suite.codeBytes)
        guard packet.code.count == code.count, zip(packet.code, code).reduce(0, { $0 | ($1.0 ^ $1.1) }) == 0 else { return nil }
        if packet.sequence > highest {
            let step = packet.sequence - highest
            seen = step > 63 ? 1 : seen << step | 1
            highest = packet.sequence
        } else {
            let back = highest - packet.sequence
            guard back < 16, seen & (1 << back) == 0 else { return nil }
            seen |= 1 << back
        }
        return CipherSuite.decrypt(packet.body, key: cipherKey)
    }

    /// A whole datagram of this session.
    mutating func seal(_ payload: IPMIDatagram.Payload, _ body: [UInt8], iv: [UInt8]) -> [UInt8]? {
        guard let sealed = CipherSuite.encrypt(body, key: cipherKey, iv: iv) else { return nil }
        sent &+= 1
        let vouched = IPMIDatagram.vouched(payload, session: console, sequence: sent, isEncrypted: true, sealed)
        return IPMIDatagram.sealed(vouched, code: Array(suite.code(vouched, key: integrityKey).prefix(suite.codeBytes)))
    }
}

/// Table 6-1.
enum IPMIPrivilege: UInt8, Comparable {
    case callback = 1, user, `operator`, administrator

    init(_ role: BMCAccount.Role) {
        self =
            switch role {
            case .administrator: .administrator
            case .operator: .operator
            case .readOnly: .user
            }
    }

    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
