internal import Crypto
internal import FoundationEssentials
internal import Wire
internal import Model
internal import Store
internal import Synchronization

/// What only an installation's seed needs, kept apart from the operation
/// because it may hold secrets: deleted when the operation ends.
struct SeedSecrets: Codable, Sendable {
    var userData: Base64Bytes?
    var networkConfig: String?
    /// What the installed system proves itself with when it calls home; random, once.
    var proof: String
    /// What the installed system proves itself with to the metadata service. A record of before keys were random has none.
    var keys: InstallationKeys?
    /// How often the user-data may be read from the metadata service; nil: until the operation ends.
    var access: UserDataAccess?
    /// When it was, where it may be once.
    var readAt: Timestamp?

    init(for request: InstallRequest, of machine: MachineID, access: UserDataAccess? = nil) {
        self.access = access
        keys = .random(for: machine)
        userData = request.userData
        networkConfig = request.networkConfig
        proof = SymmetricKey(size: .bits256).withUnsafeBytes { Hex.encode($0) }
    }

    static let prefix = "/secrets/seeds/"
    static func key(_ operation: OperationID) -> String { prefix + operation.rawValue }

    func put(for operation: OperationID) throws -> Mutation {
        .put(key: Self.key(operation), value: try RecordCoding.encode(self), if: .absent)
    }
}

/// The seeds made last, since an agent asks for the digest first and the bytes after.
final class SeedCache: Sendable {
    private static let limit = 8
    private let seeds = Mutex<[(key: String, seed: SeedVolume)]>([])

    func seed(_ key: String, make: () throws -> SeedVolume) rethrows -> SeedVolume {
        if let found = seeds.withLock({ $0.first { $0.key == key }?.seed }) { return found }
        let made = try make()
        seeds.withLock {
            $0.append((key, made))
            if $0.count > Self.limit { $0.removeFirst() }
        }
        return made
    }
}
