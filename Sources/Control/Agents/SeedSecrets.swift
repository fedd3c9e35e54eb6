internal import BlockIO
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

    init(for request: InstallRequest) {
        userData = request.userData
        networkConfig = request.networkConfig
        proof = SymmetricKey(size: .bits256).withUnsafeBytes { Hex.encode($0) }
    }

    static func key(_ operation: OperationID) -> String { "/secrets/seeds/" + operation.rawValue }

    func put(for operation: OperationID) throws -> Mutation {
        .put(key: Self.key(operation), value: try RecordCoding.encode(self), if: .absent)
    }
}

/// A NoCloud seed volume as it goes to the disk (cloud-init documentation, "NoCloud").
public struct SeedVolume: Sendable {
    public var bytes: [UInt8]
    /// `sha256:…` of the bytes.
    public var digest: String

    /// The same inputs always give the same bytes, so a seed can be made anew at any time.
    init(operation: Model.Operation, request: InstallRequest, secrets: SeedSecrets, callHome: String) throws {
        var files = [
            FATVolume.File(name: "meta-data", contents: try Self.metaData(operation, request)),
            FATVolume.File(name: "user-data", contents: try Self.userData(secrets)),
            FATVolume.File(name: "vendor-data", contents: Array(Self.vendorData(callHome + "/" + secrets.proof).utf8)),
        ]
        if let config = secrets.networkConfig {
            files.append(FATVolume.File(name: "network-config", contents: Array(config.utf8)))
        }
        bytes = try FATVolume(label: "CIDATA", files: files).bytes
        digest = "sha256:" + Hex.encode(SHA256.hash(data: bytes))
    }

    private static func metaData(_ operation: Model.Operation, _ request: InstallRequest) throws -> [UInt8] {
        struct MetaData: Encodable {
            var instanceID: String
            var hostname: String
            var keys: [String]
            enum CodingKeys: String, CodingKey {
                case instanceID = "instance-id"
                case hostname = "local-hostname"
                case keys = "public-keys"
            }
        }
        let data = MetaData(
            instanceID: operation.id.rawValue, hostname: request.hostname ?? operation.machine.rawValue, keys: request.sshKeys)
        // JSON is YAML, and quotes what must be quoted.
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(data))
    }

    private static func userData(_ secrets: SeedSecrets) throws -> [UInt8] {
        guard let data = secrets.userData else { return Array("#cloud-config\n{}\n".utf8) }
        return try InstallAdmission.decode(userData: data)
    }

    /// Vendor data, which the user's own data overrules: the call home at the end of
    /// cloud-init's last stage, when everything of the user's has been applied.
    private static func vendorData(_ url: String) -> String {
        """
        #cloud-config
        phone_home:
          url: \(url)
          post: [instance_id, hostname, pub_key_rsa, pub_key_ecdsa, pub_key_ed25519]
          tries: 20

        """
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
