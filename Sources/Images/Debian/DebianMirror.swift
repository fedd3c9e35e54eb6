/// The host's own Debian mirror, asked of apt.
enum DebianMirror {
    /// Arguments for `apt-get` whose output ``sources(fromIndexTargets:suite:)`` reads.
    static let query = ["indextargets", "Created-By: Packages", "--format", "$(ORIGIN)|$(SITE)|$(RELEASE)"]

    /// One-line apt sources for `suite` from the places where the host gets its Debian packages, with updates and
    /// security; empty on a host that has no Debian sources, where mmdebstrap's own default serves.
    static func sources(fromIndexTargets text: String, suite: String) -> [String] {
        var lines: [String] = []
        for target in text.split(separator: "\n") {
            let fields = target.split(separator: "|", omittingEmptySubsequences: false)
            guard fields.count == 3, fields[0] == "Debian" else { continue }
            let part: String
            if fields[2].hasSuffix("-security") {
                part = "-security"
            } else if fields[2].hasSuffix("-updates") && !fields[2].hasSuffix("-proposed-updates") {
                part = "-updates"
            } else if !fields[2].contains("-") {
                part = ""
            } else {
                continue
            }
            let line = "deb \(fields[1]) \(suite)\(part) main"
            if !lines.contains(line) { lines.append(line) }
        }
        return lines
    }

    /// The value in `Acquire::http::Proxy "…";`, as `apt-config dump` prints it.
    static func proxy(fromConfigDump text: String) -> String? {
        let quoted = text.split(separator: "\"", omittingEmptySubsequences: false)
        guard text.hasPrefix("Acquire::http::Proxy "), quoted.count >= 3, !quoted[1].isEmpty else { return nil }
        return String(quoted[1])
    }
}
