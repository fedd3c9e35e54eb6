internal import Crypto
internal import FoundationEssentials
internal import Model
internal import Wire

/// The keys that a system is installed with: random, on its own disk, and in the store only as long as its seed may have
/// to be made anew. What stays is what checks them.
struct InstallationKeys: Codable, Sendable, Equatable {
    /// What only root of the installed system is given. It names the machine: behind a router there may be nothing else that does.
    var instance: String
    /// What its first-boot data is fetched with. It opens user-data and the like, and no identity: cloud-init writes the
    /// URLs that it used where every local user can read them.
    var seed: String

    static func random(for machine: MachineID) -> InstallationKeys {
        func key() -> String { "\(machine)." + SymmetricKey(size: .bits256).withUnsafeBytes { Hex.encode($0) } }
        return InstallationKeys(instance: key(), seed: key())
    }

    /// Those that versions before keys were random computed from the boot secret of their store. Only a migration needs them.
    static func derived(from bootSecret: [UInt8], machine: MachineID, operation: OperationID) -> InstallationKeys {
        let derived = HMAC<SHA256>.authenticationCode(for: Array("metadata".utf8), using: SymmetricKey(data: bootSecret))
        let code = SymmetricKey(data: derived)
        func key(_ purpose: String) -> String {
            "\(machine)." + Hex.encode(HMAC<SHA256>.authenticationCode(for: Array("\(purpose)|\(machine)|\(operation)".utf8), using: code))
        }
        return InstallationKeys(instance: key("instance-key"), seed: key("seed-key"))
    }

    var verifiers: KeyVerifiers { KeyVerifiers(instance: Self.verifier(instance), seed: Self.verifier(seed)) }

    private static func verifier(_ key: String) -> String { Hex.encode(SHA256.hash(data: Array(key.utf8))) }
}
