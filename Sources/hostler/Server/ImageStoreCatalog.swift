import Control
import Images
import Model
import OCI

/// The image store as the control plane asks it.
struct ImageStoreCatalog: ImageCatalog {
    let store: ImageStore

    func image(named name: String) async throws -> InstallableImage? {
        guard let digest = try? store.resolve(name) else { return nil }
        guard var image = try installable(name: (try? ImageName.short(of: name)) ?? name, digest: digest) else { return nil }
        // Where the image is damaged, this is when it is to be heard of: no disk has been written yet.
        image.facts = try store.facts(of: digest)
        return image
    }

    func image(digest text: String) async throws -> InstallableImage? {
        guard let digest = OCI.Digest(text) else { return nil }
        guard var image = try installable(name: nil, digest: digest) else { return nil }
        image.facts = try? store.facts(of: digest)
        return image
    }

    private func installable(name: String?, digest: OCI.Digest) throws -> InstallableImage? {
        guard let manifest = try? store.manifest(for: digest), let bytes = manifest.properties.diskBytes else { return nil }
        return InstallableImage(
            name: name ?? manifest.properties.name ?? digest.description, digest: digest.description,
            diskBytes: Int64(bytes), blobDigest: manifest.disk.digest, indexDigest: manifest.index.digest,
            properties: manifest.properties)
    }
}
