/// The OData metadata document (DSP0266 §8.4.2): where the schemas of this
/// service's resources are published.
enum Metadata {
    /// Schema files with the versions that are used of them.
    static let schemas: [(name: String, versions: [String])] = [
        ("ServiceRoot", ["v1_5_0"]), ("SessionService", ["v1_1_3"]), ("SessionCollection", []), ("Session", ["v1_1_0"]),
        ("AccountService", ["v1_2_0"]), ("ManagerAccountCollection", []), ("ManagerAccount", ["v1_1_0"]),
        ("RoleCollection", []), ("Role", ["v1_1_0"]), ("ComputerSystemCollection", []),
        ("ComputerSystem", ["v1_13_0"]), ("ProcessorCollection", []), ("Processor", ["v1_3_0"]),
        ("MemoryCollection", []), ("Memory", ["v1_2_0"]), ("EthernetInterfaceCollection", []),
        ("EthernetInterface", ["v1_4_0"]), ("StorageCollection", []), ("Storage", ["v1_4_0"]), ("Drive", ["v1_4_0"]),
        ("VolumeCollection", []), ("Bios", ["v1_0_2"]), ("Settings", ["v1_0_4"]), ("SecureBoot", ["v1_0_2"]),
        ("LogServiceCollection", []), ("LogService", ["v1_0_4"]), ("LogEntryCollection", []), ("LogEntry", ["v1_2_0"]),
        ("ChassisCollection", []), ("Chassis", ["v1_9_0"]), ("Thermal", ["v1_4_0"]), ("Power", ["v1_5_0"]),
        ("SensorCollection", []), ("Sensor", ["v1_0_0"]), ("ManagerCollection", []), ("Manager", ["v1_7_0"]),
        ("ManagerNetworkProtocol", ["v1_2_0"]),
        ("VirtualMediaCollection", []), ("VirtualMedia", ["v1_3_0"]), ("UpdateService", ["v1_2_0"]),
        ("SoftwareInventoryCollection", []), ("SoftwareInventory", ["v1_1_1"]), ("TaskService", ["v1_1_0"]),
        ("TaskCollection", []), ("Task", ["v1_4_0"]), ("EventService", ["v1_1_0"]),
        ("EventDestinationCollection", []), ("EventDestination", ["v1_3_0"]), ("Event", ["v1_2_1"]),
        ("Message", ["v1_0_5"]), ("Resource", ["v1_0_0"]), ("Redundancy", []), ("IPAddresses", ["v1_0_5"]),
    ]

    static let document: String = {
        let odata = "http://docs.oasis-open.org/odata"
        var lines = [
            #"<?xml version="1.0" encoding="UTF-8"?>"#,
            #"<edmx:Edmx xmlns:edmx="\#(odata)/ns/edmx" Version="4.0">"#,
        ]
        for (name, versions) in schemas {
            lines.append(#"  <edmx:Reference Uri="http://redfish.dmtf.org/schemas/v1/\#(name)_v1.xml">"#)
            for namespace in [name] + versions.map({ "\(name).\($0)" }) {
                lines.append(#"    <edmx:Include Namespace="\#(namespace)"/>"#)
            }
            lines.append("  </edmx:Reference>")
        }
        lines += [
            #"  <edmx:Reference Uri="http://redfish.dmtf.org/schemas/v1/RedfishExtensions_v1.xml">"#,
            #"    <edmx:Include Namespace="RedfishExtensions.v1_0_0" Alias="Redfish"/>"#,
            "  </edmx:Reference>",
            "  <edmx:DataServices>",
            #"    <Schema xmlns="\#(odata)/ns/edm" Namespace="Service">"#,
            #"      <EntityContainer Name="Service" Extends="ServiceRoot.v1_5_0.ServiceContainer"/>"#,
            "    </Schema>",
            "  </edmx:DataServices>",
            "</edmx:Edmx>",
        ]
        return lines.joined(separator: "\n") + "\n"
    }()
}
