internal import Wire

/// How much a machine may say of itself. What goes beyond is cut, so that a machine that is odd can still be looked at;
/// what cannot be cut is refused.
public enum AgentLimits {
    /// A name, model, serial number or version: SMBIOS strings have at most 64 characters in practice, LLDP's 255 bytes.
    public static let wordBytes = 256
    /// An inventory as JSON. A server of four sockets, 64 DIMMs, 200 PCI functions and 100 disks has about 80 KiB;
    /// ``disks`` of a shelf have some 300 bytes each, their paths counted.
    public static let inventoryBytes = 320 << 10
    /// Sockets; the largest servers have 16.
    public static let cpus = 64
    /// DIMM slots; the largest servers have 192.
    public static let dimms = 256
    /// Ethernet ports, with the virtual functions that some firmware turns on.
    public static let nics = 256
    /// Disks, each path of a shelf's counted: four shelves of 102 disks with two paths each are 816.
    public static let disks = 1024
    public static let pciFunctions = 2048
    /// The largest servers have some dozen.
    public static let storageControllers = 64
    public static let installations = 64
    /// Ports in a hello: it names those of Ethernet only.
    public static let helloPorts = 64
    /// Evidence of one step, in all: a wipe has two facts of each disk, about 200 bytes.
    public static let evidenceBytes = 64 << 10
    public static let evidenceFacts = 1024
    public static let evidenceKeyBytes = 128
    public static let evidenceValueBytes = 4 << 10
    /// A problem's detail.
    public static let problemBytes = 4 << 10
    public static let logLines = 2000
    public static let logLineBytes = 1 << 10
    /// Base64 text of a TPM's structure: an RSA 4096 key with its attributes is below 1 KiB, a quote below 2.
    public static let tpmStructureBytes = 4 << 10
    /// Base64 text of a certificate.
    public static let certificateBytes = 16 << 10
    /// Base64 text of the firmware's event log; firmware sets 64 to 256 KiB aside for it.
    public static let eventLogBytes = 1 << 20
    /// A bank has 24 registers.
    public static let registers = 24
}

/// Facts by name, as a step's evidence keeps them.
public enum EvidenceFacts {
    /// At most as many facts, and as long ones, as ``AgentLimits`` has, of printable text. Names that sort first stay.
    public static func bounded(_ facts: [String: String]) -> [String: String] { merged([:], facts) }

    /// `old` with `new` over it. What `old` has stays; of new names those are left out for which there is no room.
    public static func merged(_ old: [String: String], _ new: [String: String]) -> [String: String] {
        var all = old
        var bytes = all.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        for (name, value) in new.sorted(by: { $0.key < $1.key }) {
            let name = PrintableText.line(name, limitBytes: AgentLimits.evidenceKeyBytes)
            let value = PrintableText.lines(value, limitBytes: AgentLimits.evidenceValueBytes)
            let former = all[name]
            let growth = former.map { value.utf8.count - $0.utf8.count } ?? (name.utf8.count + value.utf8.count)
            guard growth <= 0 || bytes + growth <= AgentLimits.evidenceBytes else { continue }
            guard former != nil || all.count < AgentLimits.evidenceFacts else { continue }
            all[name] = value
            bytes += growth
        }
        return all
    }
}

extension StepReport {
    /// With at most as much text as ``AgentLimits`` has, all of it printable; decoding makes it so.
    public func cleaned() -> StepReport {
        var copy = self
        copy.evidence = EvidenceFacts.bounded(evidence)
        copy.problem = problem?.cleaned()
        return copy
    }
}

extension Problem {
    /// The longest title in bytes.
    static let titleBytes = 512

    /// A copy of printable text with a length that can be shown; for what somebody else than this program says.
    /// A code that is none becomes `unnamed`.
    public func cleaned() -> Problem {
        let isCode =
            (1...64).contains(code.utf8.count)
            && code.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") }
        return Problem(
            isCode ? code : "unnamed", status: min(599, max(100, status)),
            title: PrintableText.line(title, limitBytes: Self.titleBytes),
            detail: detail.map { PrintableText.lines($0, limitBytes: AgentLimits.problemBytes) },
            remedy: remedy.map { PrintableText.lines($0, limitBytes: AgentLimits.problemBytes) })
    }
}
