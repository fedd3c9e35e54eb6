/// A kernel's `modules.dep`: which files a module needs, and in which order.
public struct ModuleDependencies: Sendable {
    /// Path relative to `/lib/modules/VERSION`, and the paths it needs, last one first to load.
    private var files: [String: (path: String, needs: [String])] = [:]

    public init(text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let path = FirmwareText.trim(line[..<colon])
            let needs = line[line.index(after: colon)...].split(separator: " ").map(String.init)
            if !path.isEmpty { files[ModuleName.ofFile(path)] = (path, needs) }
        }
    }

    public var count: Int { files.count }

    /// Whether the module is there as a file; a built-in one is not.
    public func contains(_ module: String) -> Bool { files[ModuleName.normalised(module.utf8)] != nil }

    /// The files to load for `module`, itself last; empty where there is no such file.
    public func loadOrder(of module: String) -> [String] {
        guard let entry = files[ModuleName.normalised(module.utf8)] else { return [] }
        return entry.needs.reversed() + [entry.path]
    }
}

/// A kernel's `modules.softdep`: what should be loaded before or after a
/// module where it exists (modprobe.d(5), `softdep`).
public struct ModuleSoftDependencies: Sendable {
    public struct Entry: Equatable, Sendable {
        /// Modules or aliases.
        public var before: [String] = []
        public var after: [String] = []
    }

    private var entries: [String: Entry] = [:]

    public init(text: String = "") {
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.count > 2, words[0] == "softdep" else { continue }
            var entry = entries[ModuleName.normalised(words[1].utf8)] ?? Entry()
            var isAfter: Bool?
            for word in words[2...] {
                switch (word, isAfter) {
                case ("pre:", _): isAfter = false
                case ("post:", _): isAfter = true
                case (_, false): entry.before.append(String(word))
                case (_, true): entry.after.append(String(word))
                case (_, nil): break
                }
            }
            entries[ModuleName.normalised(words[1].utf8)] = entry
        }
    }

    public subscript(module: String) -> Entry { entries[ModuleName.normalised(module.utf8)] ?? Entry() }
}

/// The modules of one kernel: from what a device calls itself to the files to
/// load, in order.
public struct ModuleIndex: Sendable {
    public let aliases: ModuleAliases
    public let dependencies: ModuleDependencies
    public let softDependencies: ModuleSoftDependencies

    public init(
        aliases: ModuleAliases, dependencies: ModuleDependencies,
        softDependencies: ModuleSoftDependencies = ModuleSoftDependencies()
    ) {
        self.aliases = aliases
        self.dependencies = dependencies
        self.softDependencies = softDependencies
    }

    /// The module files for a device's `modalias`, or for a module's name or
    /// alias, each once and after what it needs. Paths are relative to
    /// `/lib/modules/VERSION`. Modules in `excluded` and what only they need are left out.
    public func loadOrder(for names: some Sequence<String>, excluding excluded: Set<String> = []) -> [String] {
        var walk = Walk(visited: Set(excluded.map { ModuleName.normalised($0.utf8) }))
        for name in names { load(name, &walk) }
        return walk.order
    }

    private struct Walk {
        /// Modules begun, so that a circle of soft dependencies ends.
        var visited: Set<String>
        var order: [String] = []
        var listed: Set<String> = []
    }

    private func load(_ name: String, _ walk: inout Walk) {
        // A name that is a module's wins over an alias, as in modprobe.
        let modules = dependencies.contains(name) ? [ModuleName.normalised(name.utf8)] : aliases.modules(for: name)
        for module in modules where walk.visited.insert(module).inserted {
            let soft = softDependencies[module]
            for before in soft.before { load(before, &walk) }
            for path in dependencies.loadOrder(of: module) where walk.listed.insert(path).inserted {
                walk.order.append(path)
            }
            for after in soft.after { load(after, &walk) }
        }
    }
}
