/// A stable ASCII id of a resource: a short prefix, a dash, and characters of
/// Crockford's base 32 in lower case (no i, l, o, u), as in `m-7f3k2q`.
///
/// Ids stand in URLs, host names and file names, so they are checked whenever
/// they come from outside.
public protocol ResourceID: RawRepresentable<String>, Hashable, Sendable, Codable, Comparable, CustomStringConvertible {
    /// The part before the dash.
    static var prefix: String { get }
    init(unchecked: String)
}

extension ResourceID {
    /// Nil where `rawValue` is not of this kind's form.
    public init?(rawValue: String) {
        let head = Self.prefix + "-"
        guard rawValue.hasPrefix(head), rawValue.utf8.count <= 40 else { return nil }
        let tail = rawValue.utf8.dropFirst(head.utf8.count)
        guard tail.count >= 4, tail.allSatisfy({ IDAlphabet.contains($0) }) else { return nil }
        self.init(unchecked: rawValue)
    }

    /// A fresh id with `length` random characters (5 bits each).
    public static func random(length: Int = 6, using generator: inout some RandomNumberGenerator) -> Self {
        let tail = (0..<length).map { _ in IDAlphabet.characters[Int.random(in: 0..<32, using: &generator)] }
        return Self(unchecked: "\(prefix)-" + String(decoding: tail, as: UTF8.self))
    }

    public var description: String { rawValue }
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let id = Self(rawValue: text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a \(Self.prefix)-… id: \(text)")
        }
        self = id
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

private enum IDAlphabet {
    static let characters = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)
    static let set = Set(characters)
    static func contains(_ byte: UInt8) -> Bool { set.contains(byte) }
}

/// A machine: server, DPU, GPU box, switch.
public struct MachineID: ResourceID {
    public static let prefix = "m"
    public let rawValue: String
    public init(unchecked: String) { rawValue = unchecked }
}

/// A durable operation on a machine.
public struct OperationID: ResourceID {
    public static let prefix = "op"
    public let rawValue: String
    public init(unchecked: String) { rawValue = unchecked }
}

/// A reason why nothing may be done to a machine until a person looked.
public struct HoldID: ResourceID {
    public static let prefix = "hold"
    public let rawValue: String
    public init(unchecked: String) { rawValue = unchecked }
}

/// The time for which a machine is lent to somebody.
public struct LeaseID: ResourceID {
    public static let prefix = "lease"
    public let rawValue: String
    public init(unchecked: String) { rawValue = unchecked }
}

/// An API token's public name; its secret is another string.
public struct TokenID: ResourceID {
    public static let prefix = "t"
    public let rawValue: String
    public init(unchecked: String) { rawValue = unchecked }
}
