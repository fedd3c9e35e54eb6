/// The text of a kernel's `modules.alias`, matched as modprobe does it.
///
/// Some ten thousand patterns are matched against some hundred device names
/// at boot, so patterns are found by a hash of their bus and the first
/// characters of the identifier (the vendor of `pci:v00008086d…`), and only
/// those are tried. A clash of hashes costs a comparison, never a wrong match.
public struct ModuleAliases: Sendable {
    private let text: [UInt8]
    private let entries: [Entry]
    private let buckets: [UInt64: [Int32]]

    private struct Entry {
        let pattern: Range<Int>
        let module: Range<Int>
    }

    /// Characters after `bus:` that take part in the hash: `v00008086` has nine.
    private static let vendorCharacters = 9

    public init(text: [UInt8]) {
        var entries: [Entry] = []
        var buckets: [UInt64: [Int32]] = [:]
        let keyword = Array("alias ".utf8)
        var start = 0
        while start < text.count {
            let end = text[start...].firstIndex(of: 10) ?? text.count
            defer { start = end + 1 }
            guard text[start..<end].starts(with: keyword) else { continue }
            let first = start + keyword.count
            // The module's name has no spaces; a pattern of a DMI name may have.
            guard let space = text[first..<end].lastIndex(of: 32), space > first, space + 1 < end else { continue }
            let entry = Entry(pattern: first..<space, module: space + 1..<end)
            buckets[Self.key(ofPattern: text[entry.pattern]), default: []].append(Int32(entries.count))
            entries.append(entry)
        }
        self.text = text
        self.entries = entries
        self.buckets = buckets
    }

    /// How many aliases there are.
    public var count: Int { entries.count }

    /// The modules for a device's `modalias` attribute, each once, in the file's order.
    public func modules(for modalias: String) -> [String] {
        let name = Array(FirmwareText.trim(modalias).utf8)
        guard !name.isEmpty else { return [] }
        let candidates = Self.keys(ofName: name).flatMap { buckets[$0] ?? [] }.sorted()
        var found: [String] = []
        for index in candidates {
            let entry = entries[Int(index)]
            guard ModuleGlob.matches(text[entry.pattern], name[...]) else { continue }
            let module = ModuleName.normalised(text[entry.module])
            if !found.contains(module) { found.append(module) }
        }
        return found
    }

    /// Bus and vendor where the pattern has both in plain characters, else the bus, else nothing.
    private static func key(ofPattern pattern: ArraySlice<UInt8>) -> UInt64 {
        let plain = pattern.prefix { !ModuleGlob.isSpecial($0) }
        guard let colon = plain.firstIndex(of: UInt8(ascii: ":")) else { return hash([]) }
        let bus = plain[..<(colon + 1)]
        return plain.count >= bus.count + vendorCharacters
            ? hash(plain.prefix(bus.count + vendorCharacters)) : hash(bus)
    }

    private static func keys(ofName name: [UInt8]) -> Set<UInt64> {
        var keys: Set<UInt64> = [hash([])]
        guard let colon = name.firstIndex(of: UInt8(ascii: ":")) else { return keys }
        keys.insert(hash(name[...colon]))
        if name.count >= colon + 1 + vendorCharacters { keys.insert(hash(name.prefix(colon + 1 + vendorCharacters))) }
        return keys
    }

    /// FNV-1a, with `-` taken for `_` as everywhere in module names.
    private static func hash(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64(ModuleName.normalised($1))) &* 0x100_0000_01b3 }
    }
}

/// Names of kernel modules: `-` and `_` are the same character in them.
enum ModuleName {
    static func normalised(_ byte: UInt8) -> UInt8 { byte == UInt8(ascii: "-") ? UInt8(ascii: "_") : byte }

    static func normalised(_ name: some Sequence<UInt8>) -> String {
        String(decoding: name.map { normalised($0) }, as: UTF8.self)
    }

    /// `kernel/drivers/net/virtio-net.ko.xz` → `virtio_net`.
    static func ofFile(_ path: String) -> String {
        let file = path.utf8.reversed().prefix { $0 != UInt8(ascii: "/") }.reversed()
        return normalised(file.prefix { $0 != UInt8(ascii: ".") })
    }
}

/// fnmatch(3) without flags: `*`, `?`, `[…]` with ranges and negation, `\`.
enum ModuleGlob {
    static func isSpecial(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "*") || byte == UInt8(ascii: "?") || byte == UInt8(ascii: "[")
            || byte == UInt8(ascii: "\\")
    }

    static func matches(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
        var at = pattern.startIndex
        var position = name.startIndex
        // The last star, and how much of the name it has swallowed: enough to go back to, as an
        // earlier star could only swallow what the later one can too.
        var star: (pattern: Int, name: Int)?
        while true {
            if at < pattern.endIndex, pattern[at] == UInt8(ascii: "*") {
                at += 1
                star = (at, position)
                continue
            }
            if position == name.endIndex { return at == pattern.endIndex }
            if let next = step(pattern, at, name[position]) {
                at = next
                position += 1
            } else if let back = star {
                star = (back.pattern, back.name + 1)
                (at, position) = (back.pattern, back.name + 1)
            } else {
                return false
            }
        }
    }

    /// Where the pattern goes on once one element of it took `byte`; nil if it does not take it.
    private static func step(_ pattern: ArraySlice<UInt8>, _ at: Int, _ byte: UInt8) -> Int? {
        guard at < pattern.endIndex else { return nil }
        switch pattern[at] {
        case UInt8(ascii: "?"): return at + 1
        case UInt8(ascii: "["):
            guard let (isMember, next) = bracket(pattern, at + 1, byte) else {
                return byte == UInt8(ascii: "[") ? at + 1 : nil
            }
            return isMember ? next : nil
        case UInt8(ascii: "\\") where at + 1 < pattern.endIndex:
            return same(pattern[at + 1], byte) ? at + 2 : nil
        default: return same(pattern[at], byte) ? at + 1 : nil
        }
    }

    private static func same(_ one: UInt8, _ other: UInt8) -> Bool {
        ModuleName.normalised(one) == ModuleName.normalised(other)
    }

    /// A bracket expression from after its `[`; nil where it has no end and so is a plain `[`.
    private static func bracket(_ pattern: ArraySlice<UInt8>, _ start: Int, _ byte: UInt8) -> (Bool, next: Int)? {
        var at = start
        var isNegated = false
        if at < pattern.endIndex, pattern[at] == UInt8(ascii: "!") || pattern[at] == UInt8(ascii: "^") {
            isNegated = true
            at += 1
        }
        let first = at
        var isMember = false
        while at < pattern.endIndex {
            if pattern[at] == UInt8(ascii: "]"), at > first { return (isMember != isNegated, at + 1) }
            if at + 2 < pattern.endIndex, pattern[at + 1] == UInt8(ascii: "-"), pattern[at + 2] != UInt8(ascii: "]") {
                if pattern[at] <= byte, byte <= pattern[at + 2] { isMember = true }
                at += 3
            } else {
                if pattern[at] == byte { isMember = true }
                at += 1
            }
        }
        return nil
    }
}
