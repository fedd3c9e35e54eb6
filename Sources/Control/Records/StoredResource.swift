public import Model

/// A resource that the store keeps as JSON under its own key.
public protocol StoredResource: Codable, Sendable, Identifiable {
    /// Ends with a slash.
    static var prefix: String { get }
    var key: String { get }
}

/// Machines and operations share a prefix, so that one watch sees both change together.
public enum RackKeys {
    public static let prefix = "/rack/"
}

extension Machine: StoredResource {
    public static let prefix = "/rack/machines/"
    public var key: String { Self.prefix + id.rawValue }
}

extension Model.Operation: StoredResource {
    public static let prefix = "/rack/operations/"
    public var key: String { Self.prefix + id.rawValue }
}

extension Event: StoredResource {
    public static let prefix = "/events/"
    public var key: String { Self.prefix + id }
}
