internal import FoundationEssentials

/// An OCI image manifest used as an artifact manifest
/// (OCI image spec 1.1, manifest.md, "Guidelines for Artifact Usage").
///
/// A disk image of ours has artifact type ``MediaType/image``, the empty
/// configuration, and two layers: the disk blob and its chunk index.
public struct Manifest: Hashable, Sendable, Codable {
    /// Registries refuse more than this (OCI distribution spec 1.1, "Pushing Manifests").
    public static let limitBytes = 4 << 20

    public var schemaVersion: Int
    public var mediaType: String
    public var artifactType: String?
    public var config: Descriptor
    public var layers: [Descriptor]
    public var annotations: [String: String]?

    /// A disk image's manifest.
    public init(disk: Descriptor, index: Descriptor, annotations: [String: String]) {
        schemaVersion = 2
        mediaType = MediaType.manifest
        artifactType = MediaType.image
        config = .empty
        layers = [disk, index]
        self.annotations = annotations
    }

    /// Reads a manifest and checks that it is a disk image of ours.
    public init(parsing bytes: [UInt8]) throws(ManifestError) {
        guard bytes.count <= Self.limitBytes else { throw .tooLarge(bytes: bytes.count) }
        do {
            self = try JSONDecoder().decode(Manifest.self, from: Data(bytes))
        } catch {
            throw .invalidJSON("\(error)")
        }
        guard schemaVersion == 2, mediaType == MediaType.manifest else {
            throw .notAManifest(mediaType: mediaType, schemaVersion: schemaVersion)
        }
        guard artifactType == MediaType.image else { throw .otherArtifact(artifactType) }
        guard layers.count == 2, layers[0].mediaType == MediaType.disk, layers[1].mediaType == MediaType.chunkIndex
        else { throw .otherLayers(layers.map(\.mediaType)) }
        guard layers[1].size <= UInt64(ChunkIndex.limitBytes) else { throw .indexTooLarge(bytes: layers[1].size) }
    }

    /// The disk blob. The initialisers guarantee that it is there.
    public var disk: Descriptor { layers[0] }
    /// The chunk index of the disk blob.
    public var index: Descriptor { layers[1] }
    public var properties: ImageProperties { ImageProperties(annotations: annotations ?? [:]) }

    /// The manifest's canonical bytes: keys sorted, no spaces. Equal manifests have equal bytes.
    public func encoded() -> [UInt8] { canonicalJSON(self) }
}

/// Why bytes are not the manifest of a disk image.
public enum ManifestError: Error, Equatable, Sendable {
    case tooLarge(bytes: Int)
    case invalidJSON(String)
    case notAManifest(mediaType: String, schemaVersion: Int)
    case otherArtifact(String?)
    case otherLayers([String])
    case indexTooLarge(bytes: UInt64)
}

/// The `index.json` of an OCI layout: which manifests there are
/// (OCI image spec 1.1, image-index.md, image-layout.md).
public struct ImageIndex: Hashable, Sendable, Codable {
    public var schemaVersion: Int
    public var mediaType: String?
    public var manifests: [Descriptor]
    public var annotations: [String: String]?

    public init(manifests: [Descriptor] = []) {
        schemaVersion = 2
        mediaType = MediaType.imageIndex
        self.manifests = manifests
    }

    public func encoded() -> [UInt8] { canonicalJSON(self) }
}

private func canonicalJSON(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Strings, integers, arrays and dictionaries only: encoding cannot fail.
    guard let data = try? encoder.encode(value) else { preconditionFailure("a manifest is always encodable") }
    return Array(data)
}
