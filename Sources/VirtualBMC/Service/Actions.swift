internal import Model

/// An action of a resource (DSP0266 §7.10), as its URI names it.
struct RedfishAction: Sendable {
    let name: String
    let privilege: Privilege
}

extension RedfishService {
    static let systemActions = ["ComputerSystem.Reset"]

    /// The action at this URI, or nil where there is none.
    func action(_ segments: [String], at moment: RedfishMoment) -> RedfishAction? {
        guard segments.count >= 3, segments[segments.count - 2] == "Actions", let name = segments.last else { return nil }
        let privilege: Privilege
        switch (Array(segments.dropLast(2)), name) {
        case (["Systems", "1"], "ComputerSystem.Reset"), (["Systems", "1", "Bios"], "Bios.ResetBios"):
            privilege = .configureComponents
        case (["Systems", "1", "LogServices", "SEL"], "LogService.ClearLog"), (["Managers", "1"], "Manager.Reset"),
            (["Managers", "1", "VirtualMedia", "Cd"], "VirtualMedia.InsertMedia"),
            (["Managers", "1", "VirtualMedia", "Cd"], "VirtualMedia.EjectMedia"),
            (["UpdateService"], "UpdateService.SimpleUpdate"), (["EventService"], "EventService.SubmitTestEvent"):
            privilege = .configureManager
        default: return nil
        }
        return RedfishAction(name: name, privilege: privilege)
    }

    mutating func perform(_ action: RedfishAction, _ request: RedfishRequest, at moment: RedfishMoment) -> RedfishAnswer {
        guard let body = request.body.isEmpty ? .object([]) : JSON(parsing: request.body) else {
            return .response(.error(400, .malformedJSON))
        }
        guard body.members != nil else { return .response(.error(400, .unrecognizedBody)) }
        let short = String(action.name.drop { $0 != "." }.dropFirst())
        switch action.name {
        case "ComputerSystem.Reset":
            guard let asked = body["ResetType"] else { return .response(.error(400, .parameterMissing(short, "ResetType"))) }
            if let wrong = unknown(body, ["ResetType"], short) { return wrong }
            guard let text = asked.text else { return .response(.error(400, .parameterType(asked, "ResetType", short))) }
            guard let type = ResetType(rawValue: text) else {
                return .response(.error(400, .parameterFormat(asked, "ResetType", short)))
            }
            return .perform(.power(type), then: .noContent)
        case "Manager.Reset":
            if let wrong = unknown(body, ["ResetType"], short) { return wrong }
            if let asked = body["ResetType"], !["GracefulRestart", "ForceRestart"].contains(asked.text) {
                return .response(.error(400, .parameterFormat(asked, "ResetType", short)))
            }
            sessions = []
            subscriptions = []
            log.add("The BMC was restarted.", at: moment.now)
            return .response(.noContent)
        case "Bios.ResetBios":
            for (name, value) in BiosAttributes.defaults { pendingBios[name] = bios[name] == value ? nil : value }
            return .response(.noContent)
        case "LogService.ClearLog":
            if let wrong = unknown(body, ["LogEntriesETag"], short) { return wrong }
            log.clear(at: moment.now)
            return .response(.noContent)
        case "VirtualMedia.InsertMedia": return insertMedia(body, short)
        case "VirtualMedia.EjectMedia":
            if let wrong = unknown(body, [], short) { return wrong }
            return media == nil ? .response(.noContent) : .perform(.eject, then: .noContent)
        case "UpdateService.SimpleUpdate": return simpleUpdate(body, short, at: moment)
        case "EventService.SubmitTestEvent":
            addEvent(
                body["EventType"]?.text ?? "Alert", body["Message"]?.text ?? "This is a test.",
                severity: "OK", origin: "EventService", at: moment.now)
            return .response(.noContent)
        default: return .response(.error(400, .actionNotSupported(short)))
        }
    }

    private func insertMedia(_ body: JSON, _ short: String) -> RedfishAnswer {
        guard let image = body["Image"] else { return .response(.error(400, .parameterMissing(short, "Image"))) }
        let known = [
            "Image", "Inserted", "WriteProtected", "UserName", "Password", "TransferProtocolType", "TransferMethod",
        ]
        if let wrong = unknown(body, known, short) { return wrong }
        guard let uri = image.text else { return .response(.error(400, .parameterType(image, "Image", short))) }
        guard ["http://", "https://"].contains(where: { uri.lowercased().hasPrefix($0) }) else {
            return .response(.error(400, .parameterFormat(image, "Image", short)))
        }
        for name in ["Inserted", "WriteProtected"] {
            // The drive is a CD's: an image goes in, and cannot be written.
            if let value = body[name], value.flag != true {
                return .response(.error(400, .parameterFormat(value, name, short)))
            }
        }
        guard media == nil else { return .response(.error(409, .resourceInUse)) }
        return .perform(
            .insert(
                VirtualMediaImage(uri: uri, userName: body["UserName"]?.text, password: body["Password"]?.text)),
            then: .noContent)
    }

    private mutating func simpleUpdate(_ body: JSON, _ short: String, at moment: RedfishMoment) -> RedfishAnswer {
        guard let image = body["ImageURI"] else { return .response(.error(400, .parameterMissing(short, "ImageURI"))) }
        let known = ["ImageURI", "TransferProtocol", "Targets", "Username", "Password"]
        if let wrong = unknown(body, known, short) { return wrong }
        guard let uri = image.text, uri.contains("://") else {
            return .response(.error(400, .parameterFormat(image, "ImageURI", short)))
        }
        guard tasks.allSatisfy({ $0.isDone(at: moment.now) }) else { return .response(.error(503, .resourceInUse)) }
        // All are done; the oldest gives way.
        if tasks.count >= 10 { tasks.removeFirst() }
        let id = newID()
        let task = UpdateTask(
            id: id, imageURI: uri, startedAt: moment.now, takes: updateTakes, version: "1.\(id).0")
        tasks.append(task)
        log.add("Firmware update from \(uri) began.", at: moment.now)
        return .response(taskResponse(task, at: moment))
    }

    /// DSP0266 §7.12: 202 with the monitor's place.
    func taskResponse(_ task: UpdateTask, at moment: RedfishMoment) -> RedfishResponse {
        .json(
            taskJSON(task, at: moment.now), status: 202,
            headers: [
                .init("Location", "\(Self.root)/TaskService/TaskMonitors/\(task.id)"), .init("Retry-After", "1"),
            ])
    }

    private func unknown(_ body: JSON, _ known: [String], _ action: String) -> RedfishAnswer? {
        let strange = (body.members ?? []).filter { !known.contains($0.name) && !$0.name.contains("@") }
        guard !strange.isEmpty else { return nil }
        return .response(.error(400, strange.map { .parameterUnknown(action, $0.name) }))
    }
}
