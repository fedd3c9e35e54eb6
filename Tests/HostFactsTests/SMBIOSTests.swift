import Testing
import Wire

@testable import HostFacts

@Suite("SMBIOS")
struct SMBIOSTests {
    private let entry2 = Hex.decode(CapturedSMBIOS.entryPoint2)!
    private let table2 = Hex.decode(CapturedSMBIOS.table2)!
    private let entry3 = Hex.decode(CapturedSMBIOS.entryPoint3)!
    private let table3 = Hex.decode(CapturedSMBIOS.table3)!

    @Test("a table captured from a guest with a 2.x entry point is read whole")
    func version2() throws {
        let entry = try SMBIOSEntryPoint(parsing: entry2)
        #expect(entry.version == "2.8")
        #expect(entry.tableBytes == table2.count)
        #expect(entry.structureCount == 10)
        let facts = try SMBIOSFacts(entryPoint: entry2, table: table2)
        #expect(facts.damage == nil)
        #expect(facts.bios?.vendor == "Hostler")
        #expect(facts.bios?.version == "1.2")
        #expect(facts.bios?.releaseDate == "11/24/2026")
        #expect(facts.bios?.supportsUEFI == true)
        #expect(facts.bios?.isVirtualMachine == true)
        #expect(facts.system?.manufacturer == "Acme")
        #expect(facts.system?.serial == "SN-0001")
        #expect(facts.system?.uuid?.description == "00112233-4455-6677-8899-3c7e51d0a46b")
        #expect(facts.system?.sku == "SKU7")
        #expect(facts.system?.family == "Servers")
        #expect(facts.boards.map(\.serial) == ["BRD-1"])
        #expect(facts.chassis?.serial == "CH-1")
    }

    @Test("a table captured from a guest with a 3.0 entry point is read whole")
    func version3() throws {
        let facts = try SMBIOSFacts(entryPoint: entry3, table: table3)
        #expect(facts.damage == nil)
        #expect(facts.version == "3.0")
        #expect(facts.processors.count == 1)
        #expect(facts.processors.first?.isPopulated == true)
        #expect(facts.processors.first?.cores == 2)
        #expect(facts.processors.first?.threads == 2)
        #expect(facts.processors.first?.serial == "CPU-1")
        #expect(facts.memoryArrays.map(\.maximumBytes) == [2 << 30])
        let dimm = try #require(facts.memoryDevices.first)
        #expect(dimm.locator == "DIMM 0")
        #expect(dimm.bank == "BANK0")
        #expect(dimm.sizeBytes == 2 << 30)
        #expect(dimm.kind == "RAM")
        #expect(dimm.formFactor == "DIMM")
        #expect(dimm.speedMegatransfers == 3200)
        #expect(dimm.manufacturer == "Samsung")
        #expect(dimm.serial == "D00DFEED")
        #expect(dimm.partNumber == "M393A")
    }

    @Test("vendors' filler is no value")
    func filler() throws {
        let facts = try SMBIOSFacts(entryPoint: entry3, table: table3)
        #expect(facts.chassis?.assetTag == nil)
        #expect(facts.memoryDevices.first?.assetTag == nil)
        for junk in [
            "To Be Filled By O.E.M.", "Default string", "Not Specified", "00000000", "  ", "0", "FFFFFFFF", "....",
            "System Serial Number", "00000000-0000", "--", "Chassis Serial Number", "0123456789", "123456789", "N/A", "None", "[Empty]",
        ] {
            #expect(FirmwareText.meaningful(junk) == nil, "\(junk)")
        }
        for good in ["A1", "F", "X", "DIMM_A1", "S3X0NX0M", "0x1"] { #expect(FirmwareText.meaningful(good) == good) }
    }

    @Test("an unset UUID is nil, and so is one that stands on many boards")
    func unsetUUID() {
        // As stored: 03000200-0400-0500-0006-000700080009, and the same with a MAC address in it.
        let boards: [[UInt8]] = [
            [0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9], [0x74, 2, 0xd4, 3, 0x35, 4, 0xdc, 5, 0x85, 6, 1, 7, 0, 8, 0, 9],
        ]
        for filler in [[UInt8](repeating: 0, count: 16), [UInt8](repeating: 0xff, count: 16)] + boards {
            let body = [UInt8](repeating: 0, count: 4) + filler
            let table = SMBIOSTable(parsing: [1, 24, 1, 0] + body + [0, 0])
            #expect(SMBIOSFacts(table: table).system != nil)
            #expect(SMBIOSFacts(table: table).system?.uuid == nil)
        }
    }

    private static let sizes: [(size: UInt16, extended: UInt32, expected: UInt64?)] = [
        (UInt16(0), UInt32(0), UInt64?.none), (0xffff, 0, nil), (16384, 0, 16 << 30), (0x8200, 0, 512 << 10),
        (0x7fff, 65536, 64 << 30), (0x7fff, 0, nil),
    ]

    @Test("a module's size is read in each of the three forms", arguments: sizes)
    func memorySizes(size: UInt16, extended: UInt32, expected: UInt64?) {
        var body = [UInt8](repeating: 0, count: 0x5c)
        (body[0], body[1]) = (17, 0x5c)
        (body[0x0c], body[0x0d]) = (UInt8(size & 0xff), UInt8(size >> 8))
        for byte in 0..<4 { body[0x1c + byte] = UInt8(truncatingIfNeeded: extended >> (8 * UInt32(byte))) }
        (body[0x15], body[0x16]) = (0xff, 0xff)
        (body[0x54], body[0x55]) = (0x40, 0x1f)
        let facts = SMBIOSFacts(table: SMBIOSTable(parsing: body + [0, 0]))
        #expect(facts.memoryDevices.first?.sizeBytes == expected)
        #expect(facts.memoryDevices.first?.isPopulated == (size != 0))
        #expect(facts.memoryDevices.first?.speedMegatransfers == 8000)
    }

    @Test("a Redfish host interface gives the BMC's address")
    func redfish() {
        var record = [UInt8](repeating: 0, count: 91)
        record[17] = 1
        record.replaceSubrange(18..<22, with: [169, 254, 0, 2])
        record[51] = 1
        record.replaceSubrange(52..<56, with: [169, 254, 0, 1])
        (record[84], record[85]) = (0xbb, 0x01)
        let body: [UInt8] = [0x40, 2, 4, 0xff, 1, 4, UInt8(record.count)] + record
        let table = SMBIOSTable(parsing: [42, UInt8(4 + body.count), 0, 0] + body + [0, 0])
        let interface = SMBIOSFacts(table: table).redfishInterfaces.first
        #expect(interface?.serviceAddress == IPv4Address("169.254.0.1"))
        #expect(interface?.hostAddress == IPv4Address("169.254.0.2"))
        #expect(interface?.port == 443)
    }

    @Test("a table cut at any byte yields what was before the cut, and the damage")
    func truncation() throws {
        let whole = SMBIOSTable(parsing: table3)
        for count in 0..<table3.count {
            let cut = SMBIOSTable(parsing: Array(table3[..<count]))
            #expect(whole.structures.starts(with: cut.structures))
            let facts = SMBIOSFacts(table: cut)
            #expect(facts.memoryDevices.count <= 1)
        }
        #expect(SMBIOSTable(parsing: Array(table3.dropLast(1))).damage != nil)
    }

    @Test("an entry point cut at any byte, or with any byte flipped, is an error")
    func entryPointDamage() {
        for entry in [entry2, entry3] {
            for count in 0..<entry.count {
                #expect(throws: SMBIOSParseError.self) { try SMBIOSEntryPoint(parsing: Array(entry[..<count])) }
            }
            eachByteFlip(of: entry) { flipped in
                #expect(throws: SMBIOSParseError.self) { try SMBIOSEntryPoint(parsing: flipped) }
            }
        }
    }

    @Test("no flipped byte and no random bytes trap the reader")
    func garbage() {
        eachByteFlip(of: table2) { _ = SMBIOSFacts(table: SMBIOSTable(parsing: $0)) }
        var random = SeededGenerator(seed: 7)
        for _ in 0..<2000 {
            let bytes = random.bytes(Int.random(in: 0..<300, using: &random))
            _ = SMBIOSFacts(table: SMBIOSTable(parsing: bytes))
            // A structure of a known type with a random body.
            let type = [UInt8(0), 1, 2, 3, 4, 16, 17, 38, 42].randomElement(using: &random)!
            let length = UInt8.random(in: 4...255, using: &random)
            _ = SMBIOSFacts(
                table: SMBIOSTable(parsing: [type, length, 0, 0] + random.bytes(Int(length) - 4) + [0, 0]))
        }
    }

    @Test("a GUID goes to text and back")
    func guids() {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<200 {
            let guid = FirmwareGUID(random.bytes(16))!
            #expect(FirmwareGUID(guid.description) == guid)
        }
        #expect(FirmwareGUID("00112233-4455-6677-8899-aabbccddeef") == nil)
        #expect(FirmwareGUID("0011223-34455-6677-8899-aabbccddeeff") == nil)
    }
}
