internal import Wire

/// The entries of a directory: the root's label, and a file's 8.3 entry after its long-name entries (FAT §6, §7).
struct FATDirectory {
    private(set) var bytes: [UInt8] = []
    private var longNames: Set<String> = []
    private var shortNames: Set<[UInt8]> = []

    private static let date1980: UInt16 = 1 << 5 | 1
    private static let forbidden = Set("\"*/:<>?\\|")

    static func paddedLabel(_ label: String) -> [UInt8] {
        Array(label.utf8) + Array(repeating: UInt8(ascii: " "), count: max(0, 11 - label.utf8.count))
    }

    mutating func add(label: String) throws(FATError) {
        guard (1...11).contains(label.utf8.count), label.utf8.allSatisfy(Self.isShortByte) else {
            throw .invalidLabel(label)
        }
        append(shortName: Self.paddedLabel(label), attributes: 0x08, firstCluster: 0, byteCount: 0)
    }

    /// A subdirectory's first two entries, itself and the one that it is in; that is 0 for the root (FAT §6.5).
    mutating func addDots(own: UInt32, parent: UInt32) {
        for (name, cluster) in [(".", own), ("..", parent)] {
            append(shortName: Self.paddedLabel(name), attributes: 0x10, firstCluster: cluster, byteCount: 0)
        }
    }

    /// A directory's `byteCount` is 0.
    mutating func add(name: String, firstCluster: UInt32, byteCount: UInt32, isDirectory: Bool = false) throws(FATError) {
        let units = Array(name.utf16)
        guard (1...255).contains(units.count), units.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }),
            !name.contains(where: Self.forbidden.contains), name.last != ".", name.last != " "
        else { throw .invalidName(name) }
        guard longNames.insert(name.lowercased()).inserted else { throw .duplicateName(name) }
        let (short, isExact) = try shortName(for: name)
        shortNames.insert(short)
        if !isExact { appendLongName(units, checksum: Self.checksum(short)) }
        append(shortName: short, attributes: isDirectory ? 0x10 : 0x20, firstCluster: firstCluster, byteCount: byteCount)
    }

    /// The 11 bytes of a short name, and whether they say the name exactly.
    private func shortName(for name: String) throws(FATError) -> (bytes: [UInt8], isExact: Bool) {
        let dot = name.lastIndex(of: ".")
        let base = String(dot.map { name[..<$0] } ?? name[...])
        let ending = dot.map { String(name[name.index(after: $0)...]) } ?? ""
        let isExact =
            (1...8).contains(base.utf8.count) && ending.utf8.count <= 3 && (dot == nil || !ending.isEmpty)
            && (base + ending).utf8.allSatisfy(Self.isShortByte)
        let shortEnding = Array(Self.shortBytes(ending).prefix(3))
        func padded(_ base: [UInt8]) -> [UInt8] {
            func pad(_ part: [UInt8], _ count: Int) -> [UInt8] {
                part + Array(repeating: UInt8(ascii: " "), count: count - part.count)
            }
            return pad(base, 8) + pad(shortEnding, 3)
        }
        if isExact, !shortNames.contains(padded(Array(base.utf8))) { return (padded(Array(base.utf8)), true) }
        for number in 1...9999 {
            let tail = Array("~\(number)".utf8)
            let candidate = padded(Array(Self.shortBytes(base).prefix(8 - tail.count)) + tail)
            if !shortNames.contains(candidate) { return (candidate, false) }
        }
        throw .duplicateName(name)
    }

    private static func shortBytes(_ text: String) -> [UInt8] {
        text.uppercased().utf8.filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: ".") }
            .map { isShortByte($0) ? $0 : UInt8(ascii: "_") }
    }

    /// Upper-case letters, digits and the signs that FAT §6.1 allows.
    private static func isShortByte(_ byte: UInt8) -> Bool {
        (65...90).contains(byte) || (48...57).contains(byte) || "$%'-_@~`!(){}^#&".utf8.contains(byte)
    }

    static func checksum(_ shortName: [UInt8]) -> UInt8 {
        shortName.reduce(0) { sum, byte in (sum & 1) << 7 &+ sum >> 1 &+ byte }
    }

    private mutating func appendLongName(_ units: [UInt16], checksum: UInt8) {
        // The name, a NUL if there is room for one, and 0xFFFF to the end of the last entry.
        var padded = units
        if !padded.count.isMultiple(of: 13) { padded.append(0) }
        while !padded.count.isMultiple(of: 13) { padded.append(0xffff) }
        let count = padded.count / 13
        for number in (1...count).reversed() {
            let part = Array(padded[(number - 1) * 13..<number * 13])
            var writer = ByteWriter(reservingCapacity: 32)
            writer.write(UInt8(number) | (number == count ? 0x40 : 0))
            for unit in part[0..<5] { writer.writeLE(unit) }
            writer.write(UInt8(0x0f))
            writer.write(UInt8(0))
            writer.write(checksum)
            for unit in part[5..<11] { writer.writeLE(unit) }
            writer.writeZeros(2)
            for unit in part[11..<13] { writer.writeLE(unit) }
            bytes += writer.bytes
        }
    }

    private mutating func append(shortName: [UInt8], attributes: UInt8, firstCluster: UInt32, byteCount: UInt32) {
        var writer = ByteWriter(reservingCapacity: 32)
        writer.write(shortName, paddedTo: 11)
        writer.write(attributes)
        writer.writeZeros(4)
        writer.writeLE(Self.date1980)
        writer.writeLE(Self.date1980)
        writer.writeLE(UInt16(truncatingIfNeeded: firstCluster >> 16))
        writer.writeZeros(2)
        writer.writeLE(Self.date1980)
        writer.writeLE(UInt16(truncatingIfNeeded: firstCluster))
        writer.writeLE(byteCount)
        bytes += writer.bytes
    }
}
