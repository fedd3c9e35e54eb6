internal import Crypto
internal import FoundationEssentials
public import Model
internal import Store
internal import Wire

/// What of a machine's metadata people may change.
public struct UserDataPatch: Codable, Sendable {
    /// Nil takes the user-data away.
    public var content: Base64Bytes?
    public var access: UserDataAccess?
    public init(content: Base64Bytes?, access: UserDataAccess? = nil) {
        self.content = content
        self.access = access
    }
}

extension MachinePatch {
    static let tagLimit = 50

    /// Changes what the machine's metadata says, and returns what is to be written beside the machine.
    func applyMetadata(to machine: inout Machine, now: Timestamp) throws -> [Mutation] {
        for (key, value) in tags ?? [:] {
            // What EC2 allows in a key that stands in a path.
            guard (1...128).contains(key.utf8.count), key != ".", key != "..", key.utf8.allSatisfy(Self.isTagByte) else {
                throw Problem(
                    "tag-invalid", status: 422, title: "“\(key.prefix(40))” cannot be a tag's key",
                    remedy: "Use 1 to 128 of letters, digits and + - = . , _ : @ — it stands in a URL.")
            }
            if let value, value.utf8.count > 256 || value.unicodeScalars.contains(where: { $0.value < 32 || $0.value == 127 }) {
                throw Problem(
                    "tag-invalid", status: 422, title: "The value of tag “\(key)” is too long or has a control character",
                    remedy: "Values have at most 256 bytes, in one line.")
            }
            machine.desired.tags[key] = value
        }
        guard machine.desired.tags.count <= Self.tagLimit else {
            throw Problem("tags-too-many", status: 422, title: "More than \(Self.tagLimit) tags", remedy: "Take some away: --tag KEY-")
        }
        if let sshKeys {
            try InstallAdmission.check(keys: sshKeys)
            machine.desired.sshKeys = sshKeys
        }
        if let network {
            if network == NetworkConfig() {
                machine.desired.network = nil
            } else {
                try network.check(macs: machine.interfaces.isEmpty ? nil : Set(machine.allInterfaces.map(\.mac)))
                machine.desired.network = network
            }
        }
        guard let userData else { return [] }
        guard let content = userData.content else {
            machine.desired.userData = nil
            return [.delete(key: StoredUserData.key(machine.id), if: .none)]
        }
        let bytes = try InstallAdmission.decode(userData: content)
        try UserDataAdmission.check(bytes)
        let digest = "sha256:" + Hex.encode(SHA256.hash(data: bytes))
        machine.desired.userData = UserDataReference(
            digest: digest, byteCount: bytes.count, access: userData.access ?? .untilReady, setAt: now)
        let value = try RecordCoding.encode(StoredUserData(userData: content))
        return [.put(key: StoredUserData.key(machine.id), value: value, if: .none)]
    }

    private static func isTagByte(_ byte: UInt8) -> Bool {
        (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || "+-=.,_:@".utf8.contains(byte)
    }
}
