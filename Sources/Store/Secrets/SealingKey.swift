internal import Crypto
internal import FoundationEssentials
public import Model

/// Seals what must not rest readable with AES-256-GCM. The key itself lies beside the store, in a file that only the
/// server reads, so that neither a backup nor a reader of the database has what opens it.
public struct SealingKey: Sendable {
    public static let byteCount = 32
    private let key: SymmetricKey

    /// What was sealed does not open: it was sealed with another key or for another purpose, or it was changed.
    public struct Unopened: Error {}

    /// `bytes`: exactly ``byteCount`` random ones.
    public init(_ bytes: [UInt8]) throws(Problem) {
        guard bytes.count == Self.byteCount else {
            throw Problem("sealing-key-invalid", status: 500, title: "The sealing key has \(bytes.count) bytes, not \(Self.byteCount)")
        }
        key = SymmetricKey(data: bytes)
    }

    public static func random() -> [UInt8] { SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) } }

    /// Nonce, ciphertext and tag. `purpose` is bound to it: what was sealed for one cannot be opened for another.
    public func seal(_ secret: [UInt8], for purpose: String) throws -> [UInt8] {
        let box = try AES.GCM.seal(secret, using: key, authenticating: Array(purpose.utf8))
        return Array(box.nonce) + Array(box.ciphertext) + Array(box.tag)
    }

    public func open(_ sealed: some Collection<UInt8>, for purpose: String) throws(Unopened) -> [UInt8] {
        do {
            let box = try AES.GCM.SealedBox(combined: Data(sealed))
            return Array(try AES.GCM.open(box, using: key, authenticating: Array(purpose.utf8)))
        } catch {
            throw Unopened()
        }
    }

    /// Says which key it is and nothing else of it.
    var mark: [UInt8] {
        let code = HMAC<SHA256>.authenticationCode(for: Array("hostler seal.key".utf8), using: key)
        return Array(code.prefix(SealedValue.markBytes))
    }
}

/// The form of a sealed secret in the store: `HSS`, a version byte, the mark of its key, and what ``SealingKey`` makes.
enum SealedValue {
    private static let head: [UInt8] = [0x48, 0x53, 0x53, 1]
    static let markBytes = 8
    /// Nonce and tag of AES-GCM beside the head.
    static let overheadBytes = head.count + markBytes + 28

    /// Nothing else in a store looks so: other values are JSON, or the 32 bytes of a boot secret.
    static func isSealed(_ value: [UInt8]) -> Bool { value.count >= overheadBytes && value.starts(with: head) }

    static func isSealed(_ value: [UInt8], with key: SealingKey) -> Bool {
        isSealed(value) && value.dropFirst(head.count).starts(with: key.mark)
    }

    static func seal(_ value: [UInt8], at name: String, with key: SealingKey) throws(StoreError) -> [UInt8] {
        do {
            return head + key.mark + (try key.seal(value, for: name))
        } catch {
            throw .unavailable("the secret at \(name) cannot be sealed: \(error)")
        }
    }

    static func open(_ value: [UInt8], at name: String, with key: SealingKey) throws(StoreError) -> [UInt8] {
        guard isSealed(value, with: key), let opened = try? key.open(value.dropFirst(head.count + markBytes), for: name) else {
            throw .sealed(name)
        }
        return opened
    }
}
