public import Model

/// One record of an Event (DSP0268 Event), as a BMC tells it.
public struct RedfishEvent: Sendable, Equatable {
    public var id: String?
    public var messageID: String?
    public var message: String
    public var severity: HealthState
    /// What it is about, as the BMC names it. Shown, never followed.
    public var origin: String?
    /// By the BMC's own clock.
    public var time: String?

    /// The records of an Event. Metric reports and what else comes by the stream have none.
    public static func records(of json: JSON) -> [RedfishEvent] {
        (json["Events"]?.items ?? []).prefix(recordLimit).compactMap { record in
            let messageID = record["MessageId"]?.text.map { RedfishAnswer.printable(String($0.prefix(128))) }
            guard let message = record["Message"]?.text ?? messageID else { return nil }
            return RedfishEvent(
                id: (record["EventId"] ?? json["Id"])?.text.map { String($0.prefix(64)) }, messageID: messageID,
                message: RedfishAnswer.printable(String(message.prefix(1024))),
                severity: HealthState(redfish: (record["MessageSeverity"] ?? record["Severity"])?.text),
                origin: (record["OriginOfCondition"]?["@odata.id"] ?? record["OriginOfCondition"])?.text
                    .map { RedfishAnswer.printable(String($0.prefix(256))) },
                time: record["EventTimestamp"]?.text.map { String($0.prefix(40)) })
        }
    }

    static let recordLimit = 64
}

/// A BMC that tells of events by itself.
public protocol EventStreaming: Sendable {
    /// Where its stream is; nil where it has none.
    func eventStream() async throws -> RedfishPath?
    /// Tells of events until the BMC ends the stream or the task is cancelled; `began` once it listens.
    func followEvents(
        at path: RedfishPath, began: @Sendable () async -> Void, _ tell: @Sendable ([RedfishEvent]) async -> Void
    ) async throws
}

extension RedfishBMC: EventStreaming {
    /// `ServerSentEventUri` of the EventService (DSP0266 §13.5).
    public func eventStream() async throws -> RedfishPath? {
        guard let service = try await client.serviceRoot().events else { return nil }
        let json = try await client.get(service).json
        guard json["ServiceEnabled"]?.flag != false, let href = json["ServerSentEventUri"]?.text else { return nil }
        return try client.ownPath(href, in: service)
    }

    public func followEvents(
        at path: RedfishPath, began: @Sendable () async -> Void, _ tell: @Sendable ([RedfishEvent]) async -> Void
    ) async throws {
        var parser = ServerSentEvents()
        try await client.stream(path) { part in
            switch part {
            case .head: await began()
            case .bytes(let bytes):
                let events: [ServerSentEvents.Event]
                do { events = try parser.receive(bytes) } catch {
                    throw Problem.bmc(
                        "too-large", "The BMC at \(address) sent an event of more than \(ServerSentEvents.byteLimit >> 20) MiB",
                        detail: "GET \(path)", remedy: "Update its firmware.")
                }
                // What is no JSON is no event of Redfish's; the stream goes on.
                let records = events.compactMap { try? JSONParser.parse(Array($0.data.utf8)) }.flatMap(RedfishEvent.records)
                if !records.isEmpty { await tell(records) }
            }
        }
    }
}
