internal import Glibc
internal import NIOCore
internal import NetBoot
internal import Synchronization

/// The files of one folder by TFTP: those directly in it, no links, no subfolders. All transfers of a file share one
/// descriptor: a read request, which anybody can send in anybody's name, costs none.
final class BootFolder: TFTPFileSource {
    let path: String
    private let opened = Mutex<[String: Weak]>([:])
    private let places = Mutex<[String: Place]>([:])

    private struct Weak { weak let file: ReadOnlyFile? }

    init(path: String) { self.path = path }

    func has(_ name: String) -> Bool { access(path + "/" + (DiskLoader(name: name)?.template ?? name), R_OK) == 0 }

    /// A copy of a loader, with what its name says written into it.
    func copy(_ loader: DiskLoader) throws(FileOpenError) -> [UInt8] {
        let file = try share(loader.template)
        guard file.bytes <= UInt64(DiskLoader.limitBytes) else { throw .absent }
        var bytes = try file.read(0..<file.bytes)
        loader.patch(of: bytes)?.apply(to: &bytes, of: 0..<file.bytes)
        return bytes
    }

    func open(_ name: String, from client: SocketAddress) async throws -> TFTPFile {
        guard !name.contains("/") else { throw TFTPFileError.notFound(name) }
        if let loader = DiskLoader(name: name) { return try open(loader) }
        let file: ReadOnlyFile
        do throws(FileOpenError) {
            file = try share(name)
        } catch .absent {
            throw TFTPFileError.notFound(name)
        }
        return TFTPFile(bytes: file.bytes) { range, buffer in
            let count = Int(range.upperBound - range.lowerBound)
            let got = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { space in
                max(0, pread(file.descriptor, space.baseAddress, count, off_t(range.lowerBound)))
            }
            guard got == count else { throw TFTPFileError(code: .notDefined, message: "the file cannot be read") }
        }
    }

    /// Each piece is read from the one file and changed on its way: a request, which anybody can send, keeps no copy of it.
    private func open(_ loader: DiskLoader) throws -> TFTPFile {
        let file: ReadOnlyFile
        let patch: DiskLoader.Patch?
        do throws(FileOpenError) {
            file = try share(loader.template)
            patch = try self.patch(loader, of: file)
        } catch .absent {
            throw TFTPFileError.notFound(loader.name)
        }
        return TFTPFile(bytes: file.bytes) { range, buffer in
            guard var piece = try? file.read(range) else {
                throw TFTPFileError(code: .notDefined, message: "the file cannot be read")
            }
            patch?.apply(to: &piece, of: range)
            buffer.writeBytes(piece)
        }
    }

    /// The place in a file is looked for once.
    private func patch(_ loader: DiskLoader, of file: ReadOnlyFile) throws(FileOpenError) -> DiskLoader.Patch? {
        let known = places.withLock { $0[loader.template] }
        if let known, known.identity == file.identity {
            return known.offset.map { DiskLoader.Patch(offset: $0, bytes: loader.content) }
        }
        guard file.bytes <= UInt64(DiskLoader.limitBytes) else { return nil }
        let patch = loader.patch(of: try file.read(0..<file.bytes))
        places.withLock { $0[loader.template] = Place(identity: file.identity, offset: patch?.offset) }
        return patch
    }

    private struct Place {
        let identity: FileIdentity
        let offset: Int?
    }

    private func share(_ name: String) throws(FileOpenError) -> ReadOnlyFile {
        var status = stat()
        guard lstat(path + "/" + name, &status) == 0 else { throw FileOpenError(errno: errno) }
        let identity = FileIdentity(status)
        if let file = opened.withLock({ $0[name]?.file }), file.identity == identity { return file }
        let file = try ReadOnlyFile(path: path + "/" + name)
        opened.withLock { opened in
            opened = opened.filter { $0.value.file != nil }
            opened[name] = Weak(file: file)
        }
        return file
    }
}

/// Tells whether a path still leads to the same content.
private struct FileIdentity: Equatable {
    let device: UInt64
    let node: UInt64
    let bytes: Int64
    let seconds: Int64
    let nanoseconds: Int64

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        node = UInt64(status.st_ino)
        bytes = Int64(status.st_size)
        seconds = Int64(status.st_mtim.tv_sec)
        nanoseconds = Int64(status.st_mtim.tv_nsec)
    }
}

/// A regular file that is read by position; closed with its last reference.
private final class ReadOnlyFile: Sendable {
    let descriptor: CInt
    let bytes: UInt64
    let identity: FileIdentity

    init(path: String) throws(FileOpenError) {
        let (descriptor, status) = try RegularFile.open(path)
        self.descriptor = descriptor
        bytes = UInt64(status.st_size)
        identity = FileIdentity(status)
    }

    /// All bytes of the range, or an error.
    func read(_ range: Range<UInt64>) throws(FileOpenError) -> [UInt8] {
        let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { space, count in
            count = max(0, pread(descriptor, space.baseAddress, range.count, off_t(range.lowerBound)))
        }
        guard bytes.count == range.count else { throw .unavailable(errno: EIO) }
        return bytes
    }

    deinit { close(descriptor) }
}
