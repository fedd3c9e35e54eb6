public import VirtualBMC

/// Something broken on purpose. Stays until it is cleared, also through power
/// cycles of the machine.
///
/// Text form, in JSON and on the command line: `KIND[:TARGET][=AMOUNT]`, as
/// `link-down`, `link-down:1`, `packet-loss=20`, `latency=50`,
/// `disk-error:SERIAL`, `disk-full`, `slow-disk:SERIAL=1000000`,
/// `console-silence`, `partition`. A disk that is not named is the first one.
public enum Fault: Hashable, Sendable, CustomStringConvertible {
    /// The cable of this network card is out: the guest sees no carrier.
    case linkDown(nic: Int)
    /// Each frame is lost with this probability, 1 to 100, in both directions, on all the machine's cards.
    case packetLoss(percent: Int)
    /// Frames wait up to this long, half of it on average, in each direction; 1 to 10,000 ms.
    case latency(milliseconds: Int)
    /// Reads and writes of the disk fail (EIO).
    case diskError(serial: String?)
    /// Writes fail as if there were no room (ENOSPC); reads work.
    case diskFull(serial: String?)
    /// Reads and writes together are held to this rate; 1,024 or more.
    case slowDisk(serial: String?, bytesPerSecond: Int64)
    /// What the machine writes to its serial port is lost.
    case consoleSilence
    /// The server is cut off from the whole rack; the machines still reach each other.
    case partition
    /// The machine's BMC goes wrong; see docs/virtual-bmc.md.
    case bmc(Misbehaviour)
    /// A part of the machine's body, as its BMC measures it: fan, psu, hot.
    case broken(BMCReading.Part)

    public static let kinds =
        [
            "link-down", "packet-loss", "latency", "disk-error", "disk-full", "slow-disk", "console-silence", "partition",
            "broken",
        ] + Misbehaviour.kinds.map { "bmc-\($0)" }

    public init(_ text: String) throws(LabError) {
        guard let fault = Fault(parsing: text) else {
            throw LabError(
                .invalidFault, "“\(text)” is no fault",
                remedy: "Known: link-down[:NIC], packet-loss=PERCENT, latency=MILLISECONDS, disk-error[:SERIAL], "
                    + "disk-full[:SERIAL], slow-disk[:SERIAL]=BYTES_PER_SECOND, console-silence, partition, "
                    + "broken:fan|psu|hot, " + Misbehaviour.kinds.map { "bmc-\($0)" }.joined(separator: ", ") + ".")
        }
        self = fault
    }

    private init?(parsing text: String) {
        let halves = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let left = halves[0].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let target = left.count == 2 ? String(left[1]) : nil
        let amount = halves.count == 2 ? Int64(halves[1]) : nil
        if target?.isEmpty == true || (halves.count == 2 && amount == nil) { return nil }
        switch (String(left[0]), target, amount) {
        case ("link-down", let target, nil):
            guard let nic = target == nil ? 0 : Int(target ?? ""), (0..<4).contains(nic) else { return nil }
            self = .linkDown(nic: nic)
        case ("packet-loss", nil, let percent?) where (1...100).contains(percent):
            self = .packetLoss(percent: Int(percent))
        case ("latency", nil, let milliseconds?) where (1...10_000).contains(milliseconds):
            self = .latency(milliseconds: Int(milliseconds))
        case ("disk-error", let serial, nil): self = .diskError(serial: serial)
        case ("disk-full", let serial, nil): self = .diskFull(serial: serial)
        case ("slow-disk", let serial, let rate?) where rate >= 1024:
            self = .slowDisk(serial: serial, bytesPerSecond: rate)
        case ("console-silence", nil, nil): self = .consoleSilence
        case ("partition", nil, nil): self = .partition
        case ("broken", let part?, nil):
            guard let part = BMCReading.Part(rawValue: part) else { return nil }
            self = .broken(part)
        case (let kind, let target, let amount) where kind.hasPrefix("bmc-"):
            guard let fault = Misbehaviour(kind: String(kind.dropFirst(4)), target: target, amount: amount) else {
                return nil
            }
            self = .bmc(fault)
        default: return nil
        }
    }

    public var description: String {
        func of(_ target: String?) -> String { target.map { ":\($0)" } ?? "" }
        return switch self {
        case .linkDown(let nic): "link-down:\(nic)"
        case .packetLoss(let percent): "packet-loss=\(percent)"
        case .latency(let milliseconds): "latency=\(milliseconds)"
        case .diskError(let serial): "disk-error\(of(serial))"
        case .diskFull(let serial): "disk-full\(of(serial))"
        case .slowDisk(let serial, let rate): "slow-disk\(of(serial))=\(rate)"
        case .consoleSilence: "console-silence"
        case .partition: "partition"
        case .bmc(let fault): "bmc-\(fault)"
        case .broken(let part): "broken:\(part.rawValue)"
        }
    }

    /// Kind and target without the amount: a machine has at most one fault of
    /// a key, and a fault is cleared by it.
    public var key: String { String(description.prefix { $0 != "=" }) }

    /// Whether it strikes the whole rack and not one machine.
    public var isOfRack: Bool { self == .partition }

    /// The disk it strikes among `disks`: nil where it is no disk's fault.
    func disk(among disks: [VirtualDisk]) throws(LabError) -> Int? {
        let serial: String?
        switch self {
        case .diskError(let named), .diskFull(let named), .slowDisk(let named, _): serial = named
        default: return nil
        }
        let index = serial.map { name in disks.firstIndex { $0.serial == name } } ?? disks.indices.first
        guard let index else {
            throw LabError(
                .noSuchDisk, "there is no disk \(serial ?? "") in this machine",
                remedy: "Its disks: \(disks.map(\.serial).joined(separator: ", ")).")
        }
        return index
    }

    /// The same fault with its disk named by serial, so that its key is one text.
    func resolved(among disks: [VirtualDisk]) throws(LabError) -> Fault {
        guard let index = try disk(among: disks) else { return self }
        let serial = disks[index].serial
        return switch self {
        case .diskError: .diskError(serial: serial)
        case .diskFull: .diskFull(serial: serial)
        case .slowDisk(_, let rate): .slowDisk(serial: serial, bytesPerSecond: rate)
        default: self
        }
    }
}

extension Fault: Codable {
    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
