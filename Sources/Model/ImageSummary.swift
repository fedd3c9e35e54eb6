/// An image as the API shows it.
public struct ImageSummary: Codable, Sendable, Equatable {
    public var name: String
    /// `sha256:…` of its manifest.
    public var digest: String
    public var diskBytes: Int64
    /// Bytes of the disk that are not zero.
    public var dataBytes: Int64
    /// Bytes that are stored and sent.
    public var storedBytes: Int64
    public var chunkCount: Int
    public var annotations: [String: String]
    /// What its bytes say of the disks and firmware that it was made for; nil: they cannot be read.
    public var facts: ImageFacts?
    public init(
        name: String, digest: String, diskBytes: Int64, dataBytes: Int64, storedBytes: Int64, chunkCount: Int,
        annotations: [String: String], facts: ImageFacts? = nil
    ) {
        self.name = name
        self.digest = digest
        self.diskBytes = diskBytes
        self.dataBytes = dataBytes
        self.storedBytes = storedBytes
        self.chunkCount = chunkCount
        self.annotations = annotations
        self.facts = facts
    }
}
