public import Model
internal import Wire

/// Which machine a BMC is in, of what both say of themselves.
public enum BMCMatch {
    public enum Reason: String, Sendable { case uuid, serial, mac }

    public enum Verdict: Sendable, Equatable {
        case match(MachineID, Reason)
        case none
        /// Several fit equally well: a person must say which.
        case ambiguous([MachineID])
    }

    /// The system's UUID first, then its serial number, then a MAC address of its NICs.
    public static func machine(for facts: BMCFacts, among machines: some Collection<Machine>) -> Verdict {
        if let uuid = facts.systemUUID, isTelling(uuid) {
            let swapped = swapped(uuid)
            let found = machines.filter { machine in
                guard let own = machine.observed.inventory?.system.uuid?.lowercased() else { return false }
                return own == uuid || own == swapped
            }
            if let verdict = verdict(found.map(\.id), .uuid) { return verdict }
        }
        if let serial = facts.serial, isTelling(serial) {
            let found = machines.filter { machine in
                guard let system = machine.observed.inventory?.system else { return false }
                return system.serial == serial || system.boardSerial == serial
            }
            if let verdict = verdict(found.map(\.id), .serial) { return verdict }
        }
        let macs = Set(facts.macs)
        let found = machines.filter { machine in machine.interfaces.contains { macs.contains($0.mac) } }
        return verdict(found.map(\.id), .mac) ?? .none
    }

    private static func verdict(_ found: [MachineID], _ reason: Reason) -> Verdict? {
        switch found.count {
        case 0: nil
        case 1: .match(found[0], reason)
        default: .ambiguous(found.sorted())
        }
    }

    /// Vendors' filler says nothing.
    private static func isTelling(_ text: String) -> Bool {
        let plain = text.lowercased().filter { $0.isLetter || $0.isNumber }
        guard plain.count >= 4, Set(plain).count > 2 else { return false }
        return !["tobefilled", "default", "notspecified", "unknown", "none", "systemserial", "123456789"].contains { plain.hasPrefix($0) }
    }

    /// SMBIOS before 2.6 and IPMI have the first three fields of a UUID in the other byte order.
    static func swapped(_ uuid: String) -> String {
        let parts = uuid.split(separator: "-").map(String.init)
        guard parts.count == 5 else { return uuid }
        func turned(_ hex: String) -> String {
            var pairs: [Substring] = []
            var rest = hex[...]
            while !rest.isEmpty {
                pairs.append(rest.prefix(2))
                rest = rest.dropFirst(2)
            }
            return pairs.reversed().joined()
        }
        return ([turned(parts[0]), turned(parts[1]), turned(parts[2])] + parts[3...]).joined(separator: "-")
    }
}
