import Model
import Testing
import Wire

@testable import Hardware

/// What a BMC and machines say of themselves, and what is made of it.
@Suite("Which machine a BMC is in") struct BMCMatchTests {
    private let uuidA = "B8E6F2A1-93D4-4C07-8F5E-6D10C2A7E94B"
    private let uuidB = "4c4c4544-0051-3410-8051-b5c04f375931"
    private let portA = MACAddress("ac:1f:6b:00:0a:01")!
    private let portB = MACAddress("ac:1f:6b:00:0b:01")!
    private let secondA = MACAddress("ac:1f:6b:00:0a:02")!
    private let link = MACAddress("BE:3A:F2:B6:05:9F")!

    private func machine(
        _ id: String, uuid: String? = nil, serial: String? = nil, board: String? = nil, booted: [MACAddress] = [], owned: [MACAddress] = [],
        claimed: [MACAddress] = []
    ) throws -> Machine {
        var machine = Machine(
            id: MachineID(unchecked: id), name: try DisplayName(id),
            interfaces: booted.map { Interface(mac: $0, bootedAt: at(0)) } + owned.map { Interface(mac: $0) }, now: at(0))
        var inventory = Inventory()
        inventory.system.uuid = uuid
        inventory.system.serial = serial
        inventory.system.boardSerial = board
        machine.observed.inventory = inventory
        machine.observed.claimedInterfaces = claimed.isEmpty ? nil : claimed.map { Interface(mac: $0) }
        return machine
    }

    private func facts(_ uuid: String? = nil, _ serial: String? = nil, _ macs: [MACAddress] = []) -> BMCFacts {
        var facts = BMCFacts()
        facts.systemUUID = uuid?.lowercased()
        facts.serial = serial
        facts.macs = macs
        return facts
    }

    /// `=m-a` bound, `?m-a,m-b` asked, empty: none.
    private func verdict(_ facts: BMCFacts, _ machines: [Machine], besides others: [BMCFacts] = [], denied: [MachineID] = []) -> String {
        switch BMCMatch.machine(for: facts, among: machines, besides: others, denied: denied) {
        case .same(let found): "=" + found.machine.rawValue
        case .ask(let proposals): "?" + proposals.map(\.machine.rawValue).joined(separator: ",")
        case .none: ""
        }
    }

    @Test("two boards with a default UUID, and default serial numbers, are not one machine") func fillers() throws {
        for uuid in ["03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009", "ffffffff-ffff-ffff-ffff-ffffffffffff"] {
            for serial in ["To be filled by O.E.M.", "01234567890123456789AB", "Default string", "0123456789", "None", "System Serial Number"] {
                let a = try machine("m-a", uuid: uuid, serial: serial, board: serial, booted: [portA])
                #expect(verdict(facts(uuid, serial, [portB]), [a]) == "")
                #expect(verdict(facts(uuid, serial), [a]) == "")
                #expect(verdict(facts(uuid, serial.uppercased(), [portA]), [a]) == "=m-a", "its booted port says it")
            }
        }
    }

    @Test("the link between host and BMC has one address on every board: it says nothing, though a record has it") func hostInterface() throws {
        let a = try machine("m-a", uuid: uuidA, serial: "S-7745", owned: [portA, link])
        #expect(verdict(facts(uuidB, "S-9001", [portB, link]), [a]) == "")
        #expect(verdict(facts(nil, nil, [link]), [a]) == "")
        // The same told as what it is, though its address be a vendor's.
        var told = facts(nil, nil, [])
        told.hostInterfaces = [portA]
        told.macs = [portA]
        #expect(verdict(told, [a]) == "")
        let booted = try machine("m-b", booted: [link])
        #expect(verdict(facts(nil, nil, [link]), [booted]) == "", "not even where the wire showed it")
    }

    @Test("addresses that somebody made up say nothing, unless the wire showed the machine boot by them") func madeUp() throws {
        let local = MACAddress("02:11:32:aa:00:07")!
        #expect(try verdict(facts(uuidB, "S-9001", [local]), [machine("m-a", uuid: uuidA, serial: "S-7745", owned: [local])]) == "")
        #expect(try verdict(facts(nil, nil, [local]), [machine("m-a", owned: [local, portA], claimed: [])]) == "")
        #expect(try verdict(facts(nil, nil, [local]), [machine("m-a", claimed: [local])]) == "")
        #expect(try verdict(facts(nil, nil, [local]), [machine("m-a", booted: [local])]) == "=m-a")
        for nobody in [MACAddress.broadcast, MACAddress("01:00:5e:00:00:01")!, MACAddress(value: 0)] {
            #expect(try verdict(facts(nil, nil, [nobody]), [machine("m-a", booted: [nobody])]) == "")
        }
    }

    @Test("a new BMC with its own UUID, serial number and ports is not bound by one port that a machine names") func oneNamedPort() throws {
        let a = try machine("m-a", uuid: uuidA, serial: "S-7745", booted: [portA], claimed: [secondA])
        #expect(verdict(facts(uuidB, "S-9001", [portB, secondA]), [a]) == "?m-a")
        #expect(verdict(facts(nil, nil, [portB, secondA]), [a]) == "?m-a")
    }

    @Test("a UUID alone is asked, in either byte order; with the serial number it is proved") func uuid() throws {
        let a = try machine("m-a", uuid: uuidA, serial: "S-7745", board: "B-1001")
        for form in ["a1f2e6b8-d493-074c-8f5e-6d10c2a7e94b", uuidA, "{\(uuidA)}", uuidA.replacing("-", with: "")] {
            #expect(verdict(facts(form), [a]) == "?m-a", "\(form)")
        }
        #expect(verdict(facts(uuidA, "S-7745"), [a]) == "=m-a")
        #expect(verdict(facts(uuidA, "b-1001"), [a]) == "=m-a", "the board's is as good, in any case")
        #expect(verdict(facts(uuidA, "S-9001"), [a]) == "?m-a")
        #expect(verdict(facts(uuidB, "S-7745"), [a]) == "?m-a")
        #expect(verdict(facts(uuidB, "S-9001"), [a]) == "")
    }

    @Test("a booted port outranks claims; claims that agree with another machine make it a question") func booted() throws {
        let a = try machine("m-a", uuid: uuidA, serial: "S-7745", booted: [portA])
        let b = try machine("m-b", uuid: uuidB, serial: "S-9001", booted: [portB])
        #expect(verdict(facts(uuidB, "S-9001", [portB]), [a, b]) == "=m-b")
        #expect(verdict(facts(uuidA, nil, [portB]), [a, b]) == "?m-b,m-a", "the booted port's comes first")
        #expect(verdict(facts(uuidA, "S-7745", [portB]), [a, b]).hasPrefix("?"), "a board whose card was changed, or a claim: asked")
        let claimant = try machine("m-c", uuid: uuidB, serial: "S-9001", booted: [portA], claimed: [portB])
        #expect(verdict(facts(uuidB, "S-9001", [portB]), [claimant]) == "?m-c", "who only names everything of another is not bound")
        #expect(verdict(facts(uuidB, "S-9001", [portB]), [claimant, b]) == "=m-b")
    }

    @Test("what two machines, or two BMCs, have says nothing of either") func shared() throws {
        let shared = MACAddress("ac:1f:6b:00:0f:01")!
        let a = try machine("m-a", serial: "S-7745", booted: [portA], claimed: [shared])
        let b = try machine("m-b", serial: "S-7745", booted: [portB], claimed: [shared])
        #expect(verdict(facts(nil, "S-7745"), [a, b]) == "")
        #expect(verdict(facts(nil, nil, [shared]), [a, b]) == "")
        #expect(verdict(facts(nil, "S-7745", [shared, portA]), [a, b]) == "=m-a")
        #expect(verdict(facts(uuidA, "S-7745", [portA]), [a], besides: [facts(nil, nil, [portA])]) == "?m-a")
        let twice = try machine("m-c", booted: [portA])
        #expect(verdict(facts(nil, nil, [portA]), [a, twice]) == "", "two records with one booted port")
    }

    @Test("Dell's service tag and board number are found where each stands") func dell() throws {
        let a = try machine("m-a", uuid: "4c4c4544-0051-3410-8051-b5c04f375931", serial: "5Q4Q7Y1", board: "/5Q4Q7Y1/CN7220036H04QB/")
        #expect(verdict(facts("4c4c4544-0051-3410-8051-b5c04f375931", "CN7220036H04QB"), [a]) == "=m-a")
        var told = facts("44454c4c-5100-1034-8051-b5c04f375931", "CN999")
        told.otherSerials = ["5Q4Q7Y1"]
        #expect(verdict(told, [a]) == "=m-a")
    }

    @Test("a machine that a person denied is not proposed again") func denied() throws {
        let a = try machine("m-a", uuid: uuidA, serial: "S-7745", booted: [portA])
        #expect(verdict(facts(uuidA, "S-7745", [portA]), [a], denied: [a.id]) == "")
    }

    @Test("the proposal says why, fact by fact") func why() throws {
        let a = try machine("m-a", uuid: uuidA, serial: "S-7745", booted: [portA])
        guard case .ask(let proposals) = BMCMatch.machine(for: facts(uuidA, "S-9001", [portB]), among: [a]) else {
            Issue.record("not asked")
            return
        }
        let findings = try #require(proposals.first).findings
        #expect(findings.map(\.fact) == [.bootedMAC, .toldMAC, .uuid, .serial])
        #expect(findings.map(\.standing) == [.differs, .absent, .agrees, .differs])
        #expect(findings[0].detail.contains(portA.description) && findings[0].detail.contains(portB.description))
        #expect(findings[3].detail.contains("S-9001") && findings[3].detail.contains("S-7745"))
    }

    @Test("records of earlier versions: a named port and another fact prove, a port alone is asked") func earlier() throws {
        let a = try machine("m-a", uuid: uuidA, serial: "S-7745", owned: [portA, secondA])
        #expect(verdict(facts(uuidA, nil, [portA]), [a]) == "=m-a")
        #expect(verdict(facts(nil, nil, [portA]), [a]) == "?m-a")
        var agent = a
        agent.observed.agent = AgentPresence(boot: "b", since: at(0), version: "1", mac: portA)
        #expect(verdict(facts(nil, nil, [portA]), [agent]) == "=m-a", "its agent came by it")
        let one = try machine("m-b", owned: [portB])
        #expect(verdict(facts(nil, nil, [portB]), [one]) == "=m-b", "its only port")
    }

    @Test("what a BMC says of itself is cut and cleaned before it stands in a reason") func hostile() throws {
        let a = try machine("m-a", uuid: uuidA, serial: "S-7745\u{1b}[2J", booted: [portA])
        let dirty = facts(uuidA, "\u{1b}]0;x\u{7}" + String(repeating: "Z9", count: 100_000), [portB])
        guard case .ask(let proposals) = BMCMatch.machine(for: dirty, among: [a]) else {
            Issue.record("not asked")
            return
        }
        for finding in proposals[0].findings {
            #expect(finding.detail.utf8.count < 400 && !finding.detail.unicodeScalars.contains { $0.value < 0x20 })
        }
    }

    @Test("another board at a BMC's address is noticed; ports that come and go, and silence, are not another board") func changes() {
        let then = facts(uuidA, "S-7745", [portA])
        #expect(BMCMatch.changes(from: then, to: then).isEmpty)
        #expect(BMCMatch.changes(from: then, to: facts("a1f2e6b8-d493-074c-8f5e-6d10c2a7e94b", "s-7745", [portB])).isEmpty)
        #expect(BMCMatch.changes(from: then, to: facts(nil, nil, [])).isEmpty)
        #expect(BMCMatch.changes(from: then, to: facts("00000000-0000-0000-0000-000000000000", "Default string", [])).isEmpty)
        #expect(BMCMatch.changes(from: then, to: facts(uuidB, "S-7745", [portA])).map(\.fact) == [.uuid])
        #expect(BMCMatch.changes(from: then, to: facts(uuidB, "S-9001", [portB])).map(\.fact) == [.uuid, .serial])
        #expect(BMCMatch.changes(from: facts(nil, nil, [portA]), to: facts(nil, nil, [portB])).map(\.fact) == [.toldMAC])
        #expect(BMCMatch.changes(from: facts(nil, "None", [portA]), to: facts(nil, "None", [portA, portB])).isEmpty)
    }
}
