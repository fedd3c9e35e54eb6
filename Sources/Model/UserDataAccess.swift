/// How often a machine may read its user-data through the metadata service.
public enum UserDataAccess: String, Codable, Sendable, CaseIterable {
    /// One whole reading; then it is gone.
    case once
    /// Until the system that it was meant for has proved that it is up. The default.
    case untilReady = "until-ready"
    case always
}

/// What is known of a machine's user-data without holding it: the bytes may be a secret, and rest apart.
public struct UserDataReference: Codable, Sendable, Equatable {
    /// `sha256:…`
    public var digest: String
    public var byteCount: Int
    public var access: UserDataAccess
    public var setAt: Timestamp
    /// When it was read, where `access` is `once`.
    public var readAt: Timestamp?

    public init(digest: String, byteCount: Int, access: UserDataAccess, setAt: Timestamp) {
        self.digest = digest
        self.byteCount = byteCount
        self.access = access
        self.setAt = setAt
    }

    /// Whether it may be read now by the machine's system.
    ///
    /// - Parameters:
    ///   - provedAt: when the machine's installation proved that it is up; nil: none has.
    ///   - isInstalling: an installation is under way.
    public func isReadable(provedAt: Timestamp?, isInstalling: Bool) -> Bool {
        switch access {
        case .always: true
        case .once: readAt == nil
        // What was set after the last proof is meant for the system that runs, or for the next.
        case .untilReady: isInstalling || provedAt.map { setAt > $0 } ?? true
        }
    }
}

/// How an installed system gets its first-boot data.
public enum DataSource: String, Codable, Sendable, CaseIterable {
    /// All of it on the disk, as a volume labelled `CIDATA`.
    case noCloud = "nocloud"
    /// From the metadata service in NoCloud's form; the disk says where.
    case noCloudHTTP = "nocloud-http"
    /// From the metadata service in EC2's form; the disk says where.
    case ec2
    /// All of it on the disk in OpenStack's form, as a volume labelled `CONFIG-2`.
    case configDrive = "config-drive"
}
