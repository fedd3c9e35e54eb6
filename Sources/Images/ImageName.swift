public import Model
internal import OCI

/// What an image is called: `debian-12` and `debian-12:latest` are one name. All that takes a name compares this.
public enum ImageName {
    /// The short form, as `debian-12` or `debian-12:2026-01`. Throws where it is no name of the local store, or names a digest.
    public static func short(of name: String) throws(Problem) -> String {
        let reference = try ImageStore.localReference(name)
        guard reference.digest == nil else {
            throw Problem(
                "invalid-image-name", title: "“\(name)” names a digest, not an image", remedy: "Give its name, as debian-12 or debian-12:2026-01.")
        }
        return short(reference)
    }

    /// Of what the store has, which is `name:tag`.
    static func short(ofFull name: String) -> String { name.hasSuffix(":latest") ? String(name.dropLast(7)) : name }

    private static func short(_ reference: Reference) -> String { short(ofFull: ImageStore.fullName(reference)) }
}
