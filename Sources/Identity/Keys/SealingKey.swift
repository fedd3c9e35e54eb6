internal import Crypto
internal import FoundationEssentials
public import Model

/// Seals private keys for the store with AES-256-GCM. The key itself lies
/// beside the store, in a file that only the server reads, so that neither a
/// backup nor a reader of the database has what signs.
public struct SealingKey: Sendable {
    public static let byteCount = 32
    private let key: SymmetricKey

    /// `bytes`: exactly ``byteCount`` random ones.
    public init(_ bytes: [UInt8]) throws(Problem) {
        guard bytes.count == Self.byteCount else {
            throw Problem(
                "sealing-key-invalid", status: 500, title: "The sealing key has \(bytes.count) bytes, not \(Self.byteCount)",
                remedy: "Put identity.key back into the state folder from where you keep a copy of it.")
        }
        key = SymmetricKey(data: bytes)
    }

    public static func random() -> [UInt8] { SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) } }

    /// `purpose` is bound to it: what was sealed for one cannot be opened for another.
    func seal(_ secret: [UInt8], for purpose: String) throws -> [UInt8] {
        let box = try AES.GCM.seal(secret, using: key, authenticating: Array(purpose.utf8))
        return Array(box.nonce) + Array(box.ciphertext) + Array(box.tag)
    }

    func open(_ sealed: [UInt8], for purpose: String) throws(Problem) -> [UInt8] {
        do {
            let box = try AES.GCM.SealedBox(combined: sealed)
            return Array(try AES.GCM.open(box, using: key, authenticating: Array(purpose.utf8)))
        } catch {
            throw Problem(
                "keys-sealed", status: 503, title: "The stored \(purpose) keys do not open with this server's identity.key",
                detail: "The store came from another server, or identity.key was replaced.",
                remedy: "Put the old identity.key into the state folder, or start once with --new-identity: all keys are then made anew.")
        }
    }
}
