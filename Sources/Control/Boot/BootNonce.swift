public import Model
public import Wire
internal import Crypto
internal import FoundationEssentials

/// Makes and checks what a boot script may carry: a nonce that one machine can
/// spend once, within minutes, for a session of its agent.
///
/// A nonce is `expiry.random.tag` where the tag is HMAC-SHA-256 over expiry,
/// random part and MAC address. So handing one out writes nothing to the store;
/// that it was spent is recorded by ``ControlPlane``.
public struct BootNonces: Sendable {
    /// How long a nonce may be spent: a boot over a slow network, no more.
    public static let lifetime: Duration = .seconds(900)
    /// The codes of what is wrong with a nonce, and with nothing else of who shows it.
    public static let refusals: Set<String> = ["nonce-invalid", "nonce-expired", "nonce-spent"]
    private let key: SymmetricKey

    /// What a nonce may be spent on.
    enum Purpose: String {
        /// A session of the agent.
        case agent = "nonce"
        /// A system's raw configuration.
        case config
    }

    /// `secret`: 32 random bytes that the store keeps.
    public init(secret: [UInt8]) { key = SymmetricKey(data: secret) }

    public func make(for mac: MACAddress, now: Timestamp) -> String { make(for: mac, purpose: .agent, now: now) }

    func make(for mac: MACAddress, purpose: Purpose, now: Timestamp) -> String {
        var generator = SystemRandomNumberGenerator()
        let random = (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let expiry = String((now + Self.lifetime).milliseconds, radix: 16)
        return "\(expiry).\(Hex.encode(random)).\(tag(purpose, expiry: expiry, random: Hex.encode(random), mac: mac))"
    }

    /// The nonce's name in the record of spent ones, and when it may be forgotten.
    ///
    /// - Parameter mayBeOld: it was spent in time, and is shown again by the boot that spent it.
    func check(
        _ nonce: String, mac: MACAddress, purpose: Purpose = .agent, now: Timestamp, mayBeOld: Bool = false
    ) throws(Problem) -> (name: String, expires: Timestamp) {
        let parts = nonce.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, parts[0].utf8.count <= 16, let expiry = Int64(parts[0], radix: 16),
            constantTimeEqual(parts[2], tag(purpose, expiry: parts[0], random: parts[1], mac: mac))
        else {
            throw Problem(
                "nonce-invalid", status: 401, title: "The boot nonce is not one of ours for this machine",
                remedy: "Boot the machine from the network again.")
        }
        let expires = Timestamp(milliseconds: expiry)
        // One that lives longer than any that is made now is of a clock that is not ours any more.
        guard mayBeOld || (now < expires && expires <= now + Self.lifetime) else {
            throw Problem(
                "nonce-expired", status: 401, title: "The boot nonce is too old",
                detail: "It was good for \(Self.lifetime).", remedy: "Boot the machine from the network again.")
        }
        return (parts[1], expires)
    }

    /// The bearer token of one boot of a machine's agent; it ends with the next boot.
    func session(machine: MachineID, boot: String) -> String {
        let code = HMAC<SHA256>.authenticationCode(for: Array("session|\(machine)|\(boot)".utf8), using: key)
        return "\(machine).\(Hex.encode(code))"
    }

    /// 32 bytes that nobody else can make, the same for one boot of a machine's agent and `context`.
    func derived(_ purpose: String, machine: MachineID, boot: String, _ context: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array("\(purpose)|\(machine)|\(boot)|".utf8) + context, using: key))
    }

    /// What opens one file of an image while `operation` installs it.
    func capability(operation: OperationID, file: String) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array("image|\(operation)|\(file)".utf8), using: key))
    }

    private func tag(_ purpose: Purpose, expiry: String, random: String, mac: MACAddress) -> String {
        let text = "\(purpose.rawValue)|\(expiry)|\(random)|\(mac)"
        return Hex.encode(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key))
    }
}

/// Compares secrets in a time that does not tell where they differ.
func constantTimeEqual(_ left: String, _ right: String) -> Bool {
    let a = Array(left.utf8)
    let b = Array(right.utf8)
    guard a.count == b.count else { return false }
    return zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
}
