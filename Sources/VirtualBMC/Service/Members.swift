internal import Model

extension RedfishService {
    /// POST to a collection.
    mutating func create(
        _ segments: [String], _ request: RedfishRequest, _ caller: Caller, at moment: RedfishMoment
    ) -> RedfishAnswer {
        guard segments == ["AccountService", "Accounts"] else { return notAllowed("GET, HEAD") }
        guard caller.allows(.configureUsers) else { return forbidden }
        guard let body = JSON(parsing: request.body) else { return .response(.error(400, .malformedJSON)) }
        guard let members = body.members else { return .response(.error(400, .unrecognizedBody)) }
        var wrong = ["UserName", "Password", "RoleId"].filter { body[$0] == nil }.map { BaseMessage.propertyMissing($0) }
        let known = ["UserName", "Password", "RoleId", "Enabled", "AccountTypes"]
        for member in members where !member.name.contains("@") {
            if !known.contains(member.name) { wrong.append(.propertyUnknown(member.name)) }
        }
        guard wrong.isEmpty else { return .response(.error(400, wrong)) }
        guard let name = body["UserName"]?.text, Self.isUserName(name) else {
            return .response(.error(400, .valueFormat(body["UserName"] ?? .null, "UserName")))
        }
        guard let password = body["Password"]?.text, Self.passwordLengths.contains(password.utf8.count) else {
            return .response(.error(400, .valueFormat("******", "Password")))
        }
        guard let role = BMCAccount.Role(rawValue: body["RoleId"]?.text ?? "") else {
            return .response(.error(400, .notInList(body["RoleId"] ?? .null, "RoleId")))
        }
        guard !accounts.contains(where: { $0.userName == name }) else {
            return .response(.error(400, .alreadyExists("ManagerAccount", "UserName", name)))
        }
        guard accounts.count < Self.accountLimit else { return .response(.error(400, .createLimitReached)) }
        var account = BMCAccount(id: newAccountID(), userName: name, password: password, role: role)
        account.isEnabled = body["Enabled"]?.flag ?? true
        accounts.append(account)
        let path = segments + [account.id]
        guard let document = document(path, at: moment) else { return .response(.error(500, .internalError)) }
        var response = Self.representation(document)
        response.status = 201
        response.headers.append(.init("Location", Self.path(path)))
        return .response(response)
    }

    /// Accounts have slots, as on most BMCs: the first free one.
    private func newAccountID() -> String {
        (1...Self.accountLimit + 1).map { "\($0)" }.first { id in !accounts.contains { $0.id == id } } ?? "0"
    }

    mutating func delete(_ segments: [String], _ caller: Caller) -> RedfishAnswer {
        let id = segments.last ?? ""
        switch segments.first {
        case "SessionService":
            guard
                caller.sessionID == id || caller.allows(.configureManager)
                    || sessions.contains(where: { $0.id == id && $0.accountID == caller.account.id })
            else { return forbidden }
            sessions.removeAll { $0.id == id }
        case "AccountService":
            guard caller.allows(.configureUsers) else { return forbidden }
            // Somebody must be able to come back.
            let rest = accounts.filter { $0.id != id && $0.isEnabled && $0.role == .administrator }
            guard !rest.isEmpty else {
                return .response(
                    .error(
                        405, .resourceCannotBeDeleted,
                        headers: [
                            .init("Allow", "GET, HEAD, PATCH")
                        ]))
            }
            accounts.removeAll { $0.id == id }
            sessions.removeAll { $0.accountID == id }
        case "EventService":
            guard caller.allows(.configureManager) else { return forbidden }
            subscriptions.removeAll { $0 == id }
        case "TaskService":
            guard caller.allows(.configureManager) else { return forbidden }
            tasks.removeAll { $0.id == id }
        default: return notAllowed("GET, HEAD")
        }
        return .response(.noContent)
    }
}
