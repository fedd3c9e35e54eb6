internal import Glibc
public import Model
public import OCI
internal import Synchronization

/// The images of this host: an OCI image layout (OCI image spec 1.1, image-layout.md) in a directory.
///
/// Every change is made under a lock file, so several processes may use one store. A blob is written under a temporary
/// name, synced and renamed before `index.json` names it; `index.json` is replaced whole. A crash at any point leaves
/// the old or the new state, and at worst files that nothing refers to, which ``collectGarbage()`` removes.
public struct ImageStore: Sendable {
    /// The layout's directory.
    public let path: String
    let factsCache = ImageFactsCache()

    static let nameAnnotation = "org.opencontainers.image.ref.name"
    private static let temporaryPrefix = ".tmp-"
    private static let serial = Atomic<UInt64>(0)

    /// Opens the store, making it where it is not there yet.
    public init(path: String) throws(Problem) {
        self.path = path
        for directory in [path, path + "/blobs", path + "/blobs/sha256"] { try Directory.make(directory) }
        try locked { () throws(Problem) in
            if !Directory.exists(path + "/oci-layout") {
                try replaceFile("oci-layout", with: Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
            }
            if !Directory.exists(path + "/index.json") {
                try replaceFile("index.json", with: ImageIndex().encoded())
            }
        }
    }

    /// One image of the store.
    public struct Entry: Sendable {
        /// `name:tag`
        public let name: String
        public let digest: OCI.Digest
        public let manifest: Manifest
    }

    /// All images whose manifest is whole, by name; ``verify()`` tells of the others.
    public func list() throws(Problem) -> [Entry] {
        try names().compactMap { name, digest in
            (try? manifest(for: digest)).map { Entry(name: name, digest: digest, manifest: $0) }
        }
    }

    func names() throws(Problem) -> [(name: String, digest: OCI.Digest)] {
        try readIndex().manifests
            .compactMap { descriptor in
                descriptor.annotations?[Self.nameAnnotation].map { ($0, descriptor.digest) }
            }
            .sorted { $0.0 < $1.0 }
    }

    /// The manifest that a name, `name:tag` or `name@digest` stands for.
    public func resolve(_ name: String) throws(Problem) -> OCI.Digest {
        let reference = try Self.localReference(name)
        let full = Self.fullName(reference)
        for descriptor in try readIndex().manifests {
            let known = descriptor.annotations?[Self.nameAnnotation]
            let isNamed =
                reference.tag == nil && reference.digest != nil
                ? known?.hasPrefix(reference.repository + ":") == true : known == full
            if isNamed, reference.digest == nil || reference.digest == descriptor.digest { return descriptor.digest }
        }
        throw .notFound("image", name)
    }

    public func manifest(for digest: OCI.Digest) throws(Problem) -> Manifest {
        let bytes = try readBlob(digest, limitBytes: Manifest.limitBytes)
        do throws(ManifestError) {
            return try Manifest(parsing: bytes)
        } catch {
            throw .damaged("the manifest \(digest)", "\(error)")
        }
    }

    /// The chunk index of an image, its digest and its agreement with the manifest checked.
    public func chunkIndex(for manifest: Manifest) throws(Problem) -> ChunkIndex {
        let bytes = try readBlob(manifest.index.digest, limitBytes: ChunkIndex.limitBytes)
        do throws(ChunkIndexError) {
            let index = try ChunkIndex(parsing: bytes)
            guard index.blobBytes == manifest.disk.size else {
                throw ChunkIndexError.blobBytesMismatch(covered: index.blobBytes, expected: manifest.disk.size)
            }
            return index
        } catch {
            throw .damaged("the chunk index \(manifest.index.digest)", "\(error)")
        }
    }

    /// Where a blob's bytes are, for servers that send them. The file never changes; it may be removed.
    public func blobPath(_ digest: OCI.Digest) -> String { path + "/blobs/sha256/" + digest.hex }

    /// Takes a name away, and every blob that no other image refers to.
    public func remove(_ name: String) throws(Problem) {
        let digest = try resolve(name)
        let reference = try Self.localReference(name)
        try locked { () throws(Problem) in
            var index = try readIndex()
            index.manifests.removeAll {
                guard let known = $0.annotations?[Self.nameAnnotation], $0.digest == digest else { return false }
                return reference.digest != nil && reference.tag == nil
                    ? known.hasPrefix(reference.repository + ":") : known == Self.fullName(reference)
            }
            try replaceFile("index.json", with: index.encoded())
            try sweep()
        }
    }

    /// Removes blobs that nothing refers to and temporary files that nobody writes any more.
    public func collectGarbage() throws(Problem) {
        try locked { () throws(Problem) in try sweep() }
    }

    // MARK: - Adding

    /// A blob that is being written: under a temporary name and locked, so that no sweep takes it.
    final class Draft: Sendable {
        let file: DiskFile
        private let isKept = Mutex(false)

        fileprivate init(file: DiskFile) { self.file = file }
        fileprivate func keep() { isKept.withLock { $0 = true } }
        deinit { if !isKept.withLock({ $0 }) { try? Directory.remove(file.path) } }
    }

    func makeDraft() throws(Problem) -> Draft {
        try locked { () throws(Problem) in
            let number = Self.serial.wrappingAdd(1, ordering: .relaxed).newValue
            let name = "\(Self.temporaryPrefix)\(getpid())-\(UInt32.random(in: 0 ... .max))-\(number)"
            let file = try DiskFile(path + "/blobs/sha256/" + name, .create)
            file.lock()
            return Draft(file: file)
        }
    }

    /// Makes drafts into blobs and gives them a name, all or nothing as far as a reader can see.
    ///
    /// A name that stands for another image keeps it: a machine may be reading that, and its blobs would be swept.
    func commit(
        name: String, disk: (draft: Draft, digest: OCI.Digest), index: [UInt8], manifest: Manifest
    ) throws(Problem) -> OCI.Digest {
        let full = Self.fullName(try Self.localReference(name))
        let bytes = manifest.encoded()
        let digest = BlobHasher.digest(bytes)
        try refuseIfTaken(full, by: manifest)
        try disk.draft.file.synchronize()
        return try locked { () throws(Problem) in
            // Checked before; with the lock nobody is quicker.
            try refuseIfTaken(full, by: manifest)
            try Directory.rename(disk.draft.file.path, to: blobPath(disk.digest))
            disk.draft.keep()
            // The same image once more: its files are written anew, as where one was damaged, and it keeps its digest.
            if let known = try names().first(where: { $0.name == full }), (try? self.manifest(for: known.digest)) != nil {
                try writeBlob(index)
                try Directory.synchronize(path + "/blobs/sha256")
                return known.digest
            }
            for blob in [Descriptor.emptyBytes, index, bytes] { try writeBlob(blob) }
            try Directory.synchronize(path + "/blobs/sha256")
            var layout = try readIndex()
            layout.manifests.removeAll { $0.annotations?[Self.nameAnnotation] == full }
            layout.manifests.append(
                Descriptor(
                    mediaType: MediaType.manifest, digest: digest, size: UInt64(bytes.count),
                    artifactType: MediaType.image, annotations: [Self.nameAnnotation: full]))
            try replaceFile("index.json", with: layout.encoded())
            // A name that pointed elsewhere may have left blobs behind.
            try sweep()
            return digest
        }
    }

    /// Throws where the name stands for an image already.
    public func refuseIfTaken(_ name: String) throws(Problem) {
        try refuseIfTaken(Self.fullName(try Self.localReference(name)), by: nil)
    }

    /// - Parameter image: what is to get the name; the same image may, under whichever date.
    private func refuseIfTaken(_ full: String, by image: Manifest?) throws(Problem) {
        guard let known = try names().first(where: { $0.name == full }), let old = try? manifest(for: known.digest) else { return }
        if let image, Self.isSame(old, image) { return }
        let short = ImageName.short(ofFull: full)
        throw Problem(
            "image-exists", status: 409, title: "There is an image “\(short)” already", detail: "It is \(known.digest).",
            remedy: "Give the new one another name, as \(short.split(separator: ":").first.map(String.init) ?? short):2026-01, "
                + "or take the old one away first: hostler image remove \(short)")
    }

    private static func isSame(_ left: Manifest, _ right: Manifest) -> Bool {
        func facts(_ manifest: Manifest) -> [String: String] {
            (manifest.annotations ?? [:]).filter { $0.key != "org.opencontainers.image.created" }
        }
        return left.disk.digest == right.disk.digest && left.index.digest == right.index.digest && facts(left) == facts(right)
    }

    // MARK: - Files

    private func writeBlob(_ bytes: [UInt8]) throws(Problem) {
        try replaceFile("blobs/sha256/" + BlobHasher.digest(bytes).hex, with: bytes)
    }

    /// Writes beside, syncs, renames, syncs the directory.
    private func replaceFile(_ name: String, with bytes: [UInt8]) throws(Problem) {
        let target = path + "/" + name
        let directory = String(target[..<(target.lastIndex(of: "/") ?? target.endIndex)])
        let temporary = directory + "/" + Self.temporaryPrefix + "replace"
        try Directory.remove(temporary)
        let file = try DiskFile(temporary, .create)
        try file.write(bytes, at: 0)
        try file.synchronize()
        try Directory.rename(temporary, to: target)
        try Directory.synchronize(directory)
    }

    private func readBlob(_ digest: OCI.Digest, limitBytes: Int) throws(Problem) -> [UInt8] {
        let file = try DiskFile(blobPath(digest), .read)
        let count = try file.byteCount()
        guard count <= UInt64(limitBytes) else { throw .damaged("the blob \(digest)", "it has \(count) bytes") }
        let bytes = try file.read(Int(count), at: 0)
        guard BlobHasher.digest(bytes) == digest else { throw .damaged("the blob \(digest)", "its digest differs") }
        return bytes
    }

    private func readIndex() throws(Problem) -> ImageIndex {
        let file = try DiskFile(path + "/index.json", .read)
        let bytes = try file.read(Int(min(try file.byteCount(), 64 << 20)), at: 0)
        return try ImageIndexFile.parse(bytes)
    }

    private func locked<Value>(_ body: () throws(Problem) -> Value) throws(Problem) -> Value {
        let lock = try DiskFile(path + "/.lock", .readWrite)
        guard lock.lock() else { throw .file("lock", lock.path, errno) }
        return try body()
    }

    /// Under the lock. Where a manifest cannot be read, nothing is removed: it might refer to anything.
    private func sweep() throws(Problem) {
        var referenced: Set<String> = []
        for descriptor in try readIndex().manifests {
            guard let manifest = try? manifest(for: descriptor.digest) else { return }
            referenced.insert(descriptor.digest.hex)
            referenced.formUnion(([manifest.config] + manifest.layers).map(\.digest.hex))
        }
        let directory = path + "/blobs/sha256"
        for name in try Directory.names(in: directory) where !referenced.contains(name) {
            let file = directory + "/" + name
            if name.hasPrefix(Self.temporaryPrefix) {
                guard let open = try? DiskFile(file, .read), open.lock(wait: false) else { continue }
                try Directory.remove(file)
            } else if OCI.Digest("sha256:" + name) != nil {
                try Directory.remove(file)
            }
        }
    }

    // MARK: - Names

    /// DNS-like ASCII names only: a reference without registry and slash.
    static func localReference(_ name: String) throws(Problem) -> Reference {
        guard let reference = try? Reference(name), reference.isLocalName else {
            throw Problem(
                "invalid-image-name", title: "“\(name)” is not an image name",
                detail: "A name has lowercase letters, digits, dots and dashes, and may end in a :tag.",
                remedy: "Use a name such as debian-12 or debian-12:2026-01.")
        }
        return reference
    }

    static func fullName(_ reference: Reference) -> String { "\(reference.repository):\(reference.tag ?? "latest")" }
}
