extension RedfishService {
    func systems(_ rest: [String], at moment: RedfishMoment) -> Document? {
        let systems = "\(Self.root)/Systems"
        guard let id = rest.first else {
            return .collection("ComputerSystem", systems, name: "Systems", members: ["1"])
        }
        guard id == "1" else { return nil }
        let path = "\(systems)/1"
        let below = Array(rest.dropFirst())
        switch below.first {
        case nil: return system(path, moment)
        case "Processors": return processors(below, "\(path)/Processors")
        case "Memory": return memory(below, "\(path)/Memory")
        case "EthernetInterfaces": return networkCards(below, "\(path)/EthernetInterfaces", moment)
        case "Storage": return storage(below, "\(path)/Storage")
        case "Bios": return biosSettings(below, "\(path)/Bios")
        case "SecureBoot": return below.count == 1 && inventory.firmware == .uefi ? secureBoot("\(path)/SecureBoot") : nil
        case "LogServices": return logServices(below, "\(path)/LogServices")
        default: return nil
        }
    }

    private func system(_ path: String, _ moment: RedfishMoment) -> Document {
        var json: JSON = [
            "@odata.id": .string(path), "@odata.type": "#ComputerSystem.v1_13_0.ComputerSystem", "Id": "1",
            "Name": .string(inventory.name), "SystemType": "Physical", "Manufacturer": .string(inventory.manufacturer),
            "Model": .string(inventory.model), "SKU": .string(inventory.sku),
            "SerialNumber": .string(inventory.serial), "UUID": .string(inventory.uuid),
            "AssetTag": .string(assetTag), "BiosVersion": .string(inventory.firmwareVersion),
            "IndicatorLED": .string(indicator), "PowerState": .string(moment.reading.power.rawValue),
            "Status": [
                "State": .string(moment.reading.power == .on ? "Enabled" : "Disabled"), "Health": "OK",
                "HealthRollup": .string(moment.reading.health.rawValue),
            ],
            "Boot": boot,
            "ProcessorSummary": [
                "Count": .integer(Int64(inventory.processors.count)),
                "Model": .string(inventory.processors.first?.model ?? ""), "Status": Document.enabled,
            ],
            "MemorySummary": [
                "TotalSystemMemoryGiB": Self.gibibytes(inventory.memoryMiB), "Status": Document.enabled,
            ],
        ]
        for name in ["Processors", "Memory", "EthernetInterfaces", "Storage", "Bios", "LogServices"] {
            json[name] = Document.link("\(path)/\(name)")
        }
        if inventory.firmware == .uefi { json["SecureBoot"] = Document.link("\(path)/SecureBoot") }
        if let serialConsole { json["SerialConsole"] = serialConsole }
        json["Links"] = [
            "Chassis": [Document.link("\(Self.root)/Chassis/1")],
            "ManagedBy": [Document.link("\(Self.root)/Managers/1")],
        ]
        json["Actions"] = [
            "#ComputerSystem.Reset": [
                "target": .string("\(path)/Actions/ComputerSystem.Reset"),
                "ResetType@Redfish.AllowableValues": .array(ResetType.allCases.map { .string($0.rawValue) }),
            ]
        ]
        return Document(json, methods: ["PATCH"])
    }

    /// DSP0268, ComputerSystem.SerialConsole: how to get there; nil where it cannot be had.
    private var serialConsole: JSON? {
        guard hasSerialPort, let ipmiPort else { return nil }
        return [
            "MaxConcurrentSessions": 1,
            "IPMI": ["ServiceEnabled": .bool(isSerialOverLANEnabled), "Port": .integer(Int64(ipmiPort)), "SharedWithManagerCLI": false],
        ]
    }

    private var boot: JSON {
        var json: JSON = [
            "BootSourceOverrideEnabled": .string(bootOverride.map { $0.isOnce ? "Once" : "Continuous" } ?? "Disabled"),
            "BootSourceOverrideEnabled@Redfish.AllowableValues": ["Disabled", "Once", "Continuous"],
            "BootSourceOverrideTarget": .string(bootOverride?.target.rawValue ?? "None"),
            "BootSourceOverrideTarget@Redfish.AllowableValues": .array(bootTargets.map { .string($0) }),
            "BootSourceOverrideMode": .string((bootOverride?.mode ?? bootModes.first ?? .uefi).rawValue),
            "BootSourceOverrideMode@Redfish.AllowableValues": .array(bootModes.map { .string($0.rawValue) }),
        ]
        if inventory.firmware == .uefi { json["HttpBootUri"] = httpBootURI.map { .string($0) } ?? .null }
        return json
    }

    /// As whole a number as it is.
    static func gibibytes(_ mebibytes: Int) -> JSON {
        mebibytes % 1024 == 0 ? .integer(Int64(mebibytes / 1024)) : .number(Double(mebibytes) / 1024)
    }

    private func processors(_ below: [String], _ path: String) -> Document? {
        let all = inventory.processors
        if below.count == 1 {
            return .collection("Processor", path, name: "Processors", members: all.map(\.socket))
        }
        guard below.count == 2, let processor = all.first(where: { $0.socket == below[1] }) else { return nil }
        return Document([
            "@odata.id": .string("\(path)/\(processor.socket)"), "@odata.type": "#Processor.v1_3_0.Processor",
            "Id": .string(processor.socket), "Name": "Processor", "Socket": .string(processor.socket),
            "ProcessorType": "CPU", "ProcessorArchitecture": "x86", "InstructionSet": "x86-64",
            "Manufacturer": .string(processor.manufacturer), "Model": .string(processor.model),
            "TotalCores": .integer(Int64(processor.cores)), "TotalThreads": .integer(Int64(processor.threads)),
            "Status": Document.enabled,
        ])
    }

    private func memory(_ below: [String], _ path: String) -> Document? {
        let modules = inventory.memory
        let ids = modules.indices.map { "DIMM\($0)" }
        if below.count == 1 { return .collection("Memory", path, name: "Memory", members: ids) }
        guard below.count == 2, let index = ids.firstIndex(of: below[1]) else { return nil }
        let module = modules[index]
        return Document([
            "@odata.id": .string("\(path)/\(ids[index])"), "@odata.type": "#Memory.v1_2_0.Memory",
            "Id": .string(ids[index]), "Name": .string(module.locator), "DeviceLocator": .string(module.locator),
            "MemoryType": "DRAM", "CapacityMiB": .integer(Int64(module.sizeMiB)),
            "OperatingSpeedMhz": .integer(Int64(module.speedMHz)), "Manufacturer": .string(module.manufacturer),
            "SerialNumber": .string(module.serial), "PartNumber": .string(module.partNumber),
            "Status": Document.enabled,
        ])
    }

    private func networkCards(_ below: [String], _ path: String, _ moment: RedfishMoment) -> Document? {
        let cards = inventory.networkCards
        let ids = cards.indices.map { "NIC\($0)" }
        if below.count == 1 {
            return .collection("EthernetInterface", path, name: "Ethernet interfaces", members: ids)
        }
        guard below.count == 2, let index = ids.firstIndex(of: below[1]) else { return nil }
        let card = cards[index]
        let isUp = moment.reading.linksUp.indices.contains(index) && moment.reading.linksUp[index]
        var json: JSON = [
            "@odata.id": .string("\(path)/\(ids[index])"),
            "@odata.type": "#EthernetInterface.v1_4_0.EthernetInterface", "Id": .string(ids[index]),
            "Name": .string(card.name), "MACAddress": .string(card.mac.description),
            "PermanentMACAddress": .string(card.mac.description), "InterfaceEnabled": true,
            "SpeedMbps": .integer(Int64(card.speedMbps)), "LinkStatus": .string(isUp ? "LinkUp" : "LinkDown"),
            "Status": Document.enabled,
        ]
        if inventory.firmware == .uefi {
            // UEFI 2.10 §10.3.4.14: the card as the firmware's boot options name it.
            let digits = card.mac.description.split(separator: ":").joined().uppercased()
            json["UefiDevicePath"] = .string("MAC(\(digits),0x1)")
        }
        return Document(json)
    }
}
