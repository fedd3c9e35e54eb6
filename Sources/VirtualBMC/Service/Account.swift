/// Somebody who may log in.
public struct BMCAccount: Hashable, Sendable {
    /// The three roles of DSP0266 §13.2 with their privileges.
    public enum Role: String, Hashable, Sendable, CaseIterable {
        case administrator = "Administrator"
        case `operator` = "Operator"
        case readOnly = "ReadOnly"

        var privileges: Set<Privilege> {
            switch self {
            case .administrator: Set(Privilege.allCases)
            case .operator: [.login, .configureComponents, .configureSelf]
            case .readOnly: [.login, .configureSelf]
            }
        }
    }

    public var id: String
    public var userName: String
    public var password: String
    public var role: Role
    public var isEnabled = true
    /// Counts the changes of the password.
    var revision = 0

    public init(id: String, userName: String, password: String, role: Role) {
        self.id = id
        self.userName = userName
        self.password = password
        self.role = role
    }
}

/// Privileges.PrivilegeType of the DMTF.
enum Privilege: String, Hashable, Sendable, CaseIterable {
    case login = "Login"
    case configureManager = "ConfigureManager"
    case configureUsers = "ConfigureUsers"
    case configureSelf = "ConfigureSelf"
    case configureComponents = "ConfigureComponents"
}

/// A session by X-Auth-Token.
struct BMCSession: Hashable, Sendable {
    let id: String
    let token: String
    let accountID: String
    /// Milliseconds since 1970, of the last request.
    var usedAtMilliseconds: Int64
}
