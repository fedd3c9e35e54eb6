public import Model

/// Whether two descriptions are of one machine: the rules, and nothing else. Values in, verdict out.
///
/// 1. A person's word decides.
/// 2. What is absent, a filler, or shared with others says nothing.
/// 3. Where nothing agrees they are different.
/// 4. A port that the machine has booted by outranks claims: it decides where no claim differs, and where one differs and
///    another agrees with it. Where the wire says otherwise, claims that agree are a question.
/// 5. Without such a port, two claims that agree decide where none differs. One alone never does, and none decides against
///    another that differs.
/// 6. The rest is asked.
public enum SameMachine {
    public enum Verdict: Int, Sendable, Comparable, CaseIterable {
        case different, ask, same
        public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    /// How each fact stands.
    public struct Standings: Sendable, Equatable {
        public var hand = FactStanding.absent
        public var bootedMAC = FactStanding.absent
        public var toldMAC = FactStanding.absent
        public var uuid = FactStanding.absent
        public var serial = FactStanding.absent

        public init() {}

        public init(_ findings: [FactFinding]) {
            for finding in findings { self[finding.fact] = finding.standing }
        }

        public subscript(_ fact: IdentityFact) -> FactStanding {
            get {
                switch fact {
                case .hand: hand
                case .bootedMAC: bootedMAC
                case .toldMAC: toldMAC
                case .uuid: uuid
                case .serial: serial
                }
            }
            set {
                switch fact {
                case .hand: hand = newValue
                case .bootedMAC: bootedMAC = newValue
                case .toldMAC: toldMAC = newValue
                case .uuid: uuid = newValue
                case .serial: serial = newValue
                }
            }
        }

        fileprivate var claims: [FactStanding] { [toldMAC, uuid, serial] }
        fileprivate func count(_ standing: FactStanding) -> Int { claims.count { $0 == standing } }
    }

    public static func verdict(_ standings: Standings) -> Verdict {
        switch standings.hand {
        case .agrees: return .same
        case .differs: return .different
        case .absent, .filler, .shared: break
        }
        let (agreeing, differing) = (standings.count(.agrees), standings.count(.differs))
        switch standings.bootedMAC {
        case .agrees: return differing == 0 || differing == 1 && agreeing > 0 ? .same : .ask
        case .differs: return agreeing > 0 ? .ask : .different
        case .absent, .filler, .shared: break
        }
        if agreeing == 0 { return .different }
        return agreeing >= 2 && differing == 0 ? .same : .ask
    }

    /// Whether what was proved once is still believed. A booted port is enough: what claims say against it is shown, and
    /// does not part them.
    public static func stands(_ standings: Standings) -> Bool {
        guard standings.hand != .differs else { return false }
        return verdict(standings) == .same || standings.bootedMAC == .agrees
    }
}
