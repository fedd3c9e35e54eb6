import Model
import Yams

/// Finds what stands in a configuration file and was read by nothing. A misspelt `acces: address` must not be passed over: what
/// it was to set would quietly be as usual.
enum UnreadMembers {
    /// Throws the first member of `text` that is not in `value`, which was decoded from it.
    static func check(_ text: String, against value: some Encodable) throws {
        guard let written = try Yams.compose(yaml: text), let read = try Yams.compose(yaml: YAMLEncoder().encode(value)) else { return }
        guard let stranger = first(in: written, notIn: read, at: "") else { return }
        throw Problem(
            "config-unknown", title: "There is no “\(stranger)” in a configuration",
            remedy: "See how it is spelt, and where it stands, in docs/configuration.md.")
    }

    private static func first(in written: Node, notIn read: Node, at path: String) -> String? {
        if let written = written.mapping, let read = read.mapping {
            // One that says nothing is read as if it were not there.
            for (key, value) in written where value.null == nil {
                let name = path.isEmpty ? key.string ?? "" : "\(path).\(key.string ?? "")"
                guard let counterpart = read[key] else { return name }
                if let found = first(in: value, notIn: counterpart, at: name) { return found }
            }
        } else if let written = written.sequence, let read = read.sequence {
            for (index, pair) in zip(written, read).enumerated() {
                if let found = first(in: pair.0, notIn: pair.1, at: "\(path)[\(index)]") { return found }
            }
        }
        return nil
    }
}
