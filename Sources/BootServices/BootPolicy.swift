public import Control
public import Wire

extension BootNetwork {
    /// Beside another DHCP server the wire is somebody's already, and what starts on it may be anybody's.
    public static func defaultPolicy(of mode: Mode) -> DiscoveryPolicy { mode == .proxy ? .known : .inspectEmpty }

    /// For machines on this wire.
    public var policy: DiscoveryPolicy { chosenPolicy ?? Self.defaultPolicy(of: mode) }

    /// For the machine that asks from an address, which may be one behind a relay, or its relay's.
    public func policy(at address: IPv4Address?) -> DiscoveryPolicy { address.flatMap(subnet)?.policy ?? policy }

    /// Whether it watches everywhere, so that nothing needs to listen but DHCP.
    public var answersNobody: Bool { policy == .watch && subnets.allSatisfy { ($0.policy ?? policy) == .watch } }

    /// Whether it says anything on its own wire: asks for other DHCP servers, or tells of routers. Neither passes a relay, so
    /// the policies of the networks behind one do not matter.
    public var speaksOnItsWire: Bool { policy != .watch }

    /// For the log and the doctor: each prefix with its policy, and what that means.
    public var policyStatements: [(prefix: IPv4Prefix, policy: DiscoveryPolicy, text: String)] {
        let byDefault = "the default \(mode == .proxy ? "beside another DHCP server" : "where Hostler gives the addresses")"
        let own = (address, policy, "\(policy.rawValue)\(chosenPolicy == nil ? ", \(byDefault)" : ""): \(policy.meaning)")
        return [own]
            + subnets.compactMap { subnet in
                subnet.policy.map { (subnet.prefix, $0, "\($0.rawValue): \($0.meaning)") }
            }
    }
}
