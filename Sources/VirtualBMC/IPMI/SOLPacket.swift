/// A payload of serial over LAN (IPMI 2.0 table 15-2), in either direction.
struct SOLPacket: Equatable {
    /// Before the characters.
    static let headerBytes = 4
    /// The highest sequence number; 1 follows.
    static let lastSequence: UInt8 = 15

    /// What a console asks for (table 15-2, byte 4).
    struct Operation: OptionSet {
        let rawValue: UInt8
        /// The console did not take all.
        static let refused = Operation(rawValue: 0x40)
        static let `break` = Operation(rawValue: 0x10)
        /// Forget what the machine wrote and the console has not got.
        static let flushOutput = Operation(rawValue: 0x01)
    }

    /// What the BMC says of the line (table 15-2, byte 4).
    struct Status: OptionSet {
        let rawValue: UInt8
        /// Not all was taken.
        static let refused = Status(rawValue: 0x40)
        /// Nobody is there to read what is typed: the machine is off.
        static let unavailable = Status(rawValue: 0x20)
        /// It is over.
        static let deactivated = Status(rawValue: 0x10)
        /// Characters of the machine were lost before these.
        static let overrun = Status(rawValue: 0x08)
    }

    /// 1 to 15; 0 in a packet that needs no acknowledgement and has no characters.
    var sequence: UInt8 = 0
    /// Of the other's packet; 0 acknowledges none.
    var acknowledged: UInt8 = 0
    /// In characters of that packet.
    var accepted: UInt8 = 0
    /// ``Operation`` or ``Status``.
    var flags: UInt8 = 0
    var characters: [UInt8] = []

    init(sequence: UInt8 = 0, acknowledged: UInt8 = 0, accepted: UInt8 = 0, status: Status = [], characters: [UInt8] = []) {
        self.sequence = sequence
        self.acknowledged = acknowledged
        self.accepted = accepted
        flags = status.rawValue
        self.characters = characters
    }

    /// Nil where it is too short to be one.
    init?(parsing bytes: [UInt8]) {
        guard bytes.count >= Self.headerBytes else { return nil }
        sequence = bytes[0] & 0x0f
        acknowledged = bytes[1] & 0x0f
        accepted = bytes[2]
        flags = bytes[3]
        characters = Array(bytes[Self.headerBytes...])
    }

    var bytes: [UInt8] { [sequence, acknowledged, accepted, flags] + characters }
    var operation: Operation { Operation(rawValue: flags) }
    var status: Status { Status(rawValue: flags) }

    static func sequence(after sequence: UInt8) -> UInt8 { sequence % lastSequence + 1 }

    /// How far `new` is ahead of `old` on the ring of numbers: 0 to 14.
    static func steps(from old: UInt8, to new: UInt8) -> Int { (Int(new) - Int(old) + Int(lastSequence)) % Int(lastSequence) }
}
