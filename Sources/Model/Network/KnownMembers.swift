/// Refuses members that a type does not have: in a network configuration a misspelt word must not be passed over.
enum KnownMembers {
    private struct Name: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    static func check(_ decoder: any Decoder, _ names: Set<String>) throws {
        let container = try decoder.container(keyedBy: Name.self)
        guard let stranger = container.allKeys.first(where: { !names.contains($0.stringValue) }) else { return }
        throw DecodingError.dataCorruptedError(
            forKey: stranger, in: container,
            debugDescription: "there is no member “\(stranger.stringValue)”; there are: \(names.sorted().joined(separator: ", "))")
    }
}
