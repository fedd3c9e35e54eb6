internal import FoundationEssentials
internal import Model
public import Store

extension RecordKind {
    /// What the control plane keeps in the store.
    public static let ofControl: [RecordKind] = [
        resource("machine", Machine.self), resource("operation", Model.Operation.self), resource("event", Event.self), resource("bmc", BMC.self),
        value("seed secrets", SeedSecrets.prefix, SeedSecrets.self), value("stored user-data", StoredUserData.prefix, StoredUserData.self),
        value("BMC password", "/secrets/bmcs/", BMCSecret.self), value("spent nonce", "/nonces/", ControlPlane.SpentNonce.self),
        RecordKind("session secret", prefix: StoredSecret.session.key, check: StoredSecret.check),
        RecordKind("marker secret", prefix: StoredSecret.markers.key, check: StoredSecret.check),
        RecordKind("boot secret of before", prefix: StoredSecret.formerKey, check: StoredSecret.check),
        RecordKind("attestation log", prefix: "/attestation/logs/") { _ in },
        RecordKind("control state", prefix: "/control/") { stored in
            switch stored.key {
            case ClockMark.key: _ = try RecordCoding.decode(ClockMark.self, from: stored.value)
            case RevisionLoss.key: _ = try RevisionLoss(stored.value)
            case BrakeLedger.key: _ = try RecordCoding.decode(BrakeLedger.self, from: stored.value)
            default:
                guard Int64(String(decoding: stored.value, as: UTF8.self)) != nil else { throw StoreError.corrupt("it is no number") }
            }
        },
        value("freeze", Freeze.key, Freeze.self),
    ]

    private static func resource<T: StoredResource>(_ name: String, _ type: T.Type) -> RecordKind {
        RecordKind(name, prefix: T.prefix) { stored in
            let value = try RecordCoding.decode(T.self, from: stored.value)
            guard value.key == stored.key else { throw StoreError.corrupt("it says that it is \(value.key)") }
        }
    }

    private static func value<T: Decodable & Sendable>(_ name: String, _ prefix: String, _ type: T.Type) -> RecordKind {
        RecordKind(name, prefix: prefix) { stored in _ = try RecordCoding.decode(T.self, from: stored.value) }
    }
}
