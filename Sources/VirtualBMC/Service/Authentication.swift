internal import FoundationEssentials

/// Who asks (DSP0266 §13.3).
struct Caller: Sendable {
    let account: BMCAccount
    let sessionID: String?

    func allows(_ privilege: Privilege) -> Bool { account.role.privileges.contains(privilege) }
}

extension RedfishService {
    /// By X-Auth-Token where there is one, else by HTTP Basic (RFC 7617).
    mutating func authenticated(_ request: RedfishRequest, at moment: RedfishMoment) -> Caller? {
        if let token = request.header("x-auth-token") {
            guard let index = sessions.firstIndex(where: { $0.token == token }),
                let account = accounts.first(where: { $0.id == sessions[index].accountID && $0.isEnabled })
            else { return nil }
            sessions[index].usedAtMilliseconds = moment.now.milliseconds
            return Caller(account: account, sessionID: sessions[index].id)
        }
        guard let header = request.header("authorization") else { return nil }
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "basic", let data = Data(base64Encoded: String(parts[1])),
            let pair = String(bytes: data, encoding: .utf8), let colon = pair.firstIndex(of: ":")
        else { return nil }
        return account(named: String(pair[..<colon]), password: String(pair[pair.index(after: colon)...]))
            .map { Caller(account: $0, sessionID: nil) }
    }

    private func account(named name: String, password: String) -> BMCAccount? {
        accounts.first { $0.userName == name && $0.isEnabled && $0.password == password }
    }

    /// POST to the sessions collection (DSP0266 §13.3.4).
    mutating func createSession(_ request: RedfishRequest, at moment: RedfishMoment) -> RedfishAnswer {
        guard let body = JSON(parsing: request.body), let members = body.members else {
            return .response(.error(400, .malformedJSON))
        }
        var wrong: [BaseMessage] = []
        for name in ["UserName", "Password"] {
            switch body[name] {
            case .string: break
            case let value?: wrong.append(.valueType(value, name))
            case nil: wrong.append(.propertyMissing(name))
            }
        }
        for member in members where !["UserName", "Password", "Token", "SessionType"].contains(member.name) {
            if !member.name.contains("@") { wrong.append(.propertyUnknown(member.name)) }
        }
        guard wrong.isEmpty, let name = body["UserName"]?.text, let password = body["Password"]?.text else {
            return .response(.error(400, wrong))
        }
        guard let account = account(named: name, password: password) else {
            return .response(
                .error(
                    401, .noValidSession,
                    headers: [
                        .init("WWW-Authenticate", "Basic realm=\"\(Self.realm)\"")
                    ]))
        }
        guard sessions.count < Self.sessionLimit else { return .response(.error(503, .sessionLimitExceeded)) }
        let session = BMCSession(
            id: newID(), token: moment.nonce, accountID: account.id, usedAtMilliseconds: moment.now.milliseconds)
        sessions.append(session)
        let segments = ["SessionService", "Sessions", session.id]
        guard let document = document(segments, at: moment) else { return .response(.error(500, .internalError)) }
        var response = Self.representation(document)
        response.status = 201
        response.headers += [
            .init("X-Auth-Token", session.token),
            .init("Location", Self.path(segments)),
        ]
        return .response(response)
    }

    static func path(_ segments: [String]) -> String {
        segments.isEmpty ? "\(root)/" : "\(root)/\(segments.joined(separator: "/"))"
    }
}
