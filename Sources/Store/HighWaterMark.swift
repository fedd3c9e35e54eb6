internal import Crypto
internal import FoundationEssentials
internal import Glibc
internal import Synchronization

/// The newest revision that a store has acknowledged, in a file of its own beside the database.
///
/// It is written and synced after a group of transactions is committed, and before any of them is acknowledged or shown to
/// a watcher. So no revision beyond it was ever seen by anybody, and a database that is behind it has lost what was
/// acknowledged: SQLite reads a damaged write-ahead log up to the first bad frame, and says nothing of the rest.
///
/// What it cannot show: a loss of database and mark together, as where the whole disk, or a snapshot of it, goes back in
/// time; and a disk that says it has synced what it has not.
final class HighWaterMark: Sendable {
    struct Value: Equatable, Sendable {
        var epoch: Int
        var revision: Revision
    }

    enum Found: Equatable {
        /// The store is new, or of a version before the mark.
        case nothing
        case value(Value)
        /// There is a file, and neither of its two places can be read.
        case damaged
    }

    private static let magic = Array("HSTLMARK".utf8)
    /// Two places in turns, each in a block of its own: a torn write leaves the other one.
    private static let placeBytes = 4096
    private static let fieldBytes = 32
    private static let digestBytes = 16

    static func path(ofStore path: String) -> String { path + ".mark" }

    private let file: FileHandle
    private let path: String
    /// Where the next one is written: not where the newest is.
    private let next = Mutex(0)

    /// Holds the descriptor as long as the mark is used.
    private final class FileHandle: Sendable {
        let descriptor: Int32
        init(_ descriptor: Int32) { self.descriptor = descriptor }
        deinit { _ = Glibc.close(descriptor) }
    }

    /// Opens the mark of the store at `storePath`, or makes it, and sets it.
    init(storePath: String, value: Value) throws(StoreError) {
        path = Self.path(ofStore: storePath)
        if Self.read(storePath: storePath) == .nothing {
            // Under another name until it is whole: one that is there and cannot be read is a damaged one.
            let temporary = path + ".new"
            StoreFile.remove(temporary)
            let made = FileHandle(try Self.open(temporary, O_CREAT | O_EXCL))
            try Self.write([UInt8](repeating: 0, count: 2 * Self.placeBytes), at: 0, to: made.descriptor, path)
            try Self.write(Self.encoded(value), at: Self.placeBytes, to: made.descriptor, path)
            guard fsync(made.descriptor) == 0 else { throw StoreFile.failure("cannot sync \(path)") }
            try StoreFile.rename(temporary, to: path)
            try StoreFile.sync(StoreFile.parent(of: path))
            file = made
        } else {
            file = FileHandle(try Self.open(path, 0))
            // Both: a place that was left from before a restore or a loss must not be the newer one.
            for place in [0, Self.placeBytes] { try Self.write(Self.encoded(value), at: place, to: file.descriptor, path) }
            guard fsync(file.descriptor) == 0 else { throw StoreFile.failure("cannot sync \(path)") }
        }
    }

    /// Durable when it returns.
    func set(_ value: Value) throws(StoreError) {
        let place = next.withLock { next in
            defer { next = Self.placeBytes - next }
            return next
        }
        try Self.write(Self.encoded(value), at: place, to: file.descriptor, path)
        // The size stays: there is nothing but these bytes to sync.
        guard fdatasync(file.descriptor) == 0 else { throw StoreFile.failure("cannot sync \(path)") }
    }

    static func read(storePath: String) -> Found {
        let path = path(ofStore: storePath)
        let file = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { return errno == ENOENT ? .nothing : .damaged }
        defer { _ = Glibc.close(file) }
        let values = [0, placeBytes].compactMap { place -> Value? in
            var bytes = [UInt8](repeating: 0, count: fieldBytes + digestBytes)
            guard pread(file, &bytes, bytes.count, off_t(place)) == bytes.count else { return nil }
            return decoded(bytes)
        }
        return values.max { $0.revision < $1.revision }.map { .value($0) } ?? .damaged
    }

    /// Magic, epoch, revision, 8 bytes that are zero, and the first half of the SHA-256 of all that; little-endian.
    private static func encoded(_ value: Value) -> [UInt8] {
        var bytes = magic
        for number in [Int64(value.epoch), value.revision.rawValue, 0] { withUnsafeBytes(of: number.littleEndian) { bytes += $0 } }
        return bytes + SHA256.hash(data: bytes).prefix(digestBytes)
    }

    private static func decoded(_ bytes: [UInt8]) -> Value? {
        let fields = bytes.prefix(fieldBytes)
        guard fields.starts(with: magic), SHA256.hash(data: fields).prefix(digestBytes).elementsEqual(bytes.dropFirst(fieldBytes)) else { return nil }
        func number(at offset: Int) -> Int64 { fields[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | Int64($1) } }
        let value = Value(epoch: Int(number(at: 8)), revision: Revision(rawValue: number(at: 16)))
        return (0...StoreLimits.revision).contains(value.revision.rawValue) ? value : nil
    }

    private static func open(_ path: String, _ flags: Int32) throws(StoreError) -> Int32 {
        let file = Glibc.open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0o600)
        guard file >= 0 else { throw StoreFile.failure("cannot open \(path)") }
        return file
    }

    private static func write(_ bytes: [UInt8], at offset: Int, to file: Int32, _ path: String) throws(StoreError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { pwrite(file, $0.baseAddress.map { $0 + done }, bytes.count - done, off_t(offset + done)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw StoreFile.failure("cannot write \(path)") }
            done += count
        }
    }
}
