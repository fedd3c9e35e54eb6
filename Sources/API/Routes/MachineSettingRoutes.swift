internal import Hummingbird
internal import Model

/// Firmware settings, Secure Boot, virtual media, firmware updates.
enum MachineSettingRoutes {
    static let routes: [Route] = [
        Route(
            method: .get, path: "/v1/machines/{machine}/bios", name: "getFirmwareSettings",
            summary: "The settings of a machine's firmware, and what the next start changes, read now", access: .role(.viewer),
            reply: .json("FirmwareSettings")
        ) { call in try .json(await BMCRoutes.bmcs(call).firmwareSettings(machine: call.path("machine"))) },
        Route(
            method: .post, path: "/v1/machines/{machine}/bios", name: "stageFirmwareSettings",
            summary: "Stage settings for the machine's next start, and read them back", access: .role(.operator),
            body: "FirmwareSettingsChange", reply: .json("FirmwareSettings"), stopsInFreeze: true
        ) { call in
            let change = try await call.body(FirmwareSettingsChange.self)
            return try .json(await BMCRoutes.bmcs(call).stage(change.attributes, machine: call.path("machine"), by: call.actor))
        },
        Route(
            method: .get, path: "/v1/machines/{machine}/secure-boot", name: "getSecureBoot", summary: "Whether Secure Boot is on, read now",
            access: .role(.viewer), reply: .json("SecureBoot")
        ) { call in try .json(await BMCRoutes.bmcs(call).secureBoot(machine: call.path("machine"))) },
        Route(
            method: .post, path: "/v1/machines/{machine}/secure-boot", name: "setSecureBoot",
            summary: "Switch Secure Boot from the next start on, and read it back", access: .role(.operator), body: "SecureBoot",
            reply: .json("SecureBoot"), stopsInFreeze: true
        ) { call in
            let wanted = try await call.body(SecureBootSetting.self)
            return try .json(await BMCRoutes.bmcs(call).setSecureBoot(wanted, machine: call.path("machine"), by: call.actor))
        },
        Route(
            method: .post, path: "/v1/machines/{machine}/media", name: "insertMedia",
            summary: "Put an image by URL into a machine's virtual drive, and read back that it is there", access: .role(.operator),
            body: "MediaRequest", reply: .none, stopsInFreeze: true
        ) { call in
            let request = try await call.body(MediaRequest.self)
            try await BMCRoutes.bmcs(call).setMedia(request.image, machine: call.path("machine"), by: call.actor)
            return .nothing
        },
        Route(
            method: .delete, path: "/v1/machines/{machine}/media", name: "ejectMedia", summary: "Empty a machine's virtual drive",
            access: .role(.operator), reply: .none, stopsInFreeze: true
        ) { call in
            try await BMCRoutes.bmcs(call).setMedia(nil, machine: call.path("machine"), by: call.actor)
            return .nothing
        },
        Route(
            method: .get, path: "/v1/machines/{machine}/firmware-update", name: "getFirmwareUpdate",
            summary: "The last firmware update of a machine since the server started", access: .role(.viewer), reply: .json("FirmwareUpdate")
        ) { call in try .json(await BMCRoutes.bmcs(call).firmwareUpdate(machine: call.path("machine"))) },
        Route(
            method: .post, path: "/v1/machines/{machine}/firmware-update", name: "updateFirmware",
            summary: "Have the BMC fetch firmware and put it in; answers once that is under way", access: .role(.admin),
            body: "FirmwareUpdateRequest", reply: .json("FirmwareUpdate", status: .accepted), stopsInFreeze: true,
            foresee: { call in try await call.consequence(of: .updateFirmware(from: call.body(FirmwareUpdateRequest.self).url)) }
        ) { call in
            let request = try await call.body(FirmwareUpdateRequest.self)
            let update = try await BMCRoutes.bmcs(call).updateFirmware(
                from: request.url, targets: request.targets ?? [], machine: call.path("machine"), by: call.actor)
            return try .json(update, status: .accepted)
        },
        Route(
            method: .put, path: "/v1/machines/{machine}/firmware-update", name: "pushFirmware",
            summary: "Give the BMC a firmware file, the body, and have it put in; answers once that is under way", access: .role(.admin),
            query: [
                .init(name: "name", summary: "The file's name, by which the BMC may know it."),
                .init(name: "target", summary: "A path of the BMC's firmware inventory; without it the BMC chooses."),
            ], bodyLimit: 256 << 20, reply: .json("FirmwareUpdate", status: .accepted), stopsInFreeze: true,
            foresee: { call in try await call.consequence(of: .updateFirmware(from: call.query("name") ?? "a file")) }
        ) { call in
            guard let name = call.query("name") else {
                throw Problem("query-missing", title: "The file's name is missing", remedy: "Add ?name=FILE.")
            }
            let update = try await BMCRoutes.bmcs(call).pushFirmware(
                call.bytes(), named: name, targets: call.query("target").map { [$0] } ?? [], machine: call.path("machine"), by: call.actor)
            return try .json(update, status: .accepted)
        },
    ]
}

struct FirmwareSettingsChange: RequestBodyForm {
    static let fields = ["attributes"]
    var attributes: [String: SettingValue]
}

extension SecureBootSetting: RequestBodyForm {
    static let fields = ["enabled"]
}

struct MediaRequest: RequestBodyForm {
    static let fields = ["image"]
    var image: String
}

struct FirmwareUpdateRequest: RequestBodyForm {
    static let fields = ["url", "targets"]
    var url: String
    var targets: [String]?
}

extension Schemas {
    static let machineSettings: [String: JSONValue] = [
        "FirmwareSettings": object(["attributes": map(of: settingValue), "staged": map(of: settingValue)]),
        "FirmwareSettingsChange": object(["attributes": map(of: settingValue)]),
        "SecureBoot": object(["enabled": boolean]),
        "MediaRequest": object(["image": text]),
        "FirmwareUpdateRequest": object(["url": text], optional: ["targets": list(text)]),
        "FirmwareUpdate": object(
            ["url": text, "state": words(FirmwareUpdate.State.self), "startedAt": time, "messages": list(text)],
            optional: ["endedAt": time, "percent": integer, "problem": reference("ProblemRecord")]),
    ]
    private static let settingValue: JSONValue = ["type": ["string", "number", "boolean", "null"]]
}
