internal import Model
internal import Yams

/// cloud-init's network configuration, version 1 or 2, as somebody gave it: YAML or JSON, with or without a `network:`
/// around it.
struct GivenNetworkConfig {
    static let limitBytes = 256 << 10
    /// What stands within `network:`.
    private let inner: Node

    init(parsing text: String) throws(Problem) {
        guard text.utf8.count <= Self.limitBytes else {
            throw Problem("network-config-too-large", status: 413, title: "network-config is larger than 256 KiB")
        }
        let whole: Node?
        do { whole = try Yams.compose(yaml: text) } catch {
            throw Problem(
                "network-config-invalid", status: 422, title: "network-config is not valid YAML", detail: "\(error)",
                remedy: "Check the indentation at the line named.")
        }
        let inner = whole?.mapping?["network"] ?? whole
        guard let inner, let version = inner.mapping?["version"]?.int, version == 1 || version == 2 else {
            throw Problem(
                "network-config-invalid", status: 422, title: "network-config has no “version: 1” or “version: 2”",
                remedy: "See cloud-init's documentation of network configuration.")
        }
        self.inner = inner
    }

    /// A document with `network:` as its only member, as cloud-init's own configuration has it.
    func configuration() throws -> String {
        try Yams.serialize(node: Node([(Node("network"), inner)]), allowUnicode: true)
    }
}
