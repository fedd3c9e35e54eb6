import Model
import Testing

@testable import VirtualBMC

@Suite("the resources")
struct ResourceTests {
    @Test("every link leads to a resource that knows its own place, and whose schema the metadata names")
    func everyLink() {
        var talk = Dialogue()
        talk.service.noted(.poweredOn, at: talk.moment.now)
        _ = talk.response("POST", "UpdateService/Actions/UpdateService.SimpleUpdate", ["ImageURI": "http://h/f.bin"])
        let metadata = String(decoding: talk.response("GET", "$metadata").body, as: UTF8.self)
        var waiting = ["/redfish/v1/"]
        var seen: Set<String> = []
        while let path = waiting.popLast() {
            guard !path.contains("#"), seen.insert(path).inserted else { continue }
            let json = talk.get(path)
            #expect(json["@odata.id"]?.text == path)
            let type = json["@odata.type"]?.text?.dropFirst().split(separator: ".").dropLast().joined(separator: ".")
            #expect(metadata.contains("Namespace=\"\(type ?? "none")\""), "\(path): \(type ?? "no type")")
            waiting += Self.links(json)
        }
        #expect(seen.count > 55)
    }

    private static func links(_ json: JSON) -> [String] {
        if let elements = json.elements { return elements.flatMap(links) }
        return (json.members ?? []).flatMap { member in
            member.name == "@odata.id" ? [member.value.text ?? ""] : links(member.value)
        }
    }

    @Test("that the serial console is to be had by IPMI is said where it is, and only there") func serialConsole() throws {
        var console = try IPMIConsole.ready()
        let expected: JSON = ["IPMI": ["Port": 623, "ServiceEnabled": true, "SharedWithManagerCLI": false], "MaxConcurrentSessions": 1]
        #expect(console.dialogue.get("Systems/1")["SerialConsole"] == expected)
        #expect(console.dialogue.get("Managers/1")["SerialConsole"]?["ConnectTypesSupported"] == ["IPMI"])
        #expect(console.dialogue.get("Managers/1/NetworkProtocol")["IPMI"] == ["Port": 623, "ProtocolEnabled": true])
        console.dialogue.service.isSerialOverLANEnabled = false
        #expect(console.dialogue.get("Systems/1")["SerialConsole"]?["IPMI"]?["ServiceEnabled"] == false)
        console.dialogue.service.ipmiPort = nil
        #expect(console.dialogue.get("Systems/1")["SerialConsole"] == nil)
        #expect(console.dialogue.get("Managers/1")["SerialConsole"] == nil)
        #expect(console.dialogue.get("Managers/1/NetworkProtocol")["IPMI"] == ["Port": .null, "ProtocolEnabled": false])
    }

    @Test("the log is read in pages, oldest first, and cleared")
    func log() {
        var talk = Dialogue()
        for _ in 0..<130 { talk.service.noted(.reset, at: talk.moment.now) }
        var page = "Systems/1/LogServices/SEL/Entries"
        var ids: [String] = []
        while true {
            let json = talk.get(page)
            #expect(json["Members@odata.count"] == 130)
            ids += (json["Members"]?.elements ?? []).compactMap { $0["Id"]?.text }
            guard let next = json["Members@odata.nextLink"]?.text else { break }
            page = next
        }
        #expect(ids == (1...130).map { "\($0)" })
        #expect(talk.response("POST", "Systems/1/LogServices/SEL/Actions/LogService.ClearLog", [:]).status == 204)
        #expect(talk.get("Systems/1/LogServices/SEL/Entries")["Members@odata.count"] == 1)
        for _ in 0..<500 { talk.service.noted(.reset, at: talk.moment.now) }
        #expect(talk.get("Systems/1/LogServices/SEL/Entries")["Members@odata.count"] == 200)
    }

    @Test("an update runs as a task: 202 while it runs, then the new version")
    func update() throws {
        var talk = Dialogue()
        let path = "UpdateService/Actions/UpdateService.SimpleUpdate"
        let began = talk.response("POST", path, ["ImageURI": "http://h/f.bin"])
        #expect(began.status == 202)
        let monitor = try #require(began.header("Location"))
        #expect(talk.response("POST", path, ["ImageURI": "http://h/f.bin"]).status == 503)
        talk.pass(seconds: 1)
        let running = talk.response("GET", monitor)
        #expect(running.status == 202)
        #expect(running.json["PercentComplete"] == 33)
        #expect(talk.get("Managers/1")["FirmwareVersion"] == "1.0.0")
        talk.pass(seconds: 3)
        #expect(talk.response("GET", monitor).status == 200)
        #expect(talk.response("GET", monitor).json["TaskState"] == "Completed")
        #expect(talk.get("Managers/1")["FirmwareVersion"] != "1.0.0")
    }

    @Test("BIOS settings wait for the next start")
    func biosSettings() {
        var talk = Dialogue()
        let wrong: JSON = ["Attributes": ["PowerProfile": "Loud"]]
        #expect(talk.response("PATCH", "Systems/1/Bios/Settings", wrong).status == 400)
        #expect(talk.response("PATCH", "Systems/1/Bios/Settings", ["Attributes": ["SriovEnabled": true]]).status == 200)
        #expect(talk.response("PATCH", "Systems/1/SecureBoot", ["SecureBootEnable": true]).status == 200)
        #expect(talk.get("Systems/1/Bios")["Attributes"]?["SriovEnabled"] == false)
        #expect(talk.get("Systems/1/SecureBoot")["SecureBootCurrentBoot"] == "Disabled")
        talk.service.noted(.poweredOn, at: talk.moment.now)
        #expect(talk.get("Systems/1/Bios")["Attributes"]?["SriovEnabled"] == true)
        #expect(talk.get("Systems/1/Bios/Settings")["Attributes"] == [:])
        #expect(talk.get("Systems/1/SecureBoot")["SecureBootCurrentBoot"] == "Enabled")
    }

    @Test("an image goes into the virtual drive once, and out again")
    func virtualMedia() {
        var talk = Dialogue()
        let path = "Managers/1/VirtualMedia/Cd"
        let insert = "\(path)/Actions/VirtualMedia.InsertMedia"
        #expect(talk.response("POST", insert, ["Image": "nfs://h/x.iso"]).status == 400)
        #expect(
            talk.ask("POST", insert, ["Image": "http://h/x.iso", "UserName": "u", "Password": "p"])
                == .perform(
                    .insert(VirtualMediaImage(uri: "http://h/x.iso", userName: "u", password: "p")), then: .noContent))
        #expect(talk.response("POST", insert, ["Image": "http://h/x.iso"]).status == 204)
        #expect(talk.get(path)["Inserted"] == true)
        #expect(talk.get(path)["Image"] == "http://h/x.iso")
        #expect(talk.response("POST", insert, ["Image": "http://h/y.iso"]).status == 409)
        #expect(talk.response("POST", "\(path)/Actions/VirtualMedia.EjectMedia", [:]).status == 204)
        #expect(talk.get(path)["Inserted"] == false)
    }

    @Test("a fan that died is seen in Thermal, in its sensor and in the system's health")
    func broken() {
        var talk = Dialogue()
        talk.moment.reading = .nominal(power: .on, networkCards: 2, broken: [.fan])
        #expect(talk.get("Chassis/1/Thermal")["Fans"]?.elements?[0]["Status"]?["Health"] == "Critical")
        #expect(talk.get("Chassis/1/Sensors/Fan1")["Reading"]?.whole == 0)
        #expect(talk.get("Systems/1")["Status"]?["HealthRollup"] == "Critical")
    }

    @Test("JSON keeps the order of its members and escapes what must be escaped")
    func json() {
        let json: JSON = ["b": 1, "a": ["x": "a\"\\\n\u{1}é"], "c": [true, nil, 1.5]]
        #expect(String(decoding: json.bytes, as: UTF8.self) == #"{"b":1,"a":{"x":"a\"\\\n\u0001é"},"c":[true,null,1.5]}"#)
        #expect(JSON(parsing: json.bytes)?["a"] == json["a"])
        #expect(JSON(parsing: Array("{".utf8)) == nil)
    }

    @Test("queries that the service does not know are told apart from those it may pass over")
    func queries() {
        var talk = Dialogue()
        #expect(talk.response("GET", "Systems?$filter=x").status == 501)
        #expect(talk.response("GET", "Systems?rpm=x").status == 200)
        #expect(talk.response("GET", "Systems?$skip=-1").status == 400)
        #expect(talk.response("GET", "AccountService/Roles?$skip=1&$top=1").json["Members"]?.elements?.count == 1)
    }
}
