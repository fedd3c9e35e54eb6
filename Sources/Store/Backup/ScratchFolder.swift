internal import FoundationEssentials
internal import Glibc

/// A folder of mode 0700 that nobody else has a name in. Who makes one removes it.
public struct ScratchFolder {
    let path: String

    /// Beside `neighbour`, so that what is made in it can be given a name there; throws where that is impossible.
    init(beside neighbour: String) throws(StoreError) {
        let parent = StoreFile.parent(of: neighbour)
        guard let path = Self.make(in: parent) else { throw StoreFile.failure("cannot make a folder in \(parent)") }
        self.path = path
    }

    /// Beside a file that is only read, which may lie where nothing can be written.
    init(toRead file: String) throws(StoreError) {
        if let path = Self.make(in: StoreFile.parent(of: file)) {
            self.path = path
            return
        }
        let other = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        guard let path = Self.make(in: other) else { throw StoreFile.failure("cannot make a folder in \(other)") }
        self.path = path
    }

    /// With all that is in it.
    func remove() { try? FileManager.default.removeItem(atPath: path) }

    func path(of name: String) -> String { path + "/" + name }

    /// A new folder of mode 0700 in `parent`; nil where none can be made, and `errno` says why.
    public static func make(in parent: String, named prefix: String = ".hostler-") -> String? {
        var template = Array("\(parent)/\(prefix)XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { return nil }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
