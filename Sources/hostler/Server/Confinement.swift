import CLinux
import Glibc
import Logging
import Model

/// What the server keeps of the powers that it was started with (docs/security-hardening.md).
///
/// Under systemd the unit has taken the rest away before it starts. Started by hand as root, it takes them away itself
/// and starts anew: a thread that is there already would keep its own.
struct Confinement {
    /// As capabilities(7) numbers them.
    enum Capability: Int, CaseIterable {
        case netBindService = 10
        case netAdmin = 12
        case netRaw = 13
        case sysAdmin = 21
        var bit: UInt64 { 1 << UInt64(rawValue) }
    }

    /// Who it runs as.
    struct User: Equatable {
        var user: UInt32
        var group: UInt32
    }

    /// What the kernel says of this process.
    struct Powers: Equatable {
        var user: UInt32
        var permitted: UInt64
        var bounding: UInt64
        var gainsNothing: Bool
        /// Whether user 0 is a user like others.
        var isRootPowerless: Bool

        static func now() -> Powers {
            var found = clinux_capabilities()
            _ = clinux_capabilities(&found)
            return Powers(
                user: geteuid(), permitted: found.permitted, bounding: found.bounding,
                gainsNothing: clinux_has_no_new_privileges() != 0, isRootPowerless: clinux_root_is_powerless() != 0)
        }
    }

    /// Sockets are made, or BMCs reached, in a network namespace that is not the process's own, as a lab's is.
    var entersNamespaces: Bool

    /// CAP_SYS_ADMIN is what setns(2) asks for; only a thread that enters a namespace has it in effect, and only then.
    var kept: UInt64 {
        let capabilities: [Capability] = entersNamespaces ? Capability.allCases : [.netBindService, .netAdmin, .netRaw]
        return capabilities.reduce(0) { $0 | $1.bit }
    }

    /// Nil where it has no more than it keeps; else whose process it becomes.
    func change(_ powers: Powers, stateOwner: User) -> User? {
        let canDropBounding = powers.permitted & 1 << 8 != 0
        let isRoot = powers.user == 0
        let isConfined =
            powers.permitted & ~kept == 0 && (powers.bounding & ~kept == 0 || !canDropBounding) && powers.gainsNothing
            && (!isRoot || powers.isRootPowerless) && (!isRoot || stateOwner.user == 0)
        if isConfined { return nil }
        // Without the powers of root, root cannot write what another user owns, and that user not what root left there.
        return isRoot ? stateOwner : User(user: powers.user, group: getegid())
    }

    private static let mark = "HOSTLER_CONFINED"

    /// Gives up what it does not keep. Where something is to be given up the program starts anew, in the same process,
    /// and this does not return.
    func enter(stateDirectory: String, logger: Logger) throws {
        let isSecondStart = getenv(Self.mark) != nil
        unsetenv(Self.mark)
        guard let user = change(.now(), stateOwner: try Self.owner(of: stateDirectory)) else { return }
        if isSecondStart {
            logger.warning("some privileges could not be given up", metadata: ["powers": "\(Powers.now())"])
            return
        }
        setenv(Self.mark, "1", 1)
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) } + [nil]
        let result = clinux_start_confined(kept, user.user, user.group, &arguments)
        throw Problem(
            "confinement-failed", status: 500, title: "The server could not give up the privileges that it does not need",
            detail: String(cString: strerror(-result)), remedy: "See docs/security-hardening.md.")
    }

    static func owner(of directory: String) throws -> User {
        var facts = stat()
        guard stat(directory, &facts) == 0 else {
            throw Problem("state-unreadable", status: 500, title: "\(directory) cannot be looked at", detail: String(cString: strerror(errno)))
        }
        return User(user: facts.st_uid, group: facts.st_gid)
    }
}
