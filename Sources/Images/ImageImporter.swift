internal import BlockIO
internal import FoundationEssentials
internal import Glibc
internal import Model
public import OCI

/// Takes disk images into the store: raw, zstd-compressed raw and qcow2, from a file or an HTTP(S) address.
public struct ImageImporter: Sendable {
    public struct Options: Sendable {
        /// What the manifest will say of the image; sizes, partition table and date are filled in,
        /// the firmware too where it is empty.
        public var properties: ImageProperties
        /// SHA-256 of the file or download as it comes, before it is unpacked.
        public var expectedDigest: OCI.Digest?
        /// The largest disk, and the largest download, in bytes.
        public var limitBytes: UInt64
        /// zstd level, 1 to 19.
        public var level: Int
        /// Whether a disk without a partition table is an error: no seed can be put on it.
        public var requiresPartitionTable: Bool
        /// How long unpacking and compressing may take, after the download.
        public var limitSeconds: Int
        /// What must stay free on the store's file system, where the record is too.
        public var reserveBytes: UInt64

        public init(
            properties: ImageProperties = ImageProperties(), expectedDigest: OCI.Digest? = nil,
            limitBytes: UInt64 = 1 << 40, level: Int = 3, requiresPartitionTable: Bool = true, limitSeconds: Int = 6 * 3600,
            reserveBytes: UInt64 = 256 << 20
        ) {
            self.properties = properties
            self.expectedDigest = expectedDigest
            self.limitBytes = limitBytes
            self.level = level
            self.requiresPartitionTable = requiresPartitionTable
            self.limitSeconds = limitSeconds
            self.reserveBytes = reserveBytes
        }
    }

    /// How far an import is.
    public enum Progress: Sendable {
        case downloaded(bytes: UInt64)
        case converting
        /// Of the disk; how large it will be is known for raw files only.
        case compressed(diskBytes: UInt64, of: UInt64?)
    }

    /// How long a download may take, all continuations counted.
    private static let downloadSeconds = 24 * 3600

    private let store: ImageStore

    public init(store: ImageStore) { self.store = store }

    /// Adds the image at `source`, a path or an `http:` or `https:` address, under `name`.
    ///
    /// A name that is there already points to the new image afterwards.
    /// - Returns: the digest of its manifest.
    public func add(
        _ source: String, name: String, options: Options = Options(),
        progress: @Sendable (Progress) -> Void = { _ in }
    ) async throws -> OCI.Digest {
        let fullName = ImageStore.fullName(try ImageStore.localReference(name))
        let file: DiskFile
        let download: ImageStore.Draft?
        if Self.isWebAddress(source) {
            let draft = try store.makeDraft()
            try await ImageDownload(
                url: source, limitBytes: options.limitBytes, bounds: bounds(options, seconds: Self.downloadSeconds)
            )
            .fetch(into: draft.file) { progress(.downloaded(bytes: $0)) }
            (file, download) = (draft.file, draft)
        } else {
            (file, download) = (try DiskFile(source, .read), nil)
            guard file.isRegular() else {
                throw Problem("image-refused", title: "\(source) is not a regular file")
            }
        }
        // The download's file is removed when its draft is let go.
        defer { withExtendedLifetime(download) {} }
        try checkDigest(of: file, options)
        let bounds = bounds(options, seconds: options.limitSeconds)

        var raw: DiskFile?
        var converted: ImageStore.Draft?
        defer { withExtendedLifetime(converted) {} }
        let diskSource: any DiskSource
        switch ImageFormat(head: try file.read(ImageFormat.headBytes, at: 0)) {
        case .raw:
            raw = file
            diskSource = try RawSource(file)
        case .zstd:
            diskSource = try ZstdSource(file, limitBytes: options.limitBytes)
        case .qcow2:
            progress(.converting)
            let draft = try store.makeDraft()
            converted = draft
            try await QemuImage.convert(file.path, to: draft.file.path, limitBytes: options.limitBytes, bounds: bounds)
            raw = draft.file
            diskSource = try RawSource(draft.file)
        case .other(let format, let remedy):
            throw Problem("image-refused", title: "\(source) is \(format), not a disk image we take", remedy: remedy)
        }
        let total = try raw?.byteCount()
        if let total, total > options.limitBytes { throw Problem.tooLarge(limitBytes: options.limitBytes) }
        let output = try await ImageWriter.write(
            BoundedSource(diskSource, bounds), level: options.level, workers: max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))),
            limitBytes: min(options.limitBytes, ChunkIndex.limitDiskBytes), draft: try store.makeDraft()
        ) { progress(.compressed(diskBytes: $0, of: total)) }
        return try commit(output, name: fullName, options)
    }

    /// Whether it is fetched; anything else is a path.
    public static func isWebAddress(_ source: String) -> Bool {
        let lower = source.lowercased()
        return lower.hasPrefix("http://") || lower.hasPrefix("https://")
    }

    /// The source as it may stand in a log: without the password of a URL.
    public static func shown(_ source: String) -> String {
        isWebAddress(source) ? WebAddress(source)?.description ?? "a URL that cannot be read" : source
    }

    private func bounds(_ options: Options, seconds: Int) -> ImportBounds {
        ImportBounds(limit: .seconds(seconds), folder: store.path, reserveBytes: options.reserveBytes)
    }

    private func checkDigest(of file: DiskFile, _ options: Options) throws {
        guard let expected = options.expectedDigest else { return }
        var hasher = BlobHasher()
        var offset: UInt64 = 0
        while true {
            let piece = try file.read(1 << 20, at: offset)
            if piece.isEmpty { break }
            hasher.update(piece)
            offset += UInt64(piece.count)
        }
        let digest = hasher.finish()
        guard digest == expected else {
            throw Problem(
                "digest-mismatch", title: "The file is not the one expected",
                detail: "Its digest is \(digest), not \(expected).", remedy: "Fetch it again, or correct the digest.")
        }
    }

    private func commit(_ output: ImageWriter.Output, name: String, _ options: Options) throws -> OCI.Digest {
        let diskBytes = output.index.diskBytes
        guard diskBytes.isMultiple(of: 512) else {
            throw Problem(
                "image-truncated", title: "The image has \(diskBytes) bytes, not a whole number of sectors",
                remedy: "It is cut off, or not a disk image: fetch it again.")
        }
        if case .other(let format, let remedy) = ImageFormat(head: output.head) {
            throw Problem("image-refused", title: "What was compressed is \(format), not a raw disk", remedy: remedy)
        }
        if ImageFormat(head: output.head) != .raw {
            throw Problem(
                "image-refused", title: "What was compressed is not a raw disk",
                remedy: "Decompress it first: zstd -d FILE")
        }
        let layout = DiskDescription(head: output.head)
        if options.requiresPartitionTable, layout.name == "none" {
            throw Problem(
                "image-unpartitioned", title: "The image has no partition table that can be read",
                detail: "A machine's first-boot data needs a partition of its own on the disk.",
                remedy: "Use a disk image with a GPT or MBR, not that of a single file system.")
        }
        var properties = options.properties
        properties.name = name
        properties.diskBytes = diskBytes
        properties.dataBytes = output.index.dataBytes
        properties.partitionTable = layout.name
        if properties.firmware.isEmpty { properties.firmware = layout.firmware }
        if properties.created == nil { properties.created = Date().formatted(.iso8601) }
        let index = output.index.encoded()
        let manifest = Manifest(
            disk: Descriptor(mediaType: MediaType.disk, digest: output.blobDigest, size: output.index.blobBytes),
            index: Descriptor(
                mediaType: MediaType.chunkIndex, digest: BlobHasher.digest(index), size: UInt64(index.count)),
            annotations: properties.annotations)
        let digest = try store.commit(
            name: name, disk: (output.draft, output.blobDigest), index: index, manifest: manifest)
        _ = try store.facts(of: digest)
        return digest
    }
}

/// What the first MiB of a disk says of it.
struct DiskDescription {
    let name: String
    let firmware: Set<ImageProperties.Firmware>

    init(head: [UInt8]) {
        guard let table = [512, 4096].lazy.compactMap({ try? PartitionTable(parsing: head, blockBytes: $0) }).first
        else {
            (name, firmware) = ("none", [])
            return
        }
        switch table {
        case .gpt(let gpt):
            let types = Set(gpt.partitions.values.map(\.type))
            var firmware: Set<ImageProperties.Firmware> = []
            if let type = GPT.KnownType.efiSystem, types.contains(type) { firmware.insert(.uefi) }
            if let type = GPT.KnownType.biosBoot, types.contains(type) { firmware.insert(.bios) }
            (name, self.firmware) = ("gpt", firmware)
        case .mbr(let mbr):
            var firmware: Set<ImageProperties.Firmware> = mbr.hasBootCode ? [.bios] : []
            if mbr.partitions.contains(where: { $0?.type == 0xef }) { firmware.insert(.uefi) }
            (name, self.firmware) = ("mbr", firmware)
        }
    }
}
