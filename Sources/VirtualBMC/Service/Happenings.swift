public import Model

extension RedfishService {
    /// The machine did something: the log, the events and what was waiting for it.
    public mutating func noted(_ event: BMCHardwareEvent, at now: Timestamp) {
        switch event {
        case .poweredOn:
            beginBoot()
            tell("The system was powered on.", at: now)
        case .poweredOff: tell("The system was powered off.", at: now)
        case .reset:
            beginBoot()
            tell("The system was reset.", at: now)
        case .bootOverrideUsed:
            guard let used = bootOverride else { return }
            if used.isOnce { bootOverride = nil }
            tell("The system started from the boot override \(used.target.rawValue).", at: now)
        }
    }

    /// What a person or a part of the machine tells the log: a fan that died.
    public mutating func noted(_ message: String, severity: BMCReading.Health, at now: Timestamp) {
        tell(message, severity: severity.rawValue, type: "Alert", at: now)
    }

    /// As a BMC does whose memory fails: no word of it.
    public mutating func forgetBootOverride() { bootOverride = nil }

    /// Staged settings come into force when the system starts.
    private mutating func beginBoot() {
        for (name, value) in pendingBios { bios[name] = value }
        pendingBios = [:]
        if let pending = pendingSecureBoot { isSecureBootEnabled = pending }
        pendingSecureBoot = nil
    }

    private mutating func tell(
        _ message: String, severity: String = "OK", type: String = "StatusChange", at now: Timestamp
    ) {
        log.add(message, severity: severity, at: now)
        addEvent(type, message, severity: severity, origin: "Systems/1", at: now)
    }

    mutating func addEvent(_ type: String, _ message: String, severity: String, origin: String, at now: Timestamp) {
        eventCount += 1
        let event: JSON = [
            "@odata.type": "#Event.v1_2_1.Event", "Id": .string("\(eventCount)"), "Name": "Event",
            "Events": [
                [
                    "MemberId": "0", "EventType": .string(type), "EventId": .string("\(eventCount)"),
                    "EventTimestamp": .string(now.description), "Severity": .string(severity),
                    "Message": .string(message), "MessageArgs": [],
                    "MessageId": .string(
                        type == "StatusChange"
                            ? "ResourceEvent.1.0.2.ResourceChanged" : "ResourceEvent.1.0.2.ResourceErrorsDetected"),
                    "OriginOfCondition": Document.link("\(Self.root)/\(origin)"),
                ]
            ],
        ]
        outbox.append(event)
        if outbox.count > 100 { outbox.removeFirst() }
    }

    /// The events since the last call, for whoever listens.
    public mutating func takeEvents() -> [JSON] {
        defer { outbox = [] }
        return outbox
    }

    /// A listener came (DSP0266 §13.5): it is a subscription while it stays. Nil where there are too many.
    public mutating func subscribe() -> String? {
        guard subscriptions.count < 16 else { return nil }
        let id = newID()
        subscriptions.append(id)
        return id
    }

    public mutating func unsubscribe(_ id: String) { subscriptions.removeAll { $0 == id } }

    public var subscriptionCount: Int { subscriptions.count }

    /// Whether the subscription still stands; somebody may have deleted it.
    public func isSubscribed(_ id: String) -> Bool { subscriptions.contains(id) }
}
