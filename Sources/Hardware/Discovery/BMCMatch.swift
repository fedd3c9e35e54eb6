public import Model
public import Wire

/// Which machine a BMC is in, of what both say of themselves. It compares; ``SameMachine`` has the rules.
public enum BMCMatch {
    public enum Verdict: Sendable, Equatable {
        /// It is proved.
        case same(BMCProposal)
        /// A person must say whether it is one of these, and which; the likeliest comes first.
        case ask([BMCProposal])
        case none
    }

    public static func machine(
        for facts: BMCFacts, among machines: some Collection<Machine>, besides others: [BMCFacts] = [], denied: [MachineID] = []
    ) -> Verdict {
        let company = Company(machines, others)
        var same: [BMCProposal] = []
        var asked: [(proposal: BMCProposal, standings: SameMachine.Standings)] = []
        for machine in machines {
            let word: FactStanding = denied.contains(machine.id) ? .differs : .absent
            let findings = findings(facts, machine, in: company, word: word)
            let standings = SameMachine.Standings(findings)
            let proposal = BMCProposal(machine: machine.id, findings: findings)
            switch SameMachine.verdict(standings) {
            case .same:
                same.append(proposal)
                asked.append((proposal, standings))
            case .ask: asked.append((proposal, standings))
            case .different: break
            }
        }
        if same.count == 1, let found = same.first {
            // What is unique and agrees with another machine speaks for that one.
            let rivals = asked.contains { $0.proposal.machine != found.machine && ($0.standings.uuid == .agrees || $0.standings.serial == .agrees) }
            if !rivals { return .same(found) }
        }
        if asked.isEmpty { return .none }
        func rank(_ standings: SameMachine.Standings) -> Int {
            (standings.bootedMAC == .agrees ? 8 : 0) + IdentityFact.allCases.count { standings[$0] == .agrees }
                - IdentityFact.allCases.count { standings[$0] == .differs }
        }
        let sorted = asked.sorted { (rank($1.standings), $0.proposal.machine) < (rank($0.standings), $1.proposal.machine) }
        return .ask(sorted.prefix(BMCProposal.limit).map(\.proposal))
    }

    // MARK: Comparing

    /// What others in the record have too.
    public struct Company: Sendable {
        fileprivate var uuids: [SystemUUID: Int] = [:]
        fileprivate var serials: [String: Int] = [:]
        /// Machines that have a port or name it.
        fileprivate var ports: [MACAddress: Int] = [:]
        /// Machines that a port is of, as the record has it.
        fileprivate var owners: [MACAddress: [MachineID]] = [:]
        /// What BMCs besides the one in question say.
        fileprivate var bmcUUIDs: Set<SystemUUID> = []
        fileprivate var bmcSerials: Set<String> = []
        fileprivate var bmcPorts: Set<MACAddress> = []

        public init(_ machines: some Collection<Machine>, _ others: [BMCFacts]) {
            for machine in machines {
                if let uuid = machine.observed.inventory?.system.uuid.flatMap({ SystemUUID($0) }) { uuids[uuid, default: 0] += 1 }
                for serial in BMCMatch.serials(of: machine) { serials[serial, default: 0] += 1 }
                for port in Set(machine.allInterfaces.map(\.mac)) { ports[port, default: 0] += 1 }
                for port in Set(machine.interfaces.map(\.mac)) { owners[port, default: []].append(machine.id) }
            }
            for facts in others {
                if let uuid = facts.systemUUID.flatMap({ SystemUUID($0) }) { bmcUUIDs.insert(uuid) }
                bmcSerials.formUnion(BMCMatch.serials(of: facts))
                bmcPorts.formUnion(facts.macs)
            }
        }
    }

    /// Compares a BMC with one machine, fact by fact.
    public static func findings(
        _ facts: BMCFacts, _ machine: Machine, in company: Company, word: FactStanding = .absent
    ) -> [FactFinding] {
        var all: [FactFinding] = []
        if word != .absent { all.append(FactFinding(.hand, word, word == .agrees ? "it is this machine's" : "it is not this machine's")) }
        all += ports(facts, machine, company)
        let system = machine.observed.inventory?.system
        all.append(uuid(facts.systemUUID, system?.uuid, by: "the BMC") { company.uuids[$0] ?? 0 > 1 || company.bmcUUIDs.contains($0) })
        all.append(
            serial([facts.serial].compactMap(\.self) + (facts.otherSerials ?? []), machine, by: "the BMC") {
                company.serials[$0] ?? 0 > 1 || company.bmcSerials.contains($0)
            })
        return all
    }

    private static func ports(_ facts: BMCFacts, _ machine: Machine, _ company: Company) -> [FactFinding] {
        let links = Set(facts.hostInterfaces ?? [])
        let possible = facts.macs.filter { Filler.isPossible($0) && !links.contains($0) }
        let telling = Set(possible.filter { Filler.identifies(mac: $0) })
        guard !facts.macs.isEmpty else { return [IdentityFact.bootedMAC, .toldMAC].map { FactFinding($0, .absent, "the BMC names no ports") } }

        func isShared(_ port: MACAddress) -> Bool {
            company.bmcPorts.contains(port) || company.owners[port]?.contains { $0 != machine.id } == true
        }
        let booted = Set(machine.interfaces.map(\.mac).filter(machine.hasBooted))
        let met = possible.filter(booted.contains)
        let own = met.filter { !isShared($0) }
        // What the machine names, and what a person or an earlier version wrote down as its.
        let named = Set(machine.allInterfaces.map(\.mac)).subtracting(booted).filter { Filler.identifies(mac: $0) }
        let common = telling.intersection(named)
        let foreign = telling.filter { company.owners[$0]?.contains { $0 != machine.id } == true }

        let first: FactFinding
        if !own.isEmpty {
            first = FactFinding(.bootedMAC, .agrees, "the machine boots by \(list(own)), which the BMC names")
        } else if !met.isEmpty {
            first = FactFinding(.bootedMAC, .shared, "\(list(met)) is at another machine or BMC too")
        } else if telling.isEmpty {
            first = FactFinding(.bootedMAC, .filler, "the BMC names only addresses that say nothing: \(list(facts.macs))")
        } else if !booted.isEmpty {
            first = FactFinding(.bootedMAC, .differs, "the machine boots by \(list(booted)), the BMC names \(list(telling))")
        } else if !foreign.isEmpty {
            first = FactFinding(.bootedMAC, .differs, "the BMC names \(list(foreign)), which is another machine's")
        } else {
            first = FactFinding(.bootedMAC, .absent, "the machine was not seen to boot")
        }

        let second: FactFinding
        if common.contains(where: { company.ports[$0] ?? 0 <= 1 && !isShared($0) }) {
            second = FactFinding(.toldMAC, .agrees, "both name \(list(common))")
        } else if !common.isEmpty {
            second = FactFinding(.toldMAC, .shared, "\(list(common)) is at another machine or BMC too")
        } else if telling.isEmpty {
            second = FactFinding(.toldMAC, .filler, "the BMC names only addresses that say nothing")
        } else if named.isEmpty || !own.isEmpty {
            second = FactFinding(.toldMAC, .absent, "the machine names no other ports that say something")
        } else {
            second = FactFinding(.toldMAC, .differs, "the machine names \(list(named)), the BMC \(list(telling))")
        }
        return [first, second]
    }

    /// Compares two UUIDs, in whatever order of bytes.
    public static func uuid(_ one: String?, _ other: String?, by who: String, isShared: (SystemUUID) -> Bool = { _ in false }) -> FactFinding {
        let detail = "\(who) says \(shown(one)), the machine \(shown(other))"
        guard let one, let other else {
            let isFiller = [one, other].compactMap(\.self).contains { !Filler.identifies(uuid: $0) }
            return FactFinding(.uuid, isFiller ? .filler : .absent, detail)
        }
        guard Filler.identifies(uuid: one), Filler.identifies(uuid: other), let left = SystemUUID(one), let right = SystemUUID(other) else {
            return FactFinding(.uuid, .filler, detail)
        }
        if isShared(left) || isShared(right) { return FactFinding(.uuid, .shared, detail + ", and another has the same") }
        return FactFinding(.uuid, left == right ? .agrees : .differs, detail)
    }

    /// Compares serial numbers of one machine with those of another's system and board.
    static func serial(_ said: [String], _ machine: Machine, by who: String, isShared: (String) -> Bool = { _ in false }) -> FactFinding {
        let system = machine.observed.inventory?.system
        let said = said.filter { !$0.isEmpty }
        let own = [system?.serial, system?.boardSerial].compactMap(\.self).filter { !$0.isEmpty }
        let detail = "\(who) says \(shown(said.joined(separator: ", "))), the machine \(shown(own.joined(separator: ", ")))"
        guard !said.isEmpty, !own.isEmpty else {
            return FactFinding(.serial, (said + own).contains { !Filler.identifies(serial: $0) } ? .filler : .absent, detail)
        }
        let (left, right) = (telling(said), serials(of: machine))
        guard !left.isEmpty, !right.isEmpty else { return FactFinding(.serial, .filler, detail) }
        let common = left.intersection(right)
        if common.contains(where: { !isShared($0) }) { return FactFinding(.serial, .agrees, detail) }
        if !common.isEmpty || left.allSatisfy(isShared) || right.allSatisfy(isShared) {
            return FactFinding(.serial, .shared, detail + ", and another has the same")
        }
        // A board's number and a system's are two things.
        guard system?.serial.map({ Filler.identifies(serial: $0) }) == true else { return FactFinding(.serial, .absent, detail) }
        return FactFinding(.serial, .differs, detail)
    }

    /// Those that tell, in the form in which they are compared.
    fileprivate static func serials(of machine: Machine) -> Set<String> {
        let system = machine.observed.inventory?.system
        return telling([system?.serial, system?.boardSerial].compactMap(\.self))
    }

    fileprivate static func serials(of facts: BMCFacts) -> Set<String> {
        telling([facts.serial].compactMap(\.self) + (facts.otherSerials ?? []))
    }

    private static func telling(_ serials: [String]) -> Set<String> {
        var all: Set<String> = []
        for serial in serials where Filler.identifies(serial: serial) {
            all.insert(Filler.plain(serial))
            // Dell's boards have several in one field: /5Q4Q7Y1/CN7220036H04QB/
            let parts = serial.split { $0 == "/" || $0 == "." }
            if parts.count > 1 { all.formUnion(parts.filter { $0.utf8.count >= 6 && Filler.identifies(serial: $0) }.map { Filler.plain($0) }) }
        }
        return all
    }

    // MARK: The same BMC later

    /// What a BMC says of its machine now and that speaks against its being in the machine that it was in; empty: nothing.
    public static func changes(from then: BMCFacts, to now: BMCFacts) -> [FactFinding] {
        var all: [FactFinding] = []
        if let one = then.systemUUID.flatMap({ SystemUUID($0) }), let other = now.systemUUID.flatMap({ SystemUUID($0) }),
            Filler.identifies(uuid: one), Filler.identifies(uuid: other), one != other
        {
            all.append(FactFinding(.uuid, .differs, "the BMC said \(one), it says \(other) now"))
        }
        let (before, after) = (serials(of: then), serials(of: now))
        if !before.isEmpty, !after.isEmpty, before.isDisjoint(with: after) {
            all.append(FactFinding(.serial, .differs, "the BMC said \(shown(then.serial)), it says \(shown(now.serial)) now"))
        }
        // Cards are changed; where nothing else says who it is, other ports are another machine.
        let isNamed =
            (Filler.identifies(uuid: then.systemUUID ?? "") && Filler.identifies(uuid: now.systemUUID ?? "")) || (!before.isEmpty && !after.isEmpty)
        let (ports, others) = (Set(then.macs.filter(Filler.isPossible)), Set(now.macs.filter(Filler.isPossible)))
        if !isNamed, !ports.isEmpty, !others.isEmpty, ports.isDisjoint(with: others) {
            all.append(FactFinding(.toldMAC, .differs, "the BMC named \(list(ports)), it names \(list(others)) now"))
        }
        return all
    }

    /// Whether a BMC says anything by which its machine is known again.
    public static func isTelling(_ facts: BMCFacts) -> Bool {
        Filler.identifies(uuid: facts.systemUUID ?? "") || !serials(of: facts).isEmpty || facts.macs.contains(where: Filler.isPossible)
    }

    /// What a BMC says now, with what it said before in the place of what it does not say.
    public static func completed(_ now: BMCFacts, by then: BMCFacts) -> BMCFacts {
        var facts = now
        if !Filler.identifies(uuid: now.systemUUID ?? "") { facts.systemUUID = then.systemUUID }
        if serials(of: now).isEmpty {
            facts.serial = then.serial
            facts.otherSerials = then.otherSerials
        }
        facts.macs += then.macs.filter { !now.macs.contains($0) }
        return facts
    }

    /// What somebody says, fit to be shown.
    private static func shown(_ text: String?) -> String {
        let line = PrintableText.line(text ?? "", limitBytes: 80)
        return line.isEmpty ? "nothing" : line
    }

    private static func list(_ ports: some Collection<MACAddress>) -> String {
        let sorted = ports.sorted()
        return sorted.prefix(4).map(\.description).joined(separator: " ") + (sorted.count > 4 ? " and \(sorted.count - 4) more" : "")
    }
}

extension Machine {
    /// Whether the wire has shown that the machine boots by this port of its own.
    ///
    /// Records of earlier versions do not say: there it is the one that its agent came by last, or its only one.
    public func hasBooted(_ mac: MACAddress) -> Bool {
        guard Filler.isPossible(mac), let port = interfaces.first(where: { $0.mac == mac }) else { return false }
        if port.bootedAt != nil || observed.agent?.mac == mac { return true }
        // What earlier versions wrote down may be a link to the BMC, with an address that was made up.
        return interfaces.count == 1 && observed.inventory != nil && !mac.isLocallyAdministered
    }
}
