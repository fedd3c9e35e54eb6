/// What was read of a disk, or of a partition, to see what it holds: some windows of its bytes.
struct RegionBytes {
    struct Window {
        var start: UInt64
        var bytes: [UInt8]
    }

    /// How long the region is.
    let byteCount: UInt64
    private(set) var windows: [Window] = []

    init(byteCount: UInt64) { self.byteCount = byteCount }

    /// Reads a window as far as it lies in the region.
    mutating func take(_ range: Range<UInt64>, _ read: (_ offset: UInt64, _ count: Int) throws -> [UInt8]) {
        let clipped = range.clamped(to: 0..<byteCount)
        guard !clipped.isEmpty else { return }
        guard let bytes = try? read(clipped.lowerBound, clipped.count) else { return }
        windows.append(Window(start: clipped.lowerBound, bytes: bytes))
    }

    /// Nil where that was not read, or is not in the region.
    func bytes(at offset: UInt64, count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, offset <= byteCount, UInt64(count) <= byteCount - offset else { return nil }
        for window in windows where offset >= window.start && offset - window.start <= UInt64(window.bytes.count) {
            let first = Int(offset - window.start)
            if count <= window.bytes.count - first { return window.bytes[first..<first + count] }
        }
        return nil
    }

    func bytes(beforeEnd distance: UInt64, count: Int) -> ArraySlice<UInt8>? {
        distance <= byteCount ? bytes(at: byteCount - distance, count: count) : nil
    }

    func has(_ magic: [UInt8], at offset: UInt64) -> Bool { bytes(at: offset, count: magic.count)?.elementsEqual(magic) ?? false }

    func has(_ signature: ContentSignature) -> Bool {
        switch signature.place {
        case .start(let offset): has(signature.magic, at: offset)
        case .end(let distance):
            bytes(beforeEnd: distance, count: signature.magic.count)?.elementsEqual(signature.magic) ?? false
        }
    }

    func littleEndian16(at offset: UInt64) -> UInt16? {
        bytes(at: offset, count: 2).map { UInt16($0[$0.startIndex]) | UInt16($0[$0.startIndex + 1]) << 8 }
    }

    func littleEndian32(at offset: UInt64) -> UInt32? {
        bytes(at: offset, count: 4).map { $0.reversed().reduce(0) { $0 << 8 | UInt32($1) } }
    }

    var hasData: Bool { windows.contains { $0.bytes.contains { $0 != 0 } } }
}
