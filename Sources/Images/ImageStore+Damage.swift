internal import OCI
public import Model

extension ImageStore {
    /// What cannot be read of the images, for those who look at the server's state: such an image is in no list, and the others
    /// are as ever.
    public var damageWarnings: [Problem] {
        let all: [(name: String, digest: OCI.Digest)]
        do throws(Problem) {
            all = try names()
        } catch {
            return [error]
        }
        return all.compactMap { (name, digest) -> Problem? in
            do throws(Problem) {
                _ = try chunkIndex(for: manifest(for: digest))
                return nil
            } catch {
                return Problem(
                    "image-damaged", status: 500, title: "The image \(name) cannot be read", detail: error.title,
                    remedy: "See what else is: hostler image verify. Remove it and add it again.")
            }
        }
    }
}
