internal import Logging
internal import Wire

/// A log of one line for each message: what a machine or a person wrote into a value can neither begin a line of its own
/// nor reach the terminal of who reads the log.
struct PrintableLog: LogHandler {
    /// Of a message, and of a value.
    static let limitBytes = 16 << 10

    private var base: any LogHandler

    init(_ base: any LogHandler) { self.base = base }

    static func bootstrap() { LoggingSystem.bootstrap { label in PrintableLog(StreamLogHandler.standardError(label: label)) } }

    var logLevel: Logger.Level {
        get { base.logLevel }
        set { base.logLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { base.metadata }
        set { base.metadata = newValue.mapValues(Self.clean) }
    }

    var metadataProvider: Logger.MetadataProvider? {
        get { base.metadataProvider }
        set { base.metadataProvider = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { base[metadataKey: key] }
        set { base[metadataKey: key] = newValue.map(Self.clean) }
    }

    func log(event: LogEvent) {
        var event = event
        event.message = "\(PrintableText.line(event.message.description, limitBytes: Self.limitBytes))"
        event.metadata = event.metadata?.mapValues(Self.clean)
        if let error = event.error {
            event.metadata = (event.metadata ?? [:]).merging(["error": Self.clean(.string("\(error)"))]) { $1 }
            event.error = nil
        }
        base.log(event: event)
    }

    static func clean(_ value: Logger.Metadata.Value) -> Logger.Metadata.Value {
        switch value {
        case .string(let text): .string(PrintableText.line(text, limitBytes: limitBytes))
        case .stringConvertible(let value): .string(PrintableText.line(value.description, limitBytes: limitBytes))
        case .array(let values): .array(values.map(clean))
        case .dictionary(let values): .dictionary(values.mapValues(clean))
        }
    }
}
