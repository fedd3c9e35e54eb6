import CLinux
import Glibc
import Model

/// The command line works on the server's own files as the user that they belong to: what root wrote there the server
/// could not change, and a link that the server left there could lead root elsewhere.
enum StateOwner {
    /// The state directory's owner, where this is root and the directory belongs to another user.
    static func other(of directory: String) throws -> Confinement.User? {
        guard geteuid() == 0, access(directory, F_OK) == 0 else { return nil }
        let owner = try Confinement.owner(of: directory)
        return owner.user == 0 ? nil : owner
    }

    /// Runs `body` as the owner, and is root again afterwards.
    static func acting<Value>(for directory: String, _ body: () throws -> Value) throws -> Value {
        guard let owner = try other(of: directory) else { return try body() }
        defer {
            seteuid(0)
            setegid(0)
        }
        guard setegid(owner.group) == 0, seteuid(owner.user) == 0 else { throw failed(owner, directory, errno) }
        return try body()
    }

    /// Becomes the owner for good.
    /// - Parameter needed: a file that is read afterwards, too.
    static func become(of directory: String, toRead needed: String? = nil) throws {
        guard let owner = try other(of: directory) else { return }
        let result = clinux_become_user(owner.user, owner.group)
        guard result == 0 else { throw failed(owner, directory, -result) }
        guard let needed, access(needed, R_OK) != 0 else { return }
        throw Problem(
            "file-unreadable", title: "\(needed) cannot be read by user \(owner.user), to whom \(directory) belongs",
            detail: String(cString: strerror(errno)), remedy: "Copy it to /var/tmp, with chmod a+r, and name the copy.")
    }

    private static func failed(_ owner: Confinement.User, _ directory: String, _ number: Int32) -> Problem {
        Problem(
            "state-owner", status: 500, title: "This command could not become user \(owner.user), to whom \(directory) belongs",
            detail: String(cString: strerror(number)), remedy: "Run it as root with CAP_SETUID and CAP_SETGID, or as that user.")
    }
}
