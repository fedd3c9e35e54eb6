internal import Glibc
internal import Model

/// A terminal that a program believes to sit at (pty(7)); raw, so that nothing is echoed or translated.
struct PseudoTerminal {
    /// Ours. Whoever closes it hangs up on the program.
    let near: CInt
    /// The program's.
    let far: CInt

    /// Of ioctl_tty(2): unlocks the program's side, and opens it without looking for it in /dev/pts.
    private static let setLock: UInt = 0x4004_5431
    private static let openPeer: UInt = 0x5441

    init() throws(Problem) {
        near = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard near >= 0 else { throw Self.refused(errno) }
        var isLocked: CInt = 0
        far = ioctl(near, Self.setLock, &isLocked) == 0 ? ioctl(near, Self.openPeer, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1
        guard far >= 0 else {
            let error = errno
            close(near)
            throw Self.refused(error)
        }
        var settings = termios()
        tcgetattr(far, &settings)
        cfmakeraw(&settings)
        tcsetattr(far, TCSANOW, &settings)
    }

    private static func refused(_ error: CInt) -> Problem {
        Problem(
            "terminal-refused", status: 503, title: "The system gives no further terminal", detail: String(cString: strerror(error)),
            remedy: "Each recorded console needs one: see /proc/sys/kernel/pty/max and the limit of open files.")
    }
}
