internal import Crypto
internal import FoundationEssentials
internal import Model
internal import Wire

/// Makes and checks the tags of markers, the records of an installation that its own disk carries. Without its tag a marker
/// is what somebody wrote on a disk.
struct InstallMarkers: Sendable {
    private let key: SymmetricKey

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

    /// What the system of an installation and this control plane make the codes of a call home with. It opens nothing.
    func callHomeKey(of operation: Model.Operation) -> CallHomeKey {
        let text = "call-home|\(operation.machine)|\(operation.id)|\(operation.generation)"
        return CallHomeKey(hex: Hex.encode(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key)))
    }

    /// The same bytes for the same record: JSON with sorted keys, without the tag.
    private static func text(_ record: InstallRecord) throws -> [UInt8] {
        var plain = record
        plain.tag = nil
        return try Array("install-marker|".utf8) + RecordCoding.encode(plain)
    }
}
