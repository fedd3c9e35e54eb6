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

    /// Takes one out of the folder. Once it is read its file is gone: a token that is revoked later does not come back.
    func take(_ id: TokenID) -> TokenRecord? {
        guard isOurs, let bytes = try? KeyFile(path(id)).read(), let record = try? RecordCoding.decode(TokenRecord.self, from: bytes),
            record.token.id == id, unlink(path(id)) == 0
        else { return nil }
        return record
    }

    /// All that wait.
    func takeAll() -> [TokenRecord] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.sorted().compactMap { TokenID(rawValue: $0).flatMap(take) }
    }

    /// A folder that somebody else made, or that others may write to, says nothing.
    private var isOurs: Bool {
        var found = stat()
        return lstat(folder, &found) == 0 && found.st_mode & S_IFMT == S_IFDIR && found.st_mode & 0o022 == 0
            && (found.st_uid == geteuid() || found.st_uid == 0)
    }

    private func path(_ id: TokenID) -> String { folder + "/" + id.rawValue }
}
