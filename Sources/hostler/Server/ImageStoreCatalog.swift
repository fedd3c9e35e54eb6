import Control
import Images
import Model
import OCI

/// The image store as the control plane asks it.
struct ImageStoreCatalog: ImageCatalog {
    let store: ImageStore

    func image(named name: String) async throws -> InstallableImage? {
        guard let digest = try? store.resolve(name) else { return nil }
        return try installable(name: (try? ImageName.short(of: name)) ?? name, digest: digest)
    }

    func image(digest text: String) async throws -> InstallableImage? {
        guard let digest = OCI.Digest(text) else { return nil }
        return try installable(name: nil, digest: digest)
    }

    private func installable(name: String?, digest: OCI.Digest) throws -> InstallableImage? {
        guard let manifest = try? store.manifest(for: digest), let bytes = manifest.properties.diskBytes else { return nil }
        return InstallableImage(
            name: name ?? manifest.properties.name ?? digest.description, digest: digest.description,
            diskBytes: Int64(bytes), blobDigest: manifest.disk.digest, indexDigest: manifest.index.digest,
            properties: manifest.properties)
    }
}
