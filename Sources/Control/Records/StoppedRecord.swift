public import Model
public import Store

/// The record of a server that does not run, for commands that work on its files.
public struct StoppedRecord: Sendable {
    private let records: Records

    /// - Parameter store: open, so that no server can be.
    public init(store: any StateStore) { records = Records(store: store) }

    /// Throws where an operation that is open needs the image.
    public func refuseIfInUse(imageDigest digest: String, names: Set<String>) async throws {
        let operations = try await records.all(Model.Operation.self).map(\.value)
        if let user = ImageUse.operation(in: operations, needing: digest, names: names) { throw ImageUse.refusal(by: user) }
    }

    /// Adds to the audit log.
    public func recordEvent(kind: String, actor: String, message: String, evidence: [String: String], at now: Timestamp) async throws {
        let event = Event(id: EventIDs().next(now), at: now, kind: kind, actor: actor, message: message, evidence: evidence)
        try await records.store.commit([try event.put(.none)])
    }
}
