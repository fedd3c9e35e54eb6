internal import Crypto
internal import FoundationEssentials
internal import Model
internal import Store
internal import Wire

/// Makes and checks the tags of markers, the records of an installation that its own disk carries. Without its tag a marker
/// is what somebody wrote on a disk.
struct InstallMarkers: Sendable {
    private let key: SymmetricKey

    /// 32 random bytes, made at the first start. A restore does not make them anew: disks carry what was made with them.
    static func secret(in store: any StateStore) async throws -> [UInt8] {
        let key = "/secrets/markers"
        if let stored = try await store.get(key) { return stored.value }
        let secret = SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) }
        if try await store.commitUnlessConflict([.put(key: key, value: secret, if: .absent)]) != nil { return secret }
        guard let stored = try await store.get(key) else { throw StoreError.unavailable("the secret \(key) vanished") }
        return stored.value
    }

    /// - Parameter secret: 32 random bytes that outlive a restore: a marker is read when the record was lost.
    init(secret: [UInt8]) { key = SymmetricKey(data: secret) }

    func sealed(_ record: InstallRecord) throws -> InstallRecord {
        var record = record
        record.tag = Hex.encode(HMAC<SHA256>.authenticationCode(for: try Self.text(record), using: key))
        return record
    }

    func isSealed(_ record: InstallRecord) -> Bool {
        guard let tag = record.tag, let own = try? sealed(record).tag else { return false }
        return constantTimeEqual(tag, own)
    }

    /// The same bytes for the same record: JSON with sorted keys, without the tag.
    private static func text(_ record: InstallRecord) throws -> [UInt8] {
        var plain = record
        plain.tag = nil
        return try Array("install-marker|".utf8) + RecordCoding.encode(plain)
    }
}
