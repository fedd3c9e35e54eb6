/// Decides where an agent's server is when it has not answered for long: a pure state machine.
///
/// It follows the server to another address only where that one has shown that it knows the agent's session. Where another
/// boot server offers itself again and again and does not show that, as after a restore, the way is the one that each boot
/// takes: through the network, with a new nonce.
struct ServerSearch: Equatable {
    enum Action: Equatable {
        case rest
        /// Ask DHCP, as iPXE does, who boots this machine.
        case ask
        /// Ask these, by URL, whether they are the server of this session.
        case challenge([String])
        case move(String)
        case restart(why: String)
    }

    /// A server that restarts is back within this; a question for work is held for half a minute.
    static let patience: Duration = .seconds(120)
    /// A step of an operation is given up after as long.
    static let restartPatience: Duration = .seconds(900)
    /// Whoever answers DHCP once for somebody else restarts nobody.
    static let restartAsks = 3
    private static let limit = 4

    private(set) var base: String
    private var strange = 0
    private var offered: [String] = []

    init(base: String) { self.base = base }

    mutating func timePassed(silence: Duration) -> Action {
        guard silence >= Self.patience else {
            strange = 0
            return .rest
        }
        return .ask
    }

    /// - Parameter bases: of those who offered themselves, the present one maybe among them.
    mutating func found(_ bases: [String]) -> Action {
        offered = bases.reduce(into: []) { all, base in if base != self.base, !all.contains(base) { all.append(base) } }
        // Where it was is where it is still expected: it is down, and comes back.
        if bases.contains(base) { offered = [] }
        offered = Array(offered.prefix(Self.limit))
        guard offered.isEmpty else { return .challenge(offered) }
        strange = 0
        return .rest
    }

    /// - Parameters:
    ///   - proved: the one that is the server; nil: none of them is.
    ///   - mayRestart: whether the machine does nothing that a restart would harm.
    mutating func answered(_ proved: String?, silence: Duration, mayRestart: Bool) -> Action {
        if let proved, offered.contains(proved) {
            base = proved
            strange = 0
            return .move(proved)
        }
        strange += 1
        guard strange >= Self.restartAsks, silence >= Self.restartPatience, mayRestart else { return .rest }
        return .restart(why: "\(base) has not answered for \(silence), and \(offered.joined(separator: ", ")) boots machines here now")
    }
}
