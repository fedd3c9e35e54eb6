internal import Wire

/// A datagram on UDP port 623, taken apart: pure parsing, nothing is believed yet.
///
/// RMCP is IPMI 2.0 §13.1.3; the session headers are §13.6, tables 13-8 and 13-9.
enum IPMIDatagram: Equatable {
    /// ASF 2.0 §3.2.4.3: is there anybody, and does it speak IPMI?
    case presencePing(tag: UInt8)
    /// IPMI 1.5's form without authentication: how a console begins.
    case plain(IPMIRequest)
    /// IPMI 2.0's form; `session` 0 is outside of any.
    case packet(Packet)

    struct Packet: Equatable {
        var payload: Payload
        var isEncrypted: Bool
        var isAuthenticated: Bool
        var session: UInt32
        var sequence: UInt32
        var body: [UInt8]
        /// From the authentication type to the next-header byte: what the code below vouches for.
        var vouched: [UInt8]
        var code: [UInt8]
    }

    /// Table 13-16.
    enum Payload: UInt8 {
        case message = 0x00
        case serialOverLAN = 0x01
        case openSessionRequest = 0x10, openSessionResponse = 0x11
        case rakp1 = 0x12, rakp2 = 0x13, rakp3 = 0x14, rakp4 = 0x15
    }

    /// Nil where it is none of ours: such a datagram gets no answer.
    init?(parsing bytes: [UInt8]) {
        guard bytes.count >= 4, bytes[0] == 0x06 else { return nil }
        switch bytes[3] & 0x1f {
        case 0x06:
            // ASF's enterprise number 4542, then the type.
            guard bytes.count >= 12, bytes[4..<8] == [0x00, 0x00, 0x11, 0xbe], bytes[8] == 0x80 else { return nil }
            self = .presencePing(tag: bytes[9])
        case 0x07:
            guard bytes.count >= 5 else { return nil }
            guard let parsed = bytes[4] == 0x06 ? Self.packet(bytes) : Self.plain(bytes) else { return nil }
            self = parsed
        default: return nil
        }
    }

    private static func plain(_ bytes: [UInt8]) -> IPMIDatagram? {
        // Authentication type none, sequence, session, length.
        guard bytes.count >= 14, bytes[4] == 0x00 else { return nil }
        let length = Int(bytes[13])
        guard bytes.count >= 14 + length, let request = IPMIRequest(parsing: bytes[14..<14 + length]) else { return nil }
        return .plain(request)
    }

    private static func packet(_ bytes: [UInt8]) -> IPMIDatagram? {
        guard bytes.count >= 16, let payload = Payload(rawValue: bytes[5] & 0x3f) else { return nil }
        let length = Int(bytes[14]) | Int(bytes[15]) << 8
        guard length <= 1024, bytes.count >= 16 + length else { return nil }
        var packet = Packet(
            payload: payload, isEncrypted: bytes[5] & 0x80 != 0, isAuthenticated: bytes[5] & 0x40 != 0,
            session: bytes.little32(at: 6), sequence: bytes.little32(at: 10), body: Array(bytes[16..<16 + length]), vouched: [],
            code: [])
        guard packet.isAuthenticated else { return .packet(packet) }
        // Padding of 0xff, its length, the next header (always 7), the code.
        var at = 16 + length
        while at < bytes.count, (at - 4 + 2) % 4 != 0 { at += 1 }
        guard at + 2 <= bytes.count, Int(bytes[at]) == at - 16 - length, bytes[at + 1] == 0x07 else { return nil }
        packet.vouched = Array(bytes[4..<at + 2])
        packet.code = Array(bytes[(at + 2)...])
        return .packet(packet)
    }

    // MARK: Writing

    /// ASF 2.0 §3.2.4.2: IPMI is supported.
    static func pong(tag: UInt8) -> [UInt8] {
        [0x06, 0x00, 0xff, 0x06, 0x00, 0x00, 0x11, 0xbe, 0x40, tag, 0x00, 0x10, 0x00, 0x00, 0x11, 0xbe, 0, 0, 0, 0, 0x81]
            + [UInt8](repeating: 0, count: 7)
    }

    static func plain(_ message: [UInt8]) -> [UInt8] {
        [0x06, 0x00, 0xff, 0x07] + [UInt8](repeating: 0, count: 9) + [UInt8(truncatingIfNeeded: message.count)] + message
    }

    /// Without authentication or encryption, outside of a session.
    static func open(_ payload: Payload, _ body: [UInt8]) -> [UInt8] {
        [0x06, 0x00, 0xff, 0x07, 0x06, payload.rawValue] + [UInt8](repeating: 0, count: 8) + UInt16(truncatingIfNeeded: body.count).littleBytes + body
    }

    /// In a session, up to what its authentication code vouches for; the code follows.
    static func vouched(_ payload: Payload, session: UInt32, sequence: UInt32, isEncrypted: Bool, _ body: [UInt8]) -> [UInt8] {
        var bytes = [0x06, payload.rawValue | 0x40 | (isEncrypted ? 0x80 : 0)] + session.littleBytes + sequence.littleBytes
        bytes += UInt16(truncatingIfNeeded: body.count).littleBytes + body
        var padding: UInt8 = 0
        while (bytes.count + 2) % 4 != 0 {
            bytes.append(0xff)
            padding += 1
        }
        return bytes + [padding, 0x07]
    }

    static func sealed(_ vouched: [UInt8], code: [UInt8]) -> [UInt8] { [0x06, 0x00, 0xff, 0x07] + vouched + code }
}

/// An IPMI message from a console (§13.8): what is asked.
struct IPMIRequest: Equatable {
    var function: UInt8
    var command: UInt8
    var data: [UInt8]
    /// Goes back as it came.
    var sequence: UInt8
    var requester: UInt8

    init(function: UInt8, command: UInt8, data: [UInt8] = [], sequence: UInt8 = 0, requester: UInt8 = 0x81) {
        self.function = function
        self.command = command
        self.data = data
        self.sequence = sequence
        self.requester = requester
    }

    /// Nil where a checksum is wrong, or it is not for the BMC.
    init?(parsing bytes: ArraySlice<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count >= 7, bytes[0] == 0x20, Self.sum(bytes[0..<3]) == 0, Self.sum(bytes[3...]) == 0 else { return nil }
        function = bytes[1] >> 2
        requester = bytes[3]
        sequence = bytes[4]
        command = bytes[5]
        data = Array(bytes[6..<bytes.count - 1])
    }

    /// The whole message, as a console sends it.
    var bytes: [UInt8] {
        let head: [UInt8] = [0x20, function << 2]
        let body = [requester, sequence, command] + data
        return head + [0 &- Self.sum(head[...])] + body + [0 &- Self.sum(body[...])]
    }

    /// The answer to it; `data` begins with the completion code.
    func answer(_ data: [UInt8]) -> [UInt8] {
        let head: [UInt8] = [requester, (function + 1) << 2]
        let body: [UInt8] = [0x20, sequence, command] + data
        return head + [0 &- Self.sum(head[...])] + body + [0 &- Self.sum(body[...])]
    }

    private static func sum(_ bytes: ArraySlice<UInt8>) -> UInt8 { bytes.reduce(0, &+) }
}

extension [UInt8] {
    /// Four bytes, the lowest first; there must be so many.
    func little32(at index: Int) -> UInt32 {
        UInt32(self[index]) | UInt32(self[index + 1]) << 8 | UInt32(self[index + 2]) << 16 | UInt32(self[index + 3]) << 24
    }
}

extension FixedWidthInteger {
    /// The lowest byte first, as IPMI has numbers.
    var littleBytes: [UInt8] { (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> ($0 * 8)) } }
}
