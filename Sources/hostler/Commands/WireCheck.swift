import BootServices
import NIOPosix
import Wire

/// Who answers DHCP on a wire, found by asking.
struct WireCheck {
    var interface: String
    /// Ours on that wire, where it is configured.
    var ownAddress = IPv4Address.any
    var namespace: String?
    /// Beside another server: then there must be one.
    var isProxy = false
    /// What becomes of unknown machines there, where it is configured.
    private(set) var policies: [HostCheck.Finding] = []

    init(interface: String, namespace: String? = nil) {
        self.interface = interface
        self.namespace = namespace
    }

    init(_ network: BootNetwork) {
        interface = network.interface
        ownAddress = network.address.address
        namespace = network.namespace
        isProxy = network.mode == .proxy
        policies = network.policyStatements.map { statement in
            let isWide = statement.policy == .discover
            return .init(
                what: "policy on \(network.interface)", level: isWide ? .warning : .good,
                found: "\(statement.prefix): \(statement.text)",
                remedy: isWide ? "Where servers of others may start from the network, set policy: inspect-empty or known." : nil)
        }
    }

    func findings(within time: Duration = DHCPProbe.usualTime) async -> [HostCheck.Finding] {
        do {
            let group = try await NamespaceThreads.group(namespace: namespace, threads: 1)
            do {
                let answers = try await DHCPProbe(interface: interface, ownAddress: ownAddress).run(on: group, for: time)
                try await group.shutdownGracefully()
                return policies + findings(answers)
            } catch {
                try? await group.shutdownGracefully()
                throw error
            }
        } catch {
            return policies + [finding(.warning, "cannot be asked: \(error)", "Run it as root, with an interface of this host (ip link).")]
        }
    }

    func findings(_ answers: [DHCPProbe.Answer]) -> [HostCheck.Finding] {
        let found = answers.map { "\($0.server) answers, and offers \($0.offered)" }
        if isProxy, answers.isEmpty {
            return [
                finding(
                    .warning, "no server answers",
                    "In proxy mode another DHCP server must give the addresses: start it, or set the network's mode to server.")
            ]
        }
        if isProxy { return found.map { finding(.good, $0, nil) } }
        if answers.isEmpty { return [finding(.good, "no other server answers", nil)] }
        return found.map { finding(.warning, $0, "Switch it off on that wire, or set the network's mode to proxy.") }
    }

    private func finding(_ level: HostCheck.Finding.Level, _ found: String, _ remedy: String?) -> HostCheck.Finding {
        .init(what: "DHCP on \(interface)", level: level, found: found, remedy: remedy)
    }
}
