internal import Glibc
internal import Model

/// How long an import may take and how much room it must leave, whatever the file says of itself: a file of a few KB can
/// stand for a terabyte.
struct ImportBounds: Sendable {
    let deadline: ContinuousClock.Instant
    let limit: Duration
    /// A folder of the file system that is written to.
    let folder: String
    let reserveBytes: UInt64

    init(limit: Duration, folder: String, reserveBytes: UInt64) {
        self.limit = limit
        deadline = .now.advanced(by: limit)
        self.folder = folder
        self.reserveBytes = reserveBytes
    }

    /// Throws where the time is over or the room is used up.
    func check() throws(Problem) {
        try checkTime()
        try check(for: 0)
    }

    func checkTime() throws(Problem) {
        guard ContinuousClock.now < deadline else {
            throw Problem(
                "image-import-too-long", title: "The image could not be taken within \(limit.components.seconds) s",
                detail: "What is in it is far larger than the file, or the server that it comes from, or this host, is very slow.",
                remedy: "Fetch and unpack it on another host, and add the raw disk.")
        }
    }

    /// Throws where so many bytes more would leave too little.
    func check(for bytes: UInt64) throws(Problem) {
        var facts = statvfs()
        guard statvfs(folder, &facts) == 0 else { throw .file("look at", folder, errno) }
        let (product, overflow) = UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize))
        let free = overflow ? .max : product
        guard free >= reserveBytes, free - reserveBytes >= bytes else {
            throw Problem(
                "disk-full", status: 507, title: "There is too little room for the image in \(folder)",
                detail: "\(free) bytes are free, and \(reserveBytes) of them are kept for the record.",
                remedy: "Free some space on that file system and try again.")
        }
    }
}

/// A source that is read for as long as time and room allow.
struct BoundedSource: DiskSource {
    private var source: any DiskSource
    private let bounds: ImportBounds

    init(_ source: any DiskSource, _ bounds: ImportBounds) {
        self.source = source
        self.bounds = bounds
    }

    mutating func next() throws(Problem) -> DiskPiece? {
        try bounds.check()
        return try source.next()
    }
}
