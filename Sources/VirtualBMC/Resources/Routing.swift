extension RedfishService {
    /// The resource at a path below `/redfish/v1`, or nil where there is none.
    func document(_ segments: [String], at moment: RedfishMoment) -> Document? {
        let rest = Array(segments.dropFirst())
        return switch segments.first {
        case nil: serviceRoot
        case "odata": rest.isEmpty ? odata : nil
        case "$metadata": rest.isEmpty ? Document(xml: Metadata.document) : nil
        case "SessionService": sessionService(rest)
        case "AccountService": accountService(rest)
        case "Systems": systems(rest, at: moment)
        case "Chassis": chassis(rest, at: moment)
        case "Managers": managers(rest, at: moment)
        case "UpdateService": updateService(rest, at: moment)
        case "TaskService": taskService(rest, at: moment)
        case "EventService": eventService(rest)
        default: nil
        }
    }

    private var serviceRoot: Document {
        func link(_ name: String) -> JSON { Document.link("\(Self.root)/\(name)") }
        return Document([
            "@odata.id": "/redfish/v1/", "@odata.type": "#ServiceRoot.v1_5_0.ServiceRoot", "Id": "RootService",
            "Name": "Root Service", "RedfishVersion": "1.6.0", "UUID": .string(inventory.managerUUID),
            "Vendor": "Hostler", "Product": "Hostler virtual BMC",
            "ProtocolFeaturesSupported": [
                "ExpandQuery": ["ExpandAll": false, "Levels": false, "Links": false, "NoLinks": false],
                "FilterQuery": false, "SelectQuery": false,
            ],
            "Systems": link("Systems"), "Chassis": link("Chassis"), "Managers": link("Managers"),
            "Tasks": link("TaskService"), "SessionService": link("SessionService"),
            "AccountService": link("AccountService"), "EventService": link("EventService"),
            "UpdateService": link("UpdateService"), "Links": ["Sessions": link("SessionService/Sessions")],
        ])
    }

    /// The OData service document (DSP0266 §8.4.3).
    private var odata: Document {
        let names = [
            "Systems", "Chassis", "Managers", "SessionService", "AccountService", "EventService", "UpdateService",
        ]
        let paths = [("Service", "")] + names.map { ($0, $0) } + [("Tasks", "TaskService")]
        let services = paths.map { (name, path) -> JSON in
            [
                "name": .string(name), "kind": "Singleton",
                "url": .string(path.isEmpty ? "/redfish/v1/" : "\(Self.root)/\(path)"),
            ]
        }
        return Document([
            "@odata.context": "/redfish/v1/$metadata",
            "value": .array(services),
        ])
    }
}
