internal import FoundationEssentials
internal import Model
internal import OCI

/// Reading the layout's `index.json`.
enum ImageIndexFile {
    static func parse(_ bytes: [UInt8]) throws(Problem) -> ImageIndex {
        do {
            return try JSONDecoder().decode(ImageIndex.self, from: Data(bytes))
        } catch {
            throw .damaged("index.json", "\(error)")
        }
    }
}

extension Problem {
    static func damaged(_ what: String, _ detail: String) -> Problem {
        Problem(
            "image-damaged", status: 500, title: "In the image store, \(what) is damaged", detail: detail,
            remedy: "Run “hostler image verify”, remove the image and add it again.")
    }
}
