import Model
import Testing
import Wire

@testable import Hardware

/// Network cards that lead from a host to its own BMC, as vendors list them among the system's.
@Suite("The link between host and BMC") struct HostInterfaceTests {
    private static let card = "ac:1f:6b:00:0a:01"

    /// What the members of a system's EthernetInterfaces are, and what makes one of them the link.
    private static let links: [(name: String, json: JSON)] = [
        (
            "Supermicro's ToManager",
            [
                "@odata.id": "/redfish/v1/Systems/1/EthernetInterfaces/ToManager", "Id": "ToManager", "Name": "Host Ethernet Interface",
                "MACAddress": "B0:3A:F2:B6:05:9F", "PermanentMACAddress": "B0:3A:F2:B6:05:9F",
            ]
        ),
        (
            "another vendor's ToManager",
            ["@odata.id": "/redfish/v1/Systems/1/EthernetInterfaces/ToManager", "Id": "ToManager", "MACAddress": "00:25:90:00:00:07"]
        ),
        (
            "one that links its HostInterface",
            [
                "@odata.id": "/redfish/v1/Systems/1/EthernetInterfaces/9", "Id": "9", "MACAddress": "00:25:90:00:00:07",
                "Links": ["HostInterface": ["@odata.id": "/redfish/v1/Managers/1/HostInterfaces/1"]],
            ]
        ),
        (
            "one that only the BMC's HostInterfaces name",
            ["@odata.id": "/redfish/v1/Systems/1/EthernetInterfaces/7", "Id": "7", "MACAddress": "00:25:90:00:00:07"]
        ),
        (
            "one behind USB",
            [
                "@odata.id": "/redfish/v1/Systems/1/EthernetInterfaces/8", "Id": "8", "MACAddress": "00:25:90:00:00:07",
                "UefiDevicePath": "PciRoot(0x0)/Pci(0x14,0x0)/USB(0xD,0x0)/USB(0x2,0x0)/MAC(00259000007,0x1)",
            ]
        ),
        ("usb0", ["@odata.id": "/redfish/v1/Systems/1/EthernetInterfaces/usb0", "Id": "usb0", "MACAddress": "be:3a:f2:b6:05:9f"]),
        (
            "by its address alone, and with an empty permanent one",
            [
                "@odata.id": "/redfish/v1/Systems/1/EthernetInterfaces/3", "Id": "3", "MACAddress": "BE:3A:F2:B6:05:9F",
                "PermanentMACAddress": "",
            ]
        ),
    ]

    private static func answer(_ link: JSON, _ question: ScriptedBMC.Question) -> ScriptedBMC.Answer {
        let path = question.path.hasSuffix("/") && question.path.count > 1 ? String(question.path.dropLast()) : question.path
        if path == "/redfish/v1" || path.hasPrefix("/redfish/v1/SessionService") { return GoodBMC().answer(question) }
        let system = "/redfish/v1/Systems/1"
        switch path {
        case "/redfish/v1/Systems": return .json(200, ["Members": [["@odata.id": .string(system)]]])
        case system:
            return .json(
                200,
                [
                    "@odata.id": .string(system), "UUID": "4c4c4544-0051-3410-8051-b5c04f375931", "SerialNumber": "S-7745", "PowerState": "On",
                    "SKU": "868703-B21", "Manufacturer": "Contoso", "EthernetInterfaces": ["@odata.id": .string(system + "/EthernetInterfaces")],
                    "Links": ["ManagedBy": [["@odata.id": "/redfish/v1/Managers/1"]]],
                ])
        case system + "/EthernetInterfaces":
            return .json(200, ["Members": [["@odata.id": .string(system + "/EthernetInterfaces/1")], ["@odata.id": link["@odata.id"] ?? .null]]])
        case system + "/EthernetInterfaces/1":
            return .json(
                200, ["@odata.id": .string(path), "Id": "1", "Name": "System NIC 1", "PermanentMACAddress": "", "MACAddress": .string(card)])
        case link["@odata.id"]?.text: return .json(200, link)
        case "/redfish/v1/Managers/1":
            return .json(200, ["FirmwareVersion": "1.73", "HostInterfaces": ["@odata.id": "/redfish/v1/Managers/1/HostInterfaces"]])
        case "/redfish/v1/Managers/1/HostInterfaces":
            return .json(200, ["Members": [["@odata.id": "/redfish/v1/Managers/1/HostInterfaces/1"]]])
        case "/redfish/v1/Managers/1/HostInterfaces/1":
            return .json(
                200,
                [
                    "@odata.id": .string(path), "HostInterfaceType": "NetworkHostInterface",
                    "HostEthernetInterfaces": ["@odata.id": .string(path + "/HostEthernetInterfaces")],
                ])
        case "/redfish/v1/Managers/1/HostInterfaces/1/HostEthernetInterfaces":
            return .json(200, ["Members": [["@odata.id": "/redfish/v1/Systems/1/EthernetInterfaces/7"]]])
        default: return .json(404, ["error": ["message": "not here"]])
        }
    }

    @Test("is no port of the machine, however a vendor names it", arguments: links.map(\.name)) func known(_ name: String) async throws {
        let link = try #require(Self.links.first { $0.name == name }).json
        try await ScriptedBMC.with({ Self.answer(link, $0) }) { server in
            let bmc = GoodBMC.client(server)
            let facts = try await bmc.facts()
            #expect(facts.macs == [MACAddress(Self.card)!])
            #expect(facts.hostInterfaces?.count == 1)
            #expect(facts.serial == "S-7745" && facts.otherSerials == nil, "a SKU is the model's")
            await bmc.close()
        }
    }

    @Test("a BMC whose host interfaces cannot be read is read all the same, and one without a serial number has none") func unreadable() async throws
    {
        try await ScriptedBMC.with({ question in
            if question.path.contains("HostInterfaces") { return .json(500, ["error": ["message": "no"]]) }
            if question.path.hasSuffix("/Systems/1") {
                return .json(
                    200,
                    [
                        "@odata.id": "/redfish/v1/Systems/1", "SKU": "868703-B21", "Manufacturer": "HPE", "PowerState": "On",
                        "EthernetInterfaces": ["@odata.id": "/redfish/v1/Systems/1/EthernetInterfaces"],
                        "Links": ["ManagedBy": [["@odata.id": "/redfish/v1/Managers/1"]]],
                    ])
            }
            return Self.answer(Self.links[0].json, question)
        }) { server in
            let bmc = GoodBMC.client(server)
            let facts = try await bmc.facts()
            #expect(facts.macs == [MACAddress(Self.card)!] && facts.serial == nil)
            await bmc.close()
        }
    }

    @Test("an IPMI BMC's own serial number is taken before that of a chassis that others are in") func chassis() {
        let facts = IPMIText.facts(
            fru: "Chassis Serial : C-9999\nBoard Serial : B-1001\nProduct Serial : To be filled by O.E.M.\n", controller: "", guid: "")
        #expect(facts.serial == "B-1001")
        #expect(IPMIText.facts(fru: "Chassis Serial : C-9999\n", controller: "", guid: "").serial == "C-9999")
    }
}
