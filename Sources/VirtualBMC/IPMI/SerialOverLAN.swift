internal import Model

/// A machine's serial port over RMCP+ (IPMI 2.0 §15), one console's at a time: what the machine writes goes out in
/// packets, each once the one before it was acknowledged; what the console types is taken once, however often it comes.
///
/// The lines of the port other than its data (CTS, DCD, DSR, RI) are not there, as a virtual machine's port has none.
struct SerialOverLAN {
    /// Of a packet. A packet's count of accepted characters is a byte, and some consoles want room for a full screen's line.
    static let characterLimit = 200
    /// What may wait for a console that is slow: some screens full.
    static let waitingLimitBytes = 64 << 10
    /// A packet that is this far or more ahead of the last one on the ring of 15 numbers is an old one.
    private static let oldFrom = 8

    /// What a packet from the console comes to.
    struct Heard: Equatable {
        /// To be typed at the machine.
        var typed: [UInt8] = []
        var isBreak = false
        var answer: SOLPacket?
    }

    private struct Outstanding {
        let packet: SOLPacket
        let sequence: UInt8
        var sentAt: Timestamp
        var retries = 0
    }

    /// The last packet from the console, as far as it was taken.
    private struct Last {
        var sequence: UInt8
        var accepted = 0
        var isBreakDone = false
    }

    var configuration = SOLConfiguration()
    /// The session that has it; nil: none.
    private(set) var session: UInt32?
    /// One more with each console that gets it.
    private(set) var activations = 0

    private var isOn = false
    private var waiting: [UInt8] = []
    /// Since when something does.
    private var waitingSince: Timestamp?
    private var outstanding: Outstanding?
    private var sequence: UInt8 = 0
    /// The console refused; not before.
    private var holdsUntil: Timestamp?
    /// Characters of the machine were given up since the last packet.
    private var hasLost = false
    /// The machine went off or on, and the console does not know.
    private var hasNews = false
    private var last: Last?

    // MARK: Whose it is

    /// - Parameter session: the one that has it already begins anew.
    mutating func activate(_ session: UInt32, isOn: Bool) {
        let isSame = self.session == session
        let kept = isSame ? (outstanding?.packet.characters ?? []) + waiting : []
        let since = isSame ? waitingSince : nil
        deactivate()
        self.session = session
        self.isOn = isOn
        waiting = kept
        waitingSince = since
        if !isSame { activations += 1 }
    }

    mutating func deactivate() {
        self = SerialOverLAN(configuration: configuration, activations: activations)
    }

    init() {}

    private init(configuration: SOLConfiguration, activations: Int) {
        self.configuration = configuration
        self.activations = activations
    }

    // MARK: What happens

    mutating func powered(_ isOn: Bool) {
        guard self.isOn != isOn else { return }
        self.isOn = isOn
        hasNews = session != nil
    }

    /// The machine wrote something.
    mutating func wrote(_ bytes: [UInt8], at now: Timestamp) {
        guard session != nil, !bytes.isEmpty else { return }
        if waiting.isEmpty { waitingSince = now }
        waiting += bytes
        guard waiting.count > Self.waitingLimitBytes else { return }
        waiting.removeFirst(waiting.count - Self.waitingLimitBytes)
        hasLost = true
    }

    /// A packet came from the console.
    mutating func heard(_ packet: SOLPacket, at now: Timestamp) -> Heard {
        guard session != nil else { return Heard() }
        settle(packet, now)
        if packet.operation.contains(.flushOutput) { (waiting, waitingSince) = ([], nil) }
        guard packet.sequence != 0 else { return Heard() }
        let steps = last.map { SOLPacket.steps(from: $0.sequence, to: packet.sequence) }
        guard steps ?? 1 < Self.oldFrom else { return Heard() }
        // The same again may have more at its end (§15.11).
        var current = steps == 0 ? last ?? Last(sequence: packet.sequence) : Last(sequence: packet.sequence)
        var heard = Heard()
        if isOn {
            heard.typed = Array(packet.characters.prefix(Self.characterLimit).dropFirst(current.accepted))
            heard.isBreak = packet.operation.contains(.break) && !current.isBreakDone
            current.accepted = max(current.accepted, min(packet.characters.count, Self.characterLimit))
            if heard.isBreak { current.isBreakDone = true }
        }
        last = current
        let lacksBreak = packet.operation.contains(.break) && !current.isBreakDone
        // What is too long for one packet is no refusal: the console sends the rest.
        let isRefused = !isOn && (lacksBreak || current.accepted < packet.characters.count)
        heard.answer = SOLPacket(
            acknowledged: packet.sequence, accepted: UInt8(min(current.accepted, packet.characters.count)),
            status: isRefused ? line.union(.refused) : line)
        return heard
    }

    /// The acknowledgement that a packet from the console has.
    private mutating func settle(_ packet: SOLPacket, _ now: Timestamp) {
        guard packet.acknowledged != 0, let sent = outstanding, sent.sequence == packet.acknowledged else { return }
        outstanding = nil
        let rest = sent.packet.characters.dropFirst(Int(packet.accepted))
        guard !rest.isEmpty else { return }
        waiting = rest + waiting
        waitingSince = sent.sentAt
        if packet.operation.contains(.refused) || packet.accepted == 0 { holdsUntil = now + configuration.retriesAfter }
    }

    // MARK: What is to be sent

    private var line: SOLPacket.Status { isOn ? [] : .unavailable }

    /// A packet for the console that is due by now; ask until there is none.
    mutating func due(at now: Timestamp) -> SOLPacket? {
        guard session != nil else { return nil }
        if hasNews {
            hasNews = false
            return SOLPacket(status: line)
        }
        if var sent = outstanding {
            guard now >= sent.sentAt + configuration.retriesAfter else { return nil }
            if sent.retries < configuration.retries {
                sent.retries += 1
                sent.sentAt = now
                outstanding = sent
                return sent.packet
            }
            // Table 26-5, parameter 4: it is dropped.
            outstanding = nil
            hasLost = true
        }
        guard let since = sendsAt, now >= since else { return nil }
        sequence = SOLPacket.sequence(after: sequence)
        let packet = SOLPacket(
            sequence: sequence, status: line.union(hasLost ? .overrun : []), characters: Array(waiting.prefix(Self.characterLimit)))
        waiting.removeFirst(packet.characters.count)
        if waiting.isEmpty { waitingSince = nil }
        outstanding = Outstanding(packet: packet, sequence: sequence, sentAt: now)
        holdsUntil = nil
        hasLost = false
        return packet
    }

    /// When there will be something to send, if nothing happens before; nil: never. It may have passed.
    var deadline: Timestamp? {
        guard session != nil else { return nil }
        if hasNews { return Timestamp(milliseconds: 0) }
        return outstanding.map { $0.sentAt + configuration.retriesAfter } ?? sendsAt
    }

    /// When what waits is to be sent, were nothing outstanding.
    private var sendsAt: Timestamp? {
        guard let waitingSince else { return nil }
        let gathered = waiting.count >= configuration.sendsFrom ? waitingSince : waitingSince + configuration.gathersFor
        return max(gathered, holdsUntil ?? gathered)
    }
}
