internal import Model

extension RedfishService {
    func updateService(_ rest: [String], at moment: RedfishMoment) -> Document? {
        let path = "\(Self.root)/UpdateService"
        switch (rest.first, rest.count) {
        case (nil, _):
            return Document([
                "@odata.id": .string(path), "@odata.type": "#UpdateService.v1_2_0.UpdateService",
                "Id": "UpdateService", "Name": "Update Service", "Status": Document.enabled, "ServiceEnabled": true,
                "FirmwareInventory": Document.link("\(path)/FirmwareInventory"),
                "Actions": [
                    "#UpdateService.SimpleUpdate": ["target": .string("\(path)/Actions/UpdateService.SimpleUpdate")]
                ],
            ])
        case ("FirmwareInventory", 1):
            return .collection(
                "SoftwareInventory", "\(path)/FirmwareInventory", name: "Firmware", members: ["BMC", "BIOS"])
        case ("FirmwareInventory", 2) where ["BMC", "BIOS"].contains(rest[1]):
            let isBMC = rest[1] == "BMC"
            return Document([
                "@odata.id": .string("\(path)/FirmwareInventory/\(rest[1])"),
                "@odata.type": "#SoftwareInventory.v1_1_1.SoftwareInventory", "Id": .string(rest[1]),
                "Name": .string("\(rest[1]) firmware"), "Updateable": .bool(isBMC),
                "Version": .string(isBMC ? managerVersion(at: moment.now) : inventory.firmwareVersion),
                "Status": Document.enabled,
            ])
        default: return nil
        }
    }

    // MARK: Tasks

    func taskService(_ rest: [String], at moment: RedfishMoment) -> Document? {
        let path = "\(Self.root)/TaskService"
        switch (rest.first, rest.count) {
        case (nil, _):
            return Document([
                "@odata.id": .string(path), "@odata.type": "#TaskService.v1_1_0.TaskService", "Id": "TaskService",
                "Name": "Task Service", "Status": Document.enabled, "ServiceEnabled": true,
                "Tasks": Document.link("\(path)/Tasks"),
            ])
        case ("Tasks", 1): return .collection("Task", "\(path)/Tasks", name: "Tasks", members: tasks.map(\.id))
        case ("Tasks", 2):
            return tasks.first { $0.id == rest[1] }.map {
                Document(taskJSON($0, at: moment.now), methods: $0.isDone(at: moment.now) ? ["DELETE"] : [])
            }
        case ("TaskMonitors", 2): return tasks.first { $0.id == rest[1] }.map { Document(taskJSON($0, at: moment.now)) }
        default: return nil
        }
    }

    func taskJSON(_ task: UpdateTask, at now: Timestamp) -> JSON {
        let isDone = task.isDone(at: now)
        let path = "\(Self.root)/TaskService/Tasks/\(task.id)"
        var json: JSON = [
            "@odata.id": .string(path), "@odata.type": "#Task.v1_4_0.Task", "Id": .string(task.id),
            "Name": "Firmware update", "TaskState": .string(isDone ? "Completed" : "Running"), "TaskStatus": "OK",
            "StartTime": .string(task.startedAt.description), "PercentComplete": .integer(Int64(task.percent(at: now))),
            "TaskMonitor": .string("\(Self.root)/TaskService/TaskMonitors/\(task.id)"),
            "Messages": .array(isDone ? [BaseMessage.success.json] : []),
        ]
        if isDone { json["EndTime"] = .string((task.startedAt + task.takes).description) }
        return json
    }

    // MARK: Events

    func eventService(_ rest: [String]) -> Document? {
        let path = "\(Self.root)/EventService"
        switch (rest.first, rest.count) {
        case (nil, _):
            return Document([
                "@odata.id": .string(path), "@odata.type": "#EventService.v1_1_0.EventService", "Id": "EventService",
                "Name": "Event Service", "Status": Document.enabled, "ServiceEnabled": true,
                "EventTypesForSubscription": ["StatusChange", "Alert"],
                "ServerSentEventUri": .string("\(path)/SSE"),
                "Subscriptions": Document.link("\(path)/Subscriptions"),
                "Actions": [
                    "#EventService.SubmitTestEvent": [
                        "target": .string("\(path)/Actions/EventService.SubmitTestEvent")
                    ]
                ],
            ])
        case ("SSE", 1): return Document(["Name": "Server-sent events"])
        case ("Subscriptions", 1):
            return .collection(
                "EventDestination", "\(path)/Subscriptions", name: "Event subscriptions", members: subscriptions)
        case ("Subscriptions", 2):
            guard subscriptions.contains(rest[1]) else { return nil }
            return Document(
                [
                    "@odata.id": .string("\(path)/Subscriptions/\(rest[1])"),
                    "@odata.type": "#EventDestination.v1_3_0.EventDestination", "Id": .string(rest[1]),
                    "Name": .string("Listener \(rest[1])"), "SubscriptionType": "SSE", "Protocol": "Redfish",
                    "Context": .string("listener \(rest[1])"), "Destination": nil,
                ], methods: ["DELETE"])
        default: return nil
        }
    }
}
