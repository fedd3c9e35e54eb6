internal import Model

/// What the exit code means; docs/cli.md and `hostler --help` tell the same.
enum ExitStatus: Int32 {
    case success = 0
    case failure = 1
    case usage = 2
    case unreachable = 3
    case unauthorised = 4
    case notFound = 5
    case conflict = 6
    /// Something would have been lost, and nobody said yes.
    case notConfirmed = 7
    /// The rack is frozen, or a limit for the whole rack was reached.
    case stopped = 8

    init(_ problem: Problem) {
        self =
            switch (problem.code, problem.status) {
            case ("server-unreachable", _), ("server-unknown", _), ("certificate-date", _): .unreachable
            case ("not-confirmed", _), ("confirmation-needed", _), ("confirmation-stale", _): .notConfirmed
            case ("frozen", _), ("brake", _): .stopped
            case (_, 401), (_, 403): .unauthorised
            case (_, 404): .notFound
            case (_, 409), (_, 412): .conflict
            default: .failure
            }
    }
}
