internal import Model
internal import Yams

/// Refuses user-data with which an installed system could not say that it is up.
///
/// Hostler's vendor-data carries that proof, in two ways: cloud-init's `phone_home`, and a script that sets up the unit
/// `hostler-call-home`. cloud-init reads user-data first, and by it decides whether vendor-data is looked at at all
/// (`vendor_data`) and which modules run in its last stage (`cloud_final_modules`).
enum UserDataAdmission {
    static func check(_ userData: [UInt8]) throws(Problem) {
        let found = CloudConfigParts(in: userData)
        for text in found.documents { try check(document: text) }
        for text in found.patches { try check(patch: text) }
    }

    private static func check(document text: String) throws(Problem) {
        let root: Node?
        do { root = try Yams.compose(yaml: text) } catch {
            // A template's YAML is there once it is filled in, and cloud-init's reader takes what this one refuses.
            return try check(lines: text)
        }
        guard let mapping = root?.mapping else { return }
        for (key, value) in members(of: mapping, depth: 0) {
            switch Key(rawValue: key) {
            case .vendorData where !leavesVendorData(value): throw vendorDataIsOff
            case .finalModules where !bringsProof(value): throw modulesAreMissing
            case .phoneHome: throw ownPhoneHome
            case .vendorData, .finalModules, nil: break
            }
        }
    }

    private enum Key: String {
        case vendorData = "vendor_data"
        case finalModules = "cloud_final_modules"
        case phoneHome = "phone_home"

        /// Where the value cannot be judged.
        var problem: Problem {
            switch self {
            case .vendorData: vendorDataIsOff
            case .finalModules: modulesAreMissing
            case .phoneHome: ownPhoneHome
            }
        }
    }

    /// The members of a mapping with those that it merges in (`<<`, YAML 1.1), in any order.
    private static func members(of mapping: Node.Mapping, depth: Int) -> [(key: String, value: Node)] {
        var own: [(key: String, value: Node)] = []
        var merged: [(key: String, value: Node)] = []
        for (key, value) in mapping {
            guard let name = key.scalar?.string else { continue }
            guard name == "<<" else {
                own.append((name, value))
                continue
            }
            guard depth < 8 else { continue }
            let sources = value.mapping.map { [$0] } ?? value.sequence?.compactMap(\.mapping) ?? []
            for source in sources { merged += members(of: source, depth: depth + 1) }
        }
        let names = Set(own.map(\.key))
        return own + merged.filter { !names.contains($0.key) }
    }

    /// As cloud-init's `_consume_vendordata` sees it: what is no mapping switches vendor-data off, and of `enabled` only these
    /// words, in any case, leave it on.
    private static func leavesVendorData(_ value: Node) -> Bool {
        guard let mapping = value.mapping else { return false }
        for (key, value) in members(of: mapping, depth: 0) {
            switch key {
            case "enabled":
                guard let word = value.scalar?.string, ["true", "1", "on", "yes"].contains(trimmed(word).lowercased()) else { return false }
            case "disabled_handlers":
                guard value.sequence?.isEmpty == true || value.scalar.map({ ["", "~", "null"].contains($0.string.lowercased()) }) == true
                else { return false }
            default: break
            }
        }
        return true
    }

    /// Whether one of the two modules is among them: `scripts-vendor` sets up the unit, and `phone-home` calls itself.
    private static func bringsProof(_ modules: Node) -> Bool {
        (modules.sequence ?? []).contains { entry in
            // A name, a list with the name first, or a mapping.
            let name = entry.scalar ?? entry.sequence?.first?.scalar ?? entry.mapping?["name"]?.scalar
            return name.map { ["scripts_vendor", "phone_home"].contains(moduleName($0.string)) } ?? false
        }
    }

    /// cloud-init takes `cc_phone_home.py` for `phone-home`.
    private static func moduleName(_ text: String) -> String {
        var name = String(text.map { $0 == "-" ? "_" : $0 })
        if name.lowercased().hasSuffix(".py") { name.removeLast(3) }
        name = trimmed(name)
        return name.hasPrefix("cc_") ? String(name.dropFirst(3)) : name
    }

    /// Of text that cannot be read as YAML: a key at the beginning of a line is refused, whatever stands behind it.
    private static func check(lines text: String) throws(Problem) {
        for line in text.split(whereSeparator: \.isNewline) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let name = trimmed(line[..<colon]).filter { $0 != "\"" && $0 != "'" }
            guard !line.hasPrefix(" "), let key = Key(rawValue: name) else { continue }
            throw key.problem
        }
    }

    /// Of a JSON patch (RFC 6902) that cloud-init applies to the configuration.
    private static func check(patch text: String) throws(Problem) {
        guard let operations = (try? Yams.compose(yaml: text))?.sequence else { return }
        for operation in operations {
            let path = operation.mapping?["path"]?.scalar?.string.split(separator: "/").first
            if let key = path.flatMap({ Key(rawValue: String($0)) }) { throw key.problem }
        }
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        guard let first = text.firstIndex(where: { !$0.isWhitespace }), let last = text.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(text[first...last])
    }

    private static let vendorDataIsOff = Problem(
        "user-data-vendor-data", status: 422, title: "user-data turns vendor-data off",
        detail: "Hostler's vendor-data has what proves that the machine is up. cloud-init reads it where vendor_data is left out, or is "
            + "a mapping with “enabled: true” and without disabled_handlers.",
        remedy: "Leave vendor_data out.")
    private static let modulesAreMissing = Problem(
        "user-data-final-modules", status: 422, title: "user-data has cloud_final_modules with neither scripts-vendor nor phone-home",
        detail: "One of them is what proves that the machine is up.", remedy: "Leave cloud_final_modules out, or add scripts-vendor to it.")
    private static let ownPhoneHome = Problem(
        "user-data-phone-home", status: 422, title: "user-data has a phone_home of its own",
        detail: "cloud-init runs one phone_home, and Hostler's is the proof that the machine is up.",
        remedy: "Call your server from runcmd, as with curl.")
}
