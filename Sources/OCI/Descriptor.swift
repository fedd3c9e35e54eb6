/// What a blob is, what it is called and how long it is
/// (OCI image spec 1.1, descriptor.md).
public struct Descriptor: Hashable, Sendable, Codable {
    public var mediaType: String
    public var digest: Digest
    /// Length of the blob in bytes.
    public var size: UInt64
    public var artifactType: String?
    public var annotations: [String: String]?

    public init(
        mediaType: String, digest: Digest, size: UInt64, artifactType: String? = nil,
        annotations: [String: String]? = nil
    ) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.artifactType = artifactType
        self.annotations = annotations
    }

    /// The bytes `{}`, which stand for "no configuration"
    /// (OCI image spec 1.1, manifest.md, "Guidance for an Empty Descriptor").
    public static let emptyBytes: [UInt8] = [0x7b, 0x7d]
    private static let emptyDigest = Digest(sha256: [
        0x44, 0x13, 0x6f, 0xa3, 0x55, 0xb3, 0x67, 0x8a, 0x11, 0x46, 0xad, 0x16, 0xf7, 0xe8, 0x64, 0x9e,
        0x94, 0xfb, 0x4f, 0xc2, 0x1f, 0xe7, 0x7e, 0x83, 0x10, 0xc0, 0x60, 0xf6, 0x1c, 0xaa, 0xff, 0x8a,
    ])

    /// The descriptor of ``emptyBytes``.
    public static var empty: Descriptor {
        guard let digest = emptyDigest else { preconditionFailure("the constant has 32 bytes") }
        return Descriptor(mediaType: MediaType.empty, digest: digest, size: 2)
    }
}

/// The media types that an image of ours consists of.
public enum MediaType {
    public static let manifest = "application/vnd.oci.image.manifest.v1+json"
    public static let imageIndex = "application/vnd.oci.image.index.v1+json"
    public static let empty = "application/vnd.oci.empty.v1+json"
    /// The artifact type of a disk image.
    public static let image = "application/vnd.hostler.image.v1"
    /// The disk blob: zstd frames that together decompress to the raw disk.
    public static let disk = "application/vnd.hostler.disk.v1.raw+zstd"
    /// The ``ChunkIndex`` of a disk blob.
    public static let chunkIndex = "application/vnd.hostler.disk.v1.index"
}
