internal import Control
internal import FoundationEssentials
internal import Glibc
public import Model
internal import Store

/// Tokens that the owner of the state directory makes without asking the server, whether it runs or not: a file each, in a
/// folder that only the owner can write to. The server takes one in at its start, or when it is first used.
///
/// A file has only the hash of the token's secret.
public struct LocalTokens: Sendable {
    private let folder: String

    public init(stateDirectory: String) { folder = stateDirectory + "/new-tokens" }

    /// Makes a token and leaves it for the server; the clear text is the caller's alone.
    public func leave(name: String, role: Role, expiresAt: Timestamp?, now: Timestamp) throws -> (token: Token, secret: String) {
        let (record, secret) = try TokenRecord.make(name: name, role: role, expiresAt: expiresAt, now: now)
        try PrivateFile.makeDirectory(folder)
        guard chmod(folder, 0o700) == 0 else { throw Problem("state-unwritable", title: "\(folder) is another user's") }
        try PrivateFile.write(try RecordCoding.encode(record), to: path(record.token.id))
        return (record.token, secret)
    }

    /// Has `keep` put one into the record, once, and then removes its file: a token that is revoked later does not come back,
    /// and one that could not be kept waits on.
    ///
    /// - Returns: whether it was kept.
    func take(_ id: TokenID, keep: (TokenRecord) async throws -> Void) async throws -> Bool {
        // Under its other name it is this caller's alone.
        guard isOurs, let bytes = try? KeyFile(path(id)).read(), let record = try? RecordCoding.decode(TokenRecord.self, from: bytes),
            record.token.id == id, rename(path(id), takenPath(id)) == 0
        else { return false }
        do {
            try await keep(record)
        } catch StoreError.conflict {
            // A kill came between the record and the file.
        } catch {
            _ = rename(takenPath(id), path(id))
            throw error
        }
        unlink(takenPath(id))
        return true
    }

    /// All that wait.
    var waiting: [TokenID] { names.sorted().compactMap { TokenID(rawValue: $0) } }

    /// Lets those wait again that a server was ended over. For a start, before anybody can use one.
    func recover() {
        guard isOurs else { return }
        for name in names where name.hasPrefix(Self.takenHead) {
            guard let id = TokenID(rawValue: String(name.dropFirst(Self.takenHead.count))) else { continue }
            _ = rename(takenPath(id), path(id))
        }
    }

    private static let takenHead = "taking-"
    private func takenPath(_ id: TokenID) -> String { "\(folder)/\(Self.takenHead)\(id.rawValue)" }
    private var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] }

    /// A folder that somebody else made, or that others may write to, says nothing.
    private var isOurs: Bool {
        var found = stat()
        return lstat(folder, &found) == 0 && found.st_mode & S_IFMT == S_IFDIR && found.st_mode & 0o022 == 0
            && (found.st_uid == geteuid() || found.st_uid == 0)
    }

    private func path(_ id: TokenID) -> String { folder + "/" + id.rawValue }
}
