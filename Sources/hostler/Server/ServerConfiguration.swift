import BootServices
import Control
import FoundationEssentials
import Model
import VirtualRack
import Wire
import Yams

/// What `hostler serve` runs with: flags, then environment, then the file.
struct ServerConfiguration: Codable, Sendable {
    var stateDirectory: String?
    var bootFiles: String?
    var api: API?
    var networks: [Network]?
    var identity: Identity?
    /// The network namespace from which BMCs are reached; without it the program's own.
    var bmcNamespace: String?
    var health: HealthPolicy?
    var consoles: ConsolePolicy?
    var discoveryLimits: DiscoveryLimits?
    /// Backups that the server takes by itself.
    var backup: BackupSettings?
    /// How much may be wiped, installed or switched off before somebody is asked again.
    var brake: BrakeLimits?

    /// Who machines are to others.
    struct Identity: Codable, Sendable {
        /// The URL at which relying parties reach this server; without it the API's own address.
        var issuer: String?
        /// For machines that have no label `region`.
        var region: String?
        /// A PEM file of TPM makers' authorities; without it the first TPM that a machine shows is believed.
        var tpmRoots: String?
        /// Whether installed systems fetch their SSH host certificates, each day.
        var hostCertificates: Bool?
    }

    struct API: Codable, Sendable {
        var address: String?
        var port: Int?
        /// PEM files; without them a CA of our own is made.
        var certificate: String?
        var key: String?
        var tls: Bool?
    }

    /// A network on which machines are served, as the file has it.
    struct Network: Codable, Sendable {
        var name: String?
        var interface: String
        /// Hostler's address there, as `10.0.0.2/24`.
        var address: IPv4Prefix
        var mode: BootNetwork.Mode?
        /// `first-last`, as `10.0.0.100-10.0.0.200`.
        var ranges: [String]?
        var reservations: [BootNetwork.Reservation]?
        var router: IPv4Address?
        var dns: [IPv4Address]?
        var domain: String?
        var ntp: [IPv4Address]?
        var mtu: UInt16?
        var routes: [BootNetwork.Route]?
        var subnets: [Subnet]?
        var leaseSeconds: UInt32?
        var namespace: String?
        var httpPort: Int?
        /// What becomes of machines that nobody knows.
        var policy: DiscoveryPolicy?
        /// What `policy` was before there were four: true is `discover`, false is `known`.
        var discovery: Bool?
        var attestation: Bool?
        var metadata: MetadataSettings?

        func bootNetwork() throws -> BootNetwork {
            var network = BootNetwork(name: name ?? interface, interface: interface, address: address, namespace: namespace)
            network.mode = mode ?? .server
            network.ranges = try (ranges ?? []).map(Self.range)
            network.reservations = reservations ?? []
            network.router = router
            network.dns = dns ?? []
            network.domain = domain
            network.ntp = ntp ?? []
            network.mtu = mtu
            network.routes = routes ?? []
            network.subnets = try (subnets ?? []).map { try $0.bootSubnet() }
            network.leaseSeconds = leaseSeconds ?? network.leaseSeconds
            network.httpPort = httpPort ?? network.httpPort
            network.chosenPolicy = try chosenPolicy()
            network.attestation = attestation ?? false
            network.metadata = metadata ?? MetadataSettings()
            return network
        }

        private func chosenPolicy() throws(Problem) -> DiscoveryPolicy? {
            guard policy == nil || discovery == nil else {
                throw Problem(
                    "config-policy", title: "The network on \(interface) has both policy and discovery",
                    detail: "discovery is the former word: true is policy: discover, false is policy: known.", remedy: "Leave discovery out.")
            }
            return policy ?? discovery.map { $0 ? .discover : .known }
        }

        static func range(_ text: String) throws -> BootNetwork.AddressRange {
            let parts = text.split(separator: "-").map(String.init)
            guard parts.count == 2, let first = IPv4Address(parts[0]), let last = IPv4Address(parts[1]), first <= last else {
                throw Problem("config-range", title: "“\(text)” is not a range of addresses", remedy: "Write 10.0.0.100-10.0.0.200.")
            }
            return .init(first: first, last: last)
        }
    }

    static let defaultPath = "/etc/hostler/hostler.yaml"

    /// An absent file at the default path is an empty configuration; a broken one is an error.
    static func load(_ path: String?) throws -> ServerConfiguration {
        let file = path ?? defaultPath
        guard let data = FileManager.default.contents(atPath: file) else {
            // One that is there and cannot be read is not passed over: the server runs as a user of its own.
            guard !FileManager.default.fileExists(atPath: file) else {
                throw Problem(
                    "config-unreadable", title: "\(file) is there and cannot be read",
                    remedy: "Let the server's user read it: chgrp hostler \(file) && chmod g+r \(file)")
            }
            guard path == nil else {
                throw Problem("config-missing", title: "There is no configuration file at \(file)", remedy: "Check --config.")
            }
            return ServerConfiguration()
        }
        do {
            let text = String(decoding: data, as: UTF8.self)
            // Comments alone are a configuration, too.
            guard try Yams.compose(yaml: text) != nil else { return ServerConfiguration() }
            let configuration = try YAMLDecoder().decode(ServerConfiguration.self, from: text)
            try UnreadMembers.check(text, against: configuration)
            return configuration
        } catch let problem as Problem {
            throw problem
        } catch {
            throw Problem("config-invalid", title: "\(file) cannot be read", detail: "\(error)", remedy: "Put it right; see docs/configuration.md.")
        }
    }

    /// The network of a lab that is up.
    static func network(ofLab name: String, address: IPv4Prefix) throws -> BootNetwork {
        let lab = try LabName(name)
        var network = BootNetwork(name: "lab-\(name)", interface: "rack0", address: address, namespace: lab.namespace)
        // All machines there are the lab's own.
        network.chosenPolicy = .discover
        return network
    }
}
