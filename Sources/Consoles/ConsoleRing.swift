/// The last bytes of a serial console. The oldest give way.
struct ConsoleRing: Sendable {
    static let defaultCapacityBytes = 1 << 20

    private var storage: [UInt8] = []
    private var start = 0
    let capacityBytes: Int
    /// Bytes appended since it was made, those lost included.
    private(set) var totalBytes: UInt64 = 0

    init(capacityBytes: Int = ConsoleRing.defaultCapacityBytes) {
        self.capacityBytes = max(1, capacityBytes)
    }

    mutating func append(_ bytes: some Collection<UInt8>) {
        totalBytes += UInt64(bytes.count)
        var new = bytes.suffix(capacityBytes)[...]
        let room = capacityBytes - storage.count
        if room > 0 {
            storage.append(contentsOf: new.prefix(room))
            new = new.dropFirst(room)
        }
        for byte in new {
            storage[start] = byte
            start = (start + 1) % capacityBytes
        }
    }

    var count: Int { storage.count }

    /// Oldest byte first.
    var contents: [UInt8] { Array(storage[start...] + storage[..<start]) }
}
