import Testing
import Wire

/// What vendors leave in fields that nobody filled.
@Suite("Fillers") struct FillerTests {
    @Test(
        "a serial number or asset tag that stands on many boards identifies nothing, however it is written",
        arguments: [
            "To be filled by O.E.M.", "To Be Filled By O.E.M.", "TO BE FILLED BY OEM", "to-be-filled-by-o.e.m", "Default string",
            "Default_string", "DefaultString", "01234567890123456789AB", "0123456789", "123456789", "1234567890", "12345678",
            "12345678901234567", "9876543210", "None", "NONE", "N/A", "n.a.", "Not Specified", "NotSpecified", "Not Applicable",
            "Not Available", "System Serial Number", "Chassis Serial Number", "Base Board Serial Number", "SystemSerialNumb", "OEM_Serial",
            "O.E.M.", "Unknown", "Unknow", "(null string)", "INVALID", "empty", "", "   ", "-", "..........", "0", "00000000", "0000000000",
            "FFFFFFFF", "XXXXXXXXXXXX", "NNNNNNN", "1111111", "SN-12345", "SN-1234567890", "SYS-1234567890", "MB-1234567890",
            "Serial Number xxxxxx", "SN-123456fvgv3i0b8o5n6n7k", "EVAL", "IATPASS", "Tulip Computers", "ATN12345678901234567", "No Asset Tag",
            "No Asset Information", "Asset-1234567890", "<BAD INDEX>", "<OUT OF SPEC>", "Type2 - Board Serial Number", "ABCDEFGHIJ", "7", "A1",
            "1234", "112233445566",
            "1122334455667788", "0xFFFFFFFF", "No Serial Number", "NoSerial", "None Provided", "Undefined by OEM",
            "Unspecified System Serial Number", "not defined by vendor", "Factory Default", "OEM Default", "Please Fill",
            "Type1 - Serial Number", "SerialNumber1234", "SerNum", "BSN-Board-1234567890", "CN0000000000", "AB00000000", "Missing", "Reserved",
            "empty string", "nodata", "BIOS", "Intel",
        ])
    func serials(_ text: String) {
        for form in [text, text.uppercased(), text.lowercased(), " \(text) "] { #expect(!Filler.identifies(serial: form), "\(form)") }
    }

    @Test(
        "a vendor's serial number identifies",
        arguments: [
            "5Q4Q7Y1", "CN7220036H04QB", "S-7745", "CZJ1234ABC", "MXQ2220H8K", "J3031XZR", "A263086X7B04291", "HL0A1B2C3D4E", "SIM000001",
            "2UA5171R3Z", "PF1D2E3F", "SN-0001", "1S7X06CTO1WWJ300A1B2",
        ])
    func goodSerials(_ text: String) { #expect(Filler.identifies(serial: text)) }

    @Test(
        "a UUID that stands on many boards, or is made of a MAC address, identifies nothing, in any order of bytes",
        arguments: [
            "03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009", "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff", "01010101-0101-0101-0101-010101010101", "01010101-0202-0303-0404-050505050505",
            "fefefefe-fefe-fefe-fefe-fefefefefefe",
            "6AB5B300-538D-1014-9FB5-B0684D007B53", "12345678-1234-5678-90AB-CDDEEFAABBCC", "12345678-1234-1234-1234-123456789012",
            "00010203-0405-0607-0809-0a0b0c0d0e0f", "00112233-4455-6677-8899-aabbccddeeff", "01234567-89ab-cdef-0123-456789abcdef",
            "deadbeef-dead-beef-dead-beefdeadbeef", "11111111-2222-3333-4444-555555555555", "4c4c4544-0000-2010-8020-80c04f202020",
            "4c4c4544-0020-2010-8020-a0c04f202020", "8a95d198-7f46-11e5-bf8b-08002704d48e",
            // What a BMC simulator gives every machine: eight bytes, twice.
            "89ABCDEF-4567-A123-EFCD-AB89674523A1",
            // Of a MAC address and nothing else.
            "00000000-0000-0000-0000-ac1f6b123456", "ffffffff-ffff-ffff-ffff-ac1f6b123456", "03D40274-0435-05DC-8506-010700080009",
            "03de0294-0480-0506-f806-d50700080009",
            // No UUIDs.
            "", "none", "Not Settable", "4c4c4544-0035", "2",
        ])
    func uuids(_ text: String) throws {
        #expect(!Filler.identifies(uuid: text), "\(text)")
        #expect(!Filler.identifies(uuid: text.uppercased()) && !Filler.identifies(uuid: "{\(text)}"))
        #expect(!Filler.identifies(uuid: text.replacing("-", with: "")) && !Filler.identifies(uuid: " \(text) "))
        for order in SystemUUID(text)?.orders ?? [] { #expect(SystemUUID(bytes: order).map { Filler.identifies(uuid: $0) } == false) }
    }

    @Test(
        "a UUID of one board identifies",
        arguments: [
            "4c4c4544-0051-3410-8051-b5c04f375931", "859fc988-2239-11e5-8d58-4b5154002017", "5f253d3a-4002-f1c4-9301-e58e5f2faaf9",
            "36313536-3130-5a43-4a31-323334414243", "a9bffa99-794f-1e59-9183-0123456789ab", "B8E6F2A1-93D4-4C07-8F5E-6D10C2A7E94B",
        ])
    func goodUUIDs(_ text: String) { #expect(Filler.identifies(uuid: text)) }

    @Test("random UUIDs identify, each form of one is that one, and another is another") func randomUUIDs() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let bytes = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
            let uuid = try #require(SystemUUID(bytes: bytes))
            #expect(Filler.identifies(uuid: uuid), "\(uuid)")
            for order in uuid.orders { #expect(SystemUUID(bytes: order) == uuid) }
            var other = bytes
            other[Int.random(in: 0..<16, using: &random)] ^= 0x40
            #expect(SystemUUID(bytes: other) != uuid)
            #expect(SystemUUID(uuid.description.uppercased()) == uuid && SystemUUID("urn:uuid:\(uuid)") == uuid && SystemUUID("{\(uuid)}") == uuid)
        }
    }

    @Test(
        "an address that is nobody's, that somebody made up, or that stands on many cards identifies nothing",
        arguments: [
            "be:3a:f2:b6:05:9f", "b0:3a:f2:b6:05:9f", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01",
            "02:00:00:00:00:01", "52:54:00:12:34:56", "fe:ff:ff:ff:ff:ff", "20:41:53:59:4e:ff", "00:a0:c6:00:00:00", "00:e0:4c:53:44:58",
            "00:50:56:c0:00:08", "00:11:22:33:44:55", "00:01:02:03:04:05", "00:00:00:00:00:01", "02:00:4e:43:50:49",
        ])
    func macs(_ text: String) throws { #expect(MACAddress(text).map { Filler.identifies(mac: $0) } == false) }

    @Test("a vendor's address identifies; one that somebody made up can still be seen to boot") func goodMACs() throws {
        for text in ["ac:1f:6b:12:34:56", "74:d4:35:dc:85:01", "00:25:90:5e:b8:a1", "3c:ec:ef:00:12:34"] {
            #expect(MACAddress(text).map { Filler.identifies(mac: $0) } == true)
        }
        #expect(MACAddress("52:54:00:12:34:56").map { Filler.isPossible($0) } == true)
        #expect(MACAddress("be:3a:f2:b6:05:9f").map { Filler.isPossible($0) } == false, "not even where the wire showed it")
    }

    @Test("what is no UUID is none, whatever it is") func hostile() {
        for text in [
            "", "{", "{{{{", String(repeating: "0", count: 31), String(repeating: "a", count: 100_000), "g" + String(repeating: "0", count: 31),
            "é" + String(repeating: "0", count: 30),
        ] {
            #expect(SystemUUID(text) == nil)
            #expect(!Filler.identifies(uuid: text))
        }
        #expect(!Filler.identifies(serial: String(repeating: "🎄", count: 20)))
        #expect(Filler.identifies(serial: String(repeating: "a1c3", count: 1000)))
    }
}
