extension RedfishService {
    func sessionService(_ rest: [String]) -> Document? {
        let path = "\(Self.root)/SessionService"
        switch rest.count {
        case 0:
            return Document(
                [
                    "@odata.id": .string(path), "@odata.type": "#SessionService.v1_1_3.SessionService",
                    "Id": "SessionService", "Name": "Session Service", "Status": Document.enabled,
                    "ServiceEnabled": true, "SessionTimeout": .integer(sessionTimeoutSeconds),
                    "Sessions": Document.link("\(path)/Sessions"),
                ], methods: ["PATCH"])
        case 1 where rest[0] == "Sessions":
            return .collection(
                "Session", "\(path)/Sessions", name: "Sessions", members: sessions.map(\.id), methods: ["POST"])
        case 2 where rest[0] == "Sessions":
            guard let session = sessions.first(where: { $0.id == rest[1] }),
                let account = accounts.first(where: { $0.id == session.accountID })
            else { return nil }
            return Document(
                [
                    "@odata.id": .string("\(path)/Sessions/\(session.id)"),
                    "@odata.type": "#Session.v1_1_0.Session", "Id": .string(session.id),
                    "Name": "Session \(session.id)", "UserName": .string(account.userName),
                ], methods: ["DELETE"])
        default: return nil
        }
    }

    func accountService(_ rest: [String]) -> Document? {
        let path = "\(Self.root)/AccountService"
        switch (rest.first, rest.count) {
        case (nil, _):
            return Document([
                "@odata.id": .string(path), "@odata.type": "#AccountService.v1_2_0.AccountService",
                "Id": "AccountService", "Name": "Account Service", "Status": Document.enabled, "ServiceEnabled": true,
                "MinPasswordLength": .integer(Int64(Self.passwordLengths.lowerBound)),
                "MaxPasswordLength": .integer(Int64(Self.passwordLengths.upperBound)),
                "Accounts": Document.link("\(path)/Accounts"), "Roles": Document.link("\(path)/Roles"),
            ])
        case ("Accounts", 1):
            return .collection(
                "ManagerAccount", "\(path)/Accounts", name: "Accounts", members: accounts.map(\.id), methods: ["POST"])
        case ("Accounts", 2): return accounts.first { $0.id == rest[1] }.map { account($0, path) }
        case ("Roles", 1):
            return .collection(
                "Role", "\(path)/Roles", name: "Roles", members: BMCAccount.Role.allCases.map(\.rawValue))
        case ("Roles", 2):
            return BMCAccount.Role(rawValue: rest[1]).map { role in
                Document([
                    "@odata.id": .string("\(path)/Roles/\(role.rawValue)"), "@odata.type": "#Role.v1_1_0.Role",
                    "Id": .string(role.rawValue), "Name": .string("\(role.rawValue) role"), "IsPredefined": true,
                    "AssignedPrivileges": .array(
                        Privilege.allCases.filter { role.privileges.contains($0) }.map { .string($0.rawValue) }),
                ])
            }
        default: return nil
        }
    }

    private func account(_ account: BMCAccount, _ path: String) -> Document {
        var document = Document(
            [
                "@odata.id": .string("\(path)/Accounts/\(account.id)"),
                "@odata.type": "#ManagerAccount.v1_1_0.ManagerAccount", "Id": .string(account.id),
                "Name": "Account \(account.id)", "UserName": .string(account.userName), "Password": nil,
                "RoleId": .string(account.role.rawValue), "Enabled": .bool(account.isEnabled), "Locked": false,
                "Links": ["Role": Document.link("\(path)/Roles/\(account.role.rawValue)")],
            ], methods: ["PATCH", "DELETE"])
        document.revision = account.revision
        return document
    }
}
