/// The quirks that are publicly known, by vendor, model and firmware.
public enum QuirkTable {
    /// One row: whom it is about, what differs, and where that was seen.
    public struct Row: Sendable, Equatable {
        public var name: String
        /// Substrings in lower case, one of which vendor, manufacturer or model must hold.
        public var words: [String]
        /// Of the BMC's model or firmware text; empty: any.
        public var models: [String]
        /// From this firmware version on; nil: any.
        public var from: String?
        /// Before this firmware version; nil: any.
        public var before: String?
        public var flags: Set<Quirks.Flag>
        public var note: String
        /// Public documentation, or an issue.
        public var seenAt: String

        init(
            _ name: String, words: [String], models: [String] = [], from: String? = nil, before: String? = nil,
            flags: Set<Quirks.Flag>, note: String, seenAt: String
        ) {
            self.name = name
            self.words = words
            self.models = models
            self.from = from
            self.before = before
            self.flags = flags
            self.note = note
            self.seenAt = seenAt
        }
    }

    /// Whose quirks are asked for.
    public struct Subject: Sendable, Equatable {
        public var vendor: String?
        /// Of the BMC, as `iDRAC 9` or `iLO 5`, else of the machine.
        public var model: String?
        public var firmware: String?
        public var manufacturer: String?

        public init(vendor: String?, model: String?, firmware: String?, manufacturer: String? = nil) {
            self.vendor = vendor
            self.model = model
            self.firmware = firmware
            self.manufacturer = manufacturer
        }
    }

    public static func rows(for subject: Subject) -> [Row] {
        let text = [subject.vendor, subject.manufacturer, subject.model].compactMap { $0?.lowercased() }.joined(separator: " ")
        let model = [subject.model, subject.firmware].compactMap { $0?.lowercased() }.joined(separator: " ")
        return rows.filter { row in
            guard row.words.contains(where: text.contains) else { return false }
            guard row.models.isEmpty || row.models.contains(where: model.contains) else { return false }
            guard row.from != nil || row.before != nil else { return true }
            guard let version = Version(subject.firmware) else { return false }
            if let from = row.from.flatMap(Version.init), version < from { return false }
            if let before = row.before.flatMap(Version.init), !(version < before) { return false }
            return true
        }
    }

    public static func quirks(for subject: Subject) -> Quirks {
        Quirks(rows(for: subject).reduce(into: []) { $0.formUnion($1.flags) })
    }

    /// The first dotted number in a firmware text, as 6.10.30 of `iDRAC 6.10.30`.
    struct Version: Comparable {
        var parts: [Int]

        init?(_ text: String?) {
            guard let text, let start = text.firstIndex(where: \.isNumber) else { return nil }
            let number = text[start...].prefix { $0.isNumber || $0 == "." }
            parts = number.split(separator: ".").compactMap { Int($0) }
            guard !parts.isEmpty else { return nil }
        }

        static func < (left: Version, right: Version) -> Bool { left.parts.lexicographicallyPrecedes(right.parts) }
    }
}
