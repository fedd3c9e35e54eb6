extension RedfishService {
    func managers(_ rest: [String], at moment: RedfishMoment) -> Document? {
        let collection = "\(Self.root)/Managers"
        guard let id = rest.first else { return .collection("Manager", collection, name: "Managers", members: ["1"]) }
        guard id == "1" else { return nil }
        let path = "\(collection)/1"
        let below = Array(rest.dropFirst())
        switch (below.first, below.count) {
        case (nil, _): return manager(path, moment)
        case ("EthernetInterfaces", 1):
            return .collection(
                "EthernetInterface", "\(path)/EthernetInterfaces", name: "Ethernet interfaces", members: ["eth0"])
        case ("EthernetInterfaces", 2) where below[1] == "eth0":
            return Document([
                "@odata.id": .string("\(path)/EthernetInterfaces/eth0"),
                "@odata.type": "#EthernetInterface.v1_4_0.EthernetInterface", "Id": "eth0",
                "Name": "The BMC's own network interface", "InterfaceEnabled": true, "LinkStatus": "LinkUp",
                "MACAddress": .string(inventory.managerMAC.description), "Status": Document.enabled,
                "IPv4Addresses": [
                    [
                        "Address": .string(inventory.managerAddress.description),
                        "SubnetMask": .string(inventory.managerNetmask.description), "AddressOrigin": "Static",
                    ]
                ],
            ])
        case ("NetworkProtocol", 1): return networkProtocol("\(path)/NetworkProtocol")
        case ("VirtualMedia", 1):
            return .collection("VirtualMedia", "\(path)/VirtualMedia", name: "Virtual media", members: ["Cd"])
        case ("VirtualMedia", 2) where below[1] == "Cd": return virtualMedia("\(path)/VirtualMedia/Cd")
        default: return nil
        }
    }

    private func networkProtocol(_ path: String) -> Document {
        Document([
            "@odata.id": .string(path), "@odata.type": "#ManagerNetworkProtocol.v1_2_0.ManagerNetworkProtocol",
            "Id": "NetworkProtocol", "Name": "The BMC's network services", "Status": Document.enabled,
            "IPMI": ["ProtocolEnabled": .bool(ipmiPort != nil), "Port": ipmiPort.map { .integer(Int64($0)) } ?? .null],
        ])
    }

    private func manager(_ path: String, _ moment: RedfishMoment) -> Document {
        var json: JSON = [
            "@odata.id": .string(path), "@odata.type": "#Manager.v1_7_0.Manager", "Id": "1",
            "Name": "BMC", "ManagerType": "BMC", "Manufacturer": "Hostler", "Model": "Hostler virtual BMC",
            "UUID": .string(inventory.managerUUID), "FirmwareVersion": .string(managerVersion(at: moment.now)),
            "PowerState": "On", "Status": Document.enabled,
            "EthernetInterfaces": Document.link("\(path)/EthernetInterfaces"),
            "VirtualMedia": Document.link("\(path)/VirtualMedia"),
            "NetworkProtocol": Document.link("\(path)/NetworkProtocol"),
            "Links": [
                "ManagerForServers": [Document.link("\(Self.root)/Systems/1")],
                "ManagerForChassis": [Document.link("\(Self.root)/Chassis/1")],
                "ManagerInChassis": Document.link("\(Self.root)/Chassis/1"),
            ],
            "Actions": [
                "#Manager.Reset": [
                    "target": .string("\(path)/Actions/Manager.Reset"),
                    "ResetType@Redfish.AllowableValues": ["GracefulRestart", "ForceRestart"],
                ]
            ],
        ]
        // Where the servers in the field have it; newer releases have it at the system.
        if hasSerialPort, ipmiPort != nil {
            json["SerialConsole"] = [
                "ServiceEnabled": .bool(isSerialOverLANEnabled), "MaxConcurrentSessions": 1, "ConnectTypesSupported": ["IPMI"],
            ]
        }
        return Document(json)
    }

    private func virtualMedia(_ path: String) -> Document {
        let name = media.map { String($0.uri.split(separator: "/").last ?? "image") }
        return Document([
            "@odata.id": .string(path), "@odata.type": "#VirtualMedia.v1_3_0.VirtualMedia", "Id": "Cd",
            "Name": "Virtual CD", "MediaTypes": ["CD", "DVD"], "Inserted": .bool(media != nil),
            "Image": media.map { .string($0.uri) } ?? .null, "ImageName": name.map { .string($0) } ?? .null,
            "ConnectedVia": .string(media == nil ? "NotConnected" : "URI"), "WriteProtected": true,
            "Actions": [
                "#VirtualMedia.InsertMedia": ["target": .string("\(path)/Actions/VirtualMedia.InsertMedia")],
                "#VirtualMedia.EjectMedia": ["target": .string("\(path)/Actions/VirtualMedia.EjectMedia")],
            ],
        ])
    }
}
