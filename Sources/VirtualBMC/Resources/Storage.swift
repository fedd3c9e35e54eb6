extension RedfishService {
    /// One controller with all drives.
    func storage(_ below: [String], _ path: String) -> Document? {
        let drives = inventory.drives
        switch below.count {
        case 1: return .collection("Storage", path, name: "Storage", members: ["1"])
        case 2 where below[1] == "1":
            return Document([
                "@odata.id": .string("\(path)/1"), "@odata.type": "#Storage.v1_4_0.Storage", "Id": "1",
                "Name": "Local storage", "Status": Document.enabled,
                "Drives": .array(drives.indices.map { Document.link("\(path)/1/Drives/Disk\($0)") }),
                "Drives@odata.count": .integer(Int64(drives.count)),
            ])
        case 4 where below[1] == "1" && below[2] == "Drives":
            guard let index = drives.indices.first(where: { "Disk\($0)" == below[3] }) else { return nil }
            let drive = drives[index]
            return Document([
                "@odata.id": .string("\(path)/1/Drives/Disk\(index)"), "@odata.type": "#Drive.v1_4_0.Drive",
                "Id": .string("Disk\(index)"), "Name": .string("Disk \(index)"), "Model": .string(drive.model),
                "SerialNumber": .string(drive.serial), "CapacityBytes": .integer(drive.sizeBytes),
                "Protocol": .string(drive.bus.rawValue), "MediaType": .string(drive.isRotational ? "HDD" : "SSD"),
                "Status": Document.enabled,
            ])
        default: return nil
        }
    }

    func biosSettings(_ below: [String], _ path: String) -> Document? {
        switch below.count {
        case 1:
            return Document([
                "@odata.id": .string(path), "@odata.type": "#Bios.v1_0_2.Bios", "Id": "Bios", "Name": "BIOS settings",
                "Attributes": BiosAttributes.json(bios),
                "@Redfish.Settings": [
                    "@odata.type": "#Settings.v1_0_4.Settings",
                    "SettingsObject": Document.link("\(path)/Settings"),
                ],
                "Actions": ["#Bios.ResetBios": ["target": .string("\(path)/Actions/Bios.ResetBios")]],
            ])
        case 2 where below[1] == "Settings":
            return Document(
                [
                    "@odata.id": .string("\(path)/Settings"), "@odata.type": "#Bios.v1_0_2.Bios", "Id": "Settings",
                    "Name": "BIOS settings from the next start on", "Attributes": BiosAttributes.json(pendingBios),
                ], methods: ["PATCH"])
        default: return nil
        }
    }

    func secureBoot(_ path: String) -> Document {
        Document(
            [
                "@odata.id": .string(path), "@odata.type": "#SecureBoot.v1_0_2.SecureBoot", "Id": "SecureBoot",
                "Name": "UEFI Secure Boot", "SecureBootEnable": .bool(pendingSecureBoot ?? isSecureBootEnabled),
                "SecureBootCurrentBoot": .string(isSecureBootEnabled ? "Enabled" : "Disabled"),
                "SecureBootMode": "UserMode",
            ], methods: ["PATCH"])
    }

    func logServices(_ below: [String], _ path: String) -> Document? {
        guard below.count > 1 else {
            return .collection("LogService", path, name: "Log services", members: ["SEL"])
        }
        guard below[1] == "SEL" else { return nil }
        let path = "\(path)/SEL"
        switch below.count {
        case 2:
            return Document([
                "@odata.id": .string(path), "@odata.type": "#LogService.v1_0_4.LogService", "Id": "SEL",
                "Name": "System event log", "ServiceEnabled": true, "Status": Document.enabled,
                "MaxNumberOfRecords": .integer(Int64(SystemLog.limit)), "OverWritePolicy": "WrapsWhenFull",
                "Entries": Document.link("\(path)/Entries"),
                "Actions": ["#LogService.ClearLog": ["target": .string("\(path)/Actions/LogService.ClearLog")]],
            ])
        case 3 where below[2] == "Entries":
            var document = Document.collection(
                "LogEntry", "\(path)/Entries", name: "Log entries", members: log.entries.map { "\($0.id)" })
            // DSP0268: a log's collection holds its entries in full.
            document.json["Members"] = .array(log.entries.map { entry($0, path) })
            return document
        case 4 where below[2] == "Entries": return log.entry(below[3]).map { Document(entry($0, path)) }
        default: return nil
        }
    }

    private func entry(_ entry: SystemLog.Entry, _ path: String) -> JSON {
        [
            "@odata.id": .string("\(path)/Entries/\(entry.id)"), "@odata.type": "#LogEntry.v1_2_0.LogEntry",
            "Id": .string("\(entry.id)"), "Name": .string("Entry \(entry.id)"), "EntryType": "Event",
            "Created": .string(entry.at.description), "Severity": .string(entry.severity),
            "Message": .string(entry.message),
        ]
    }
}
