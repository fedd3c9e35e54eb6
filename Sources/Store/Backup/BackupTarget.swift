internal import FoundationEssentials
internal import Glibc
public import Model

/// The file that a backup is written to: never a part of a server's state, never anything but a regular file, and one that
/// is there only where that was said. A backup is put together in a folder of its own beside it, synced, and then named.
public struct BackupTarget: Sendable {
    public let path: String
    private let stateDirectory: String
    private let mayReplace: Bool

    /// Throws where no backup may be written to `path`, before anything is written.
    ///
    /// - Parameters:
    ///   - stateDirectory: the state that is backed up, where it is on this host. Directories of other servers are known by
    ///     what lies in them.
    ///   - mayReplace: whether a regular file of that name is replaced.
    public init(_ path: String, stateDirectory: String, mayReplace: Bool) throws(Problem) {
        self.path = path
        self.stateDirectory = stateDirectory
        self.mayReplace = mayReplace
        try check()
    }

    /// Calls `body` with a name in a private folder, and puts the file that it wrote there in the place of the target.
    public func write<Value>(_ body: (_ temporary: String) async throws -> Value) async throws -> Value {
        let folder = try ScratchFolder(beside: path)
        defer { folder.remove() }
        let temporary = folder.path(of: "backup")
        let value = try await body(temporary)
        try StoreFile.sync(temporary)
        // It may have taken minutes.
        try check()
        try name(temporary)
        try StoreFile.sync(StoreFile.parent(of: path))
        return value
    }

    private func name(_ temporary: String) throws {
        if !mayReplace {
            // Unlike a rename it replaces nothing, whatever has come there meanwhile.
            if link(temporary, path) == 0 { return }
            if errno == EEXIST { throw exists() }
            // A file system without hard links.
        }
        try StoreFile.rename(temporary, to: path)
    }

    // MARK: What is refused

    private func check() throws(Problem) {
        let name = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard !name.isEmpty, name != ".", name != ".." else {
            throw Problem("backup-target-special", title: "“\(path)” names no file", remedy: "Name the file to write.")
        }
        try checkFolder(StoreFile.parent(of: path))
        var found = stat()
        guard lstat(path, &found) == 0 else {
            if errno == ENOENT { return }
            throw Problem("file-unwritable", title: "\(path) cannot be written", detail: String(cString: strerror(errno)))
        }
        guard found.st_mode & S_IFMT == S_IFREG else {
            throw Problem(
                "backup-target-special", title: "\(path) is \(Self.kind(found.st_mode))",
                detail: "A backup is a file of its own; it is not written through a link or into a device.", remedy: "Name another file.")
        }
        if let known = stateFile(found) {
            throw Problem(
                "backup-target-state", title: "\(path) is the file \(known), which is part of the running state",
                detail: "A backup there would be no copy.", remedy: "Name a file of its own.")
        }
        guard mayReplace else { throw exists() }
    }

    private func exists() -> Problem {
        Problem(
            "backup-target-exists", status: 409, title: "\(path) is there already", detail: "It may be a backup that is still needed.",
            remedy: "Name another file, or replace it with --force.")
    }

    /// No folder on the way up is a state directory, by whatever links or `..` it is named.
    private func checkFolder(_ folder: String) throws(Problem) {
        var found = stat()
        guard stat(folder, &found) == 0, found.st_mode & S_IFMT == S_IFDIR else {
            throw Problem(
                "backup-folder-missing", title: "There is no folder \(folder)", remedy: "Make it first, where other people cannot read.")
        }
        var state = stat()
        let isStateHere = stat(stateDirectory, &state) == 0
        // A database that is a link lies in another folder, with its log beside it; below that folder may be other things.
        if let home = realFolder(of: "hostler.db"), Self.isSame(home, found) { throw insideState(StoreFile.parent(of: path)) }
        let linked = ["tls", "images"].compactMap { identity(of: stateDirectory + "/" + $0) }
        var level = folder
        while true {
            let isState = isStateHere && state.st_dev == found.st_dev && state.st_ino == found.st_ino
            // Every server holds this lock beside its record, whether it runs or not.
            guard !isState, access(level + "/hostler.db.lock", F_OK) != 0, !linked.contains(where: { [found] in Self.isSame($0, found) }) else {
                throw insideState(level)
            }
            let previous = found
            level += "/.."
            guard stat(level, &found) == 0, found.st_dev != previous.st_dev || found.st_ino != previous.st_ino else { return }
        }
    }

    private func insideState(_ folder: String) -> Problem {
        Problem(
            "backup-target-state", title: "\(path) is inside a state directory, \(folder)",
            detail: "It could replace the record, and it would be lost with it.", remedy: "Name a file elsewhere, better on another disk.")
    }

    private static func isSame(_ one: stat, _ other: stat) -> Bool { one.st_dev == other.st_dev && one.st_ino == other.st_ino }

    /// Of what a name stands for, through links; nil: nothing.
    private func identity(of path: String) -> stat? {
        var found = stat()
        return stat(path, &found) == 0 ? found : nil
    }

    /// The folder in which a file of the state lies in truth.
    private func realFolder(of name: String) -> stat? {
        guard let real = realpath(stateDirectory + "/" + name, nil) else { return nil }
        defer { free(real) }
        return identity(of: StoreFile.parent(of: String(cString: real)))
    }

    /// The file below the state directory that this one is, by its name or through a link.
    private func stateFile(_ wanted: stat) -> String? {
        let names = (try? FileManager.default.subpathsOfDirectory(atPath: stateDirectory)) ?? []
        return names.lazy.map { stateDirectory + "/" + $0 }.first { name in
            var found = stat()
            return stat(name, &found) == 0 && found.st_dev == wanted.st_dev && found.st_ino == wanted.st_ino
        }
    }

    private static func kind(_ mode: mode_t) -> String {
        switch mode & S_IFMT {
        case S_IFDIR: "a directory"
        case S_IFLNK: "a symbolic link"
        case S_IFBLK, S_IFCHR: "a device"
        case S_IFIFO: "a named pipe"
        case S_IFSOCK: "a socket"
        default: "no regular file"
        }
    }
}
