internal import API
internal import ArgumentParser
internal import FoundationEssentials
internal import Yams

enum OutputFormat: String, ExpressibleByArgument, CaseIterable { case table, wide, json, yaml }

struct OutputOptions: ParsableArguments {
    @Option(name: [.customShort("o"), .customLong("output")], help: "table, wide, json or yaml.")
    var format: OutputFormat = .table

    var isWide: Bool { format == .wide }

    /// Prints a value: in JSON or YAML as the API has it, else as `text` makes it.
    func print<T: Encodable>(_ value: T, text: (T) -> String) throws {
        switch format {
        case .table, .wide: hostler.print(text(value))
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            Terminal.write(JSONText.escaped(String(decoding: try encoder.encode(value), as: UTF8.self)) + "\n")
        case .yaml:
            Terminal.write(try Self.yaml(value))
        }
    }

    /// YAML in which what is not printable is escaped, and then all that is not ASCII with it.
    static func yaml(_ value: some Encodable) throws -> String {
        let encoder = YAMLEncoder()
        encoder.options = .init(allowUnicode: true, sortKeys: true)
        let text = try encoder.encode(value)
        guard JSONText.needsEscapes(text) else { return text }
        encoder.options.allowUnicode = false
        return try encoder.encode(value)
    }

    /// Prints a list as a table.
    func printList<T: Encodable>(_ items: [T], heading: [String], none: String, row: (T) -> [String?]) throws {
        try print(items) { items in
            guard !items.isEmpty else { return none }
            var table = Table(heading)
            for item in items { table.add(row(item)) }
            return table.text(terminal: .standard)
        }
    }
}
