public import Model
public import OCI

/// The images that machines can be given, as the control plane needs to know them.
public protocol ImageCatalog: Sendable {
    /// The image of that name now, or nil.
    func image(named name: String) async throws -> InstallableImage?
    /// The image with that manifest digest, or nil.
    func image(digest: String) async throws -> InstallableImage?
}

/// An image as an installation needs it.
public struct InstallableImage: Sendable, Equatable {
    public var name: String
    /// `sha256:…` of the manifest.
    public var digest: String
    public var diskBytes: Int64
    public var blobDigest: Digest
    public var indexDigest: Digest
    public var properties: ImageProperties
    /// What its bytes say of the disks and firmware that it was made for; nil: not known.
    public var facts: ImageFacts?

    public init(
        name: String, digest: String, diskBytes: Int64, blobDigest: Digest, indexDigest: Digest, properties: ImageProperties,
        facts: ImageFacts? = nil
    ) {
        self.name = name
        self.digest = digest
        self.diskBytes = diskBytes
        self.blobDigest = blobDigest
        self.indexDigest = indexDigest
        self.properties = properties
        self.facts = facts
    }
}
