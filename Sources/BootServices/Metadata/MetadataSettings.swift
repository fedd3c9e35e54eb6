internal import Metadata
internal import Wire

/// What a network's configuration says of the metadata service on it.
public struct MetadataSettings: Sendable, Codable, Equatable {
    public var enabled = true
    /// Whether it answers at fd00:ec2::254 as well, where the interface has IPv6.
    public var ipv6 = true
    /// Whether a system that asks for IPv6 routers is told that fd00:ec2::/64 is on the link. Only where Hostler gives the
    /// addresses: beside another DHCP server the network is another's.
    public var advertise = true
    /// The IP TTL of replies. 1: they reach the machine, and no container behind it.
    public var hopLimit = 1
    /// Whether EC2's old way, reads without a token, is answered.
    public var tokenless = false
    /// Whether user-data and identity need the key that is on the machine's own disk.
    public var secretsNeedKey = true
    /// What people call the place, in any script.
    public var region = "local"
    /// One letter a–z: EC2's clients make the region of the zone by leaving its last character out.
    public var zone = "a"
    /// Per machine; a burst of twice as many passes.
    public var requestsPerSecond = 200
    /// Open at once, per MAC address.
    public var connectionsPerMachine = 64

    public init() {}

    private enum CodingKeys: CodingKey {
        case enabled, ipv6, advertise, hopLimit, tokenless, secretsNeedKey, region, zone, requestsPerSecond, connectionsPerMachine
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func value<T: Decodable>(_ key: CodingKeys, _ usual: T) throws -> T {
            try container.decodeIfPresent(T.self, forKey: key) ?? usual
        }
        enabled = try value(.enabled, enabled)
        ipv6 = try value(.ipv6, ipv6)
        advertise = try value(.advertise, advertise)
        hopLimit = try value(.hopLimit, hopLimit)
        tokenless = try value(.tokenless, tokenless)
        secretsNeedKey = try value(.secretsNeedKey, secretsNeedKey)
        region = try value(.region, region)
        zone = try value(.zone, zone)
        requestsPerSecond = try value(.requestsPerSecond, requestsPerSecond)
        connectionsPerMachine = try value(.connectionsPerMachine, connectionsPerMachine)
        func refuse(_ key: CodingKeys, _ why: String) -> DecodingError {
            DecodingError.dataCorruptedError(forKey: key, in: container, debugDescription: why)
        }
        guard (1...255).contains(hopLimit) else { throw refuse(.hopLimit, "hopLimit is 1 to 255") }
        guard zone.utf8.count == 1, zone.utf8.allSatisfy({ (97...122).contains($0) }) else {
            throw refuse(.zone, "zone is one letter a to z")
        }
        guard (1...64).contains(region.count), requestsPerSecond > 0, connectionsPerMachine > 0 else {
            throw refuse(.region, "region has 1 to 64 characters; limits are 1 or more")
        }
    }
}

extension BootNetwork {
    /// Where a machine stands that has the address: on this network, or on one behind a relay.
    func placement(of address: IPv4Address?) -> Placement {
        let (region, zone) = (metadata.region, metadata.zone.first ?? "a")
        let subnet = address.flatMap(subnet(of:))
        var placement = Placement(region: region, zone: zone, prefix: self.address, router: router, nameservers: dns, domain: domain)
        placement.metadataRoute = metadataRoute
        if let subnet {
            placement = Placement(
                region: region, zone: zone, prefix: subnet.prefix, router: subnet.router,
                nameservers: subnet.dns.isEmpty ? dns : subnet.dns, domain: subnet.domain ?? domain)
            placement.metadataRoute = metadataRoute(in: subnet)
        }
        let all = [metadataRoute] + subnets.map(metadataRoute(in:))
        placement.otherMetadataRoutes = all.compactMap { $0 }.filter { $0 != placement.metadataRoute }
        return placement
    }
}
