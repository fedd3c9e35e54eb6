import Testing
import Wire

@testable import HostFacts

@Suite("LLDP")
struct LLDPTests {
    private func tlv(_ type: UInt8, _ value: [UInt8]) -> [UInt8] {
        [type << 1 | UInt8(value.count >> 8), UInt8(value.count & 0xff)] + value
    }

    private var required: [UInt8] {
        tlv(1, [4, 0x00, 0x01, 0x30, 0xf9, 0xad, 0xa0]) + tlv(2, [5] + Array("1/1".utf8)) + tlv(3, [0, 120])
    }

    private var frame: [UInt8] {
        let header: [UInt8] = [0x01, 0x80, 0xc2, 0, 0, 0x0e, 0, 1, 0x30, 0xf9, 0xad, 0xa0, 0x88, 0xcc]
        let optional =
            tlv(4, Array("Summit300-48-Port 1001\0".utf8)) + tlv(5, Array("sw-\u{1b}[31mtor1".utf8))
            + tlv(6, Array("Summit300-48 - Version 7.4e.1".utf8)) + tlv(7, [0, 0x14, 0, 0x14])
            + tlv(8, [5, 1, 10, 0, 0, 1, 2, 0, 0, 0, 1, 0]) + tlv(127, [0x00, 0x80, 0xc2, 1, 0x01, 0xe8])
            + tlv(127, [0x00, 0x80, 0xc2, 3, 0x01, 0xe8, 4] + Array("prov".utf8))
            + tlv(127, [0x00, 0x12, 0x0f, 3, 0x03, 0, 0, 0, 9]) + tlv(127, [0x00, 0x12, 0x0f, 4, 0x05, 0xf2])
        return header + required + optional + [0, 0]
    }

    @Test("a switch's frame tells the switch, the port and the VLAN")
    func switchFrame() throws {
        let unit = try LLDPDataUnit(parsingFrame: frame + [UInt8](repeating: 0, count: 20))
        #expect(unit.chassisID == "00:01:30:f9:ad:a0")
        #expect(unit.portID == "1/1")
        #expect(unit.timeToLiveSeconds == 120)
        #expect(unit.portDescription == "Summit300-48-Port 1001")
        #expect(unit.systemName == "sw-[31mtor1")
        #expect(unit.systemDescription == "Summit300-48 - Version 7.4e.1")
        #expect(unit.capabilities == [.bridge, .router])
        #expect(unit.managementAddresses == ["10.0.0.1"])
        #expect(unit.portVLAN == 488)
        #expect(unit.vlanNames == [488: "prov"])
        #expect(unit.aggregation == LLDPAggregation(isCapable: true, isEnabled: true, portID: 9))
        #expect(unit.maximumFrameBytes == 1522)
    }

    private static let subtypes: [(subtype: UInt8, content: [UInt8], shown: String)] = [
        (UInt8(7), Array("rack-1".utf8), "rack-1"), (5, [1, 192, 0, 2, 1], "192.0.2.1"),
        (6, Array("Eth0".utf8), "Eth0"),
        (5, [2, 0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [1], "2001:db8:0:0:0:0:0:1"),
        (7, [0xff, 0xfe, 0x01], "fffe01"), (4, [1, 2, 3], "010203"), (5, [1], ""),
    ]

    @Test("every subtype of chassis and port is shown as text", arguments: subtypes)
    func chassisSubtypes(subtype: UInt8, content: [UInt8], shown: String) throws {
        let unit = try LLDPDataUnit(parsing: tlv(1, [subtype] + content) + tlv(2, [7, 0x31]) + tlv(3, [0, 1]))
        #expect(unit.chassisID == shown)
    }

    @Test("VLAN tags before the EtherType are passed over; another EtherType is an error")
    func etherTypes() throws {
        let tagged = Array(frame[..<12]) + [0x81, 0x00, 0, 5] + Array(frame[12...])
        #expect(try LLDPDataUnit(parsingFrame: tagged).portID == "1/1")
        var other = frame
        other[12] = 0x08
        #expect(throws: LLDPParseError.notLLDP(etherType: 0x08cc)) { try LLDPDataUnit(parsingFrame: other) }
    }

    @Test("the mandatory TLVs must come first and in order")
    func order() {
        #expect(throws: LLDPParseError.wrongOrder(type: 2, position: 1)) {
            try LLDPDataUnit(parsing: tlv(2, [5, 0x31]) + required)
        }
        #expect(throws: LLDPParseError.badLength(type: 1, length: 1)) { try LLDPDataUnit(parsing: tlv(1, [4])) }
    }

    @Test("a frame cut inside a TLV is an error, one cut between TLVs is what came before")
    func truncation() throws {
        for count in 0..<14 + required.count {
            #expect(throws: LLDPParseError.self) { try LLDPDataUnit(parsingFrame: Array(frame[..<count])) }
        }
        for count in 14 + required.count..<frame.count {
            let unit = try? LLDPDataUnit(parsingFrame: Array(frame[..<count]))
            #expect(unit == nil || unit?.portID == "1/1")
        }
        eachByteFlip(of: frame) { _ = try? LLDPDataUnit(parsingFrame: $0) }
    }

    @Test("random TLVs trap nothing")
    func garbage() {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<3000 {
            let type = UInt8.random(in: 0...127, using: &random)
            let organisation: [UInt8] = [[0x00, 0x80, 0xc2], [0x00, 0x12, 0x0f]].randomElement(using: &random)!
            let value = random.bytes(Int.random(in: 0..<40, using: &random))
            _ = try? LLDPDataUnit(parsing: required + tlv(type, value) + tlv(127, organisation + value))
            _ = try? LLDPDataUnit(parsing: value)
        }
    }
}
