/// Why a requested file name is no path below the root.
public enum TFTPPathError: Error, Equatable, Sendable, CustomStringConvertible {
    case empty
    case tooLong(bytes: Int)
    /// It has a `..` in it.
    case leavesRoot
    case controlCharacter

    public var description: String {
        switch self {
        case .empty: "empty file name"
        case .tooLong(let count): "file name of \(count) bytes; at most \(TFTPRequest.maximumNameBytes)"
        case .leavesRoot: "file name with .. in it"
        case .controlCharacter: "file name with a control character in it"
        }
    }
}

/// A requested file name, made a relative path that stays below the root:
/// `/boot\ipxe.efi` is `boot/ipxe.efi`.
public struct TFTPPath: Hashable, Sendable, CustomStringConvertible {
    /// At least one; none is empty, `.` or `..`, none has a separator.
    public let components: [String]

    public init(_ requested: String) throws(TFTPPathError) {
        guard requested.utf8.count <= TFTPRequest.maximumNameBytes else {
            throw .tooLong(bytes: requested.utf8.count)
        }
        var name = requested[...]
        // Some firmware takes the end mark of the DHCP options (0xff) for a part of the file's name.
        while name.unicodeScalars.last == "\u{fffd}" { name.unicodeScalars.removeLast() }
        guard name.unicodeScalars.allSatisfy({ $0.value >= 0x20 && !(0x7f..<0xa0).contains($0.value) }) else {
            throw .controlCharacter
        }
        // By scalar: a combining mark after a separator must not hide it. Windows-like firmware writes "\".
        components = name.unicodeScalars.split { $0 == "/" || $0 == "\\" }.map { String($0) }.filter { $0 != "." }
        guard !components.contains("..") else { throw .leavesRoot }
        guard !components.isEmpty else { throw .empty }
    }

    /// Joined by `/`, without one at the start.
    public var description: String { components.joined(separator: "/") }
}
