internal import Control
public import Store

extension RecordKind {
    /// What the API keeps in the store.
    public static let ofAPI = [
        RecordKind("token", prefix: TokenRecord.prefix) { stored in
            let record = try RecordCoding.decode(TokenRecord.self, from: stored.value)
            guard TokenRecord.prefix + record.token.id.rawValue == stored.key else {
                throw StoreError.corrupt("it says that it is \(record.token.id)")
            }
        }
    ]
}
