import Testing

@testable import Hardware

@Suite("JSON from a BMC") struct JSONTests {
    static let sample = #"{"a":[1,-2.5e1,"x\n\u00e9\ud83d\ude00"],"b":true,"c":null,"d":{},"e":"x\"\\"}"#

    @Test("values of every kind are read, null counts as absent") func values() throws {
        let json = try JSONParser.parse(Array(Self.sample.utf8))
        #expect(json["a"] == [1, -25, "x\né😀"])
        #expect(json["b"]?.flag == true)
        #expect(json["c"] == nil)
        #expect(json["d"]?.members.isEmpty == true)
        #expect(json["e"]?.text == #"x"\"#)
    }

    @Test("what is written is read back the same") func roundTrip() throws {
        let json = try JSONParser.parse(Array(Self.sample.utf8))
        #expect(try JSONParser.parse(json.encoded) == json)
    }

    @Test("cut at every byte, it is called truncated or wrong, never read") func truncation() {
        let bytes = Array(Self.sample.utf8)
        for length in 1..<bytes.count {
            #expect(throws: JSONParseError.self) { try JSONParser.parse(Array(bytes.prefix(length))) }
        }
    }

    @Test("depth and number of values are bounded") func limits() {
        let deep = [UInt8](repeating: UInt8(ascii: "["), count: 100)
        #expect(throws: JSONParseError(reason: .tooDeep, offset: JSONParser.depthLimit + 1)) { try JSONParser.parse(deep) }
        let wide = Array(("[" + String(repeating: "1,", count: JSONParser.valueLimit) + "1]").utf8)
        #expect(throws: JSONParseError.self) { try JSONParser.parse(wide) }
    }

    @Test("a web page is no JSON, text after the value neither") func garbage() {
        for text in ["<html></html>", "{} x", "", "{\"a\"}", "[1 2]", "nul", "\"\\x\"", "{\"a\":1e999}"] {
            #expect(throws: JSONParseError.self, "\(text)") { try JSONParser.parse(Array(text.utf8)) }
        }
    }

    @Test("seeded random bytes never trap") func fuzz() {
        var seed: UInt64 = 42
        func random() -> UInt8 {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1
            return UInt8(truncatingIfNeeded: seed >> 33)
        }
        let alphabet = Array("{}[]\",:\\u0d8e1-+.truefalsn \n".utf8)
        for _ in 0..<5000 {
            let bytes = (0..<Int(random() % 40)).map { _ in alphabet[Int(random()) % alphabet.count] }
            _ = try? JSONParser.parse(bytes)
        }
    }
}

@Suite("Links of a BMC") struct RedfishPathTests {
    @Test("only absolute paths are taken") func paths() {
        #expect(RedfishPath("/redfish/v1/Systems/1")?.text == "/redfish/v1/Systems/1")
        #expect(RedfishPath("/redfish/v1/Chassis/1/Power#/PowerControl/0")?.text == "/redfish/v1/Chassis/1/Power")
        let bad = [
            "", "redfish/v1", "//evil.example/redfish", "https://evil.example/", "/a/../b", "/a\\b", "/a b", "/a\r\nX: y",
            "javascript:1", "/" + String(repeating: "a", count: 2000),
        ]
        for href in bad { #expect(RedfishPath(href) == nil, "\(href)") }
    }

    @Test("a Location may be a whole URL, but only of the same BMC") func locations() {
        let origin = "https://10.0.0.4:443"
        #expect(RedfishPath(location: "/redfish/v1/x", origin: origin)?.text == "/redfish/v1/x")
        #expect(RedfishPath(location: "https://10.0.0.4/redfish/v1/x", origin: origin)?.text == "/redfish/v1/x")
        #expect(RedfishPath(location: "HTTPS://10.0.0.4:443/x", origin: origin)?.text == "/x")
        for other in ["https://10.0.0.40/x", "http://10.0.0.4/x", "https://10.0.0.4:444/x", "https://10.0.0.4@evil.example/x", "//evil.example/x"] {
            #expect(RedfishPath(location: other, origin: origin) == nil, "\(other)")
        }
    }

    @Test("addresses are read with scheme and port") func addresses() {
        #expect(RedfishAddress("10.0.0.4")?.origin == "https://10.0.0.4:443")
        #expect(RedfishAddress("bmc.example:8443")?.origin == "https://bmc.example:8443")
        #expect(RedfishAddress("http://127.0.0.1:8000/")?.origin == "http://127.0.0.1:8000")
        #expect(RedfishAddress("[fd00::1]:443")?.host == "[fd00::1]")
        for bad in ["", "ftp://x", "a b", "x:99999", "x/path", "user@host"] { #expect(RedfishAddress(bad) == nil, "\(bad)") }
    }
}
