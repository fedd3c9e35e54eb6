import Metadata
import Model
import NetBoot
import Testing
import Wire

@testable import BootServices
@testable import Control

/// Machine 4 is at 127.1.0.4, behind a router for all that the service knows; no MAC address is seen there.
@Suite("The metadata service behind a DHCP relay", .timeLimit(.minutes(1)))
struct MetadataRelayTests {
    private let place = IPv4Address(value: 0x7f01_0004)
    private let timeToLive = ["X-aws-ec2-metadata-token-ttl-seconds: 60"]

    private static func subnet(_ access: BootNetwork.Subnet.Metadata.Access) throws -> BootNetwork.Subnet {
        var subnet = BootNetwork.Subnet(prefix: try #require(IPv4Prefix("127.1.0.0/24")))
        subnet.router = try address("127.1.0.1")
        subnet.dns = [try address("127.1.0.53")]
        subnet.domain = "row2.example"
        subnet.metadata.access = access
        return subnet
    }

    private func with(
        _ access: BootNetwork.Subnet.Metadata.Access = .key, _ settings: MetadataSettings = MetadataSettings(),
        _ body: (MetadataRack) async throws -> Void
    ) async throws {
        try await MetadataRack.with(settings, subnets: [Self.subnet(access)]) { rack in
            rack.lend(place, to: 4)
            try await rack.boot(4, at: place)
            try await body(rack)
        }
    }

    /// Another machine of that network.
    private func addFive(_ rack: MetadataRack) async throws {
        rack.lend(try address("127.1.0.5"), to: 5)
        try await rack.boot(5, at: try address("127.1.0.5"))
    }

    private func ask(_ rack: MetadataRack, _ path: String, _ fields: [String] = [], from source: String = "127.1.0.4") throws -> RawClient.Answer {
        try RawClient(from: source, port: rack.port).get(path, fields)
    }

    private func setUserData(_ rack: MetadataRack, of number: Int) async throws {
        let patch = MachinePatch(userData: UserDataPatch(content: Base64Bytes(base64: "c2VjcmV0"), access: .always))
        _ = try await rack.control.update(machine: try rack.machine(number).id.rawValue, with: patch, expecting: nil, by: "test")
    }

    @Test("an address alone is told nothing, and gets no token; the machine's key opens what it opens on the wire")
    func keys() async throws {
        try await with { rack in
            try await setUserData(rack, of: 4)
            let id = MetadataRack.installation(4).rawValue
            #expect(try RawClient(from: "127.1.0.4", port: rack.port).put("/latest/api/token", timeToLive).status == 403)
            #expect(try ask(rack, "/latest/meta-data/instance-id").status == 401)
            #expect(rack.service.counters["refused-unproved"] == 1)
            let key = "/k/" + (try await rack.key(4))
            #expect(try ask(rack, key + "/latest/meta-data/instance-id").body == id)
            #expect(try ask(rack, key + "/latest/user-data").body == "secret")
            #expect(try await ask(rack, "/latest/meta-data/local-ipv4", ["X-Hostler-Key: " + rack.key(4)]).body == "127.1.0.4")
            // What a token was got with it proves.
            let token = try RawClient(from: "127.1.0.4", port: rack.port).put(key + "/latest/api/token", timeToLive)
            #expect(token.status == 200)
            let field = ["X-aws-ec2-metadata-token: \(token.body)"]
            #expect(try ask(rack, "/latest/user-data", field).body == "secret")
            try await addFive(rack)
            #expect(try ask(rack, "/latest/user-data", field, from: "127.1.0.5").status == 401, "a token is its machine's")
            rack.lend(try address("127.1.0.6"), to: 4)
            #expect(try ask(rack, "/latest/user-data", field, from: "127.1.0.6").status == 401, "and its address's")
        }
    }

    @Test("the seed key opens what cloud-init fetches, and no identity")
    func seedKeys() async throws {
        try await with { rack in
            try await setUserData(rack, of: 4)
            let seed = "/k/" + (try await rack.seedKey(4))
            #expect(try ask(rack, seed + "/latest/user-data").body == "secret")
            #expect(try ask(rack, seed + "/hostler/v1/token?audience=a").status == 403)
            #expect(try ask(rack, seed + "/latest/dynamic/instance-identity/pkcs7").status == 403)
        }
    }

    @Test("a secret that is asked for by an address alone is an event, which claims no MAC address")
    func attempt() async throws {
        try await with { rack in
            try await setUserData(rack, of: 4)
            #expect(try ask(rack, "/latest/user-data").status == 403)
            let event = try await rack.event("metadata.secret-refused")
            #expect(event.machine == (try rack.machine(4).id) && event.evidence["source"] == "127.1.0.4")
            #expect(event.evidence["mac"] == nil)
        }
    }

    @Test("a key ends with what it was made for: another installation has another one")
    func incarnations() async throws {
        try await with { rack in
            let path = "/k/" + (try await rack.key(4)) + "/latest/meta-data/instance-id"
            #expect(try ask(rack, path).status == 200)
            try await rack.boot(4, at: place)
            #expect(try ask(rack, path).status == 200, "a boot into the agent alone changes nothing")
            try await rack.install(4)
            #expect(try ask(rack, path).status == 403)
            #expect(try ask(rack, path, from: "127.1.0.99").status == 403)
        }
    }

    @Test("a raw configuration is read by its nonce, once, at the address of the machine that it is for")
    func rawConfig() async throws {
        try await with { rack in
            try await setUserData(rack, of: 4)
            try await addFive(rack)
            let path = "/hostler/v1/config/" + (rack.control.rawConfigURL(for: MetadataRack.mac(4)).split(separator: "/").last ?? "")
            #expect(try ask(rack, path, from: "127.1.0.5").status == 403)
            #expect(try ask(rack, path).body == "secret")
            #expect(try ask(rack, path).status == 403)
        }
    }

    @Test("whoever floods the service from a machine's address takes nothing from the machine that shows its key")
    func flood() async throws {
        var settings = MetadataSettings()
        settings.requestsPerSecond = 5
        try await with(.key, settings) { rack in
            let client = try RawClient(from: "127.1.0.4", port: rack.port)
            let statuses = (0..<60).map { _ in client.get("/latest/meta-data/instance-id").status }
            #expect(Set(statuses) == [401, 503])
            let path = "/k/" + (try await rack.key(4)) + "/latest/meta-data/instance-id"
            #expect(try ask(rack, path).status == 200)
        }
    }

    @Test("the view is that of the machine's own network")
    func placement() async throws {
        try await with { rack in
            let key = "/k/" + (try await rack.key(4))
            let mac = MetadataRack.mac(4)
            #expect(
                try ask(rack, key + "/latest/meta-data/network/interfaces/macs/\(mac)/subnet-ipv4-cidr-block").body == "127.1.0.0/24")
            #expect(try ask(rack, key + "/latest/meta-data/hostname").body.hasSuffix(".row2.example"))
        }
    }

    @Test("another machine's key, right as it is, is refused at an address that is leased, and the attempt is an event")
    func foreignKey() async throws {
        try await with { rack in
            try await setUserData(rack, of: 2)
            #expect(try await ask(rack, "/k/" + rack.key(2) + "/latest/user-data").status == 403)
            let event = try await rack.event("metadata.secret-refused")
            #expect(event.machine == (try rack.machine(4).id) && event.evidence["source"] == "127.1.0.4")
            // On its own wire a machine is known by its MAC address: a key says nothing of who it is.
            #expect(try await ask(rack, "/k/" + rack.key(4) + "/latest/meta-data/instance-id", from: "127.0.0.3").status == 403)
        }
    }

    @Test("where no lease tells who it is, a key that is right does, or a token that it was good for, and a wrong one does not")
    func unleased() async throws {
        try await with { rack in
            let key = try await rack.key(4)
            let id = MetadataRack.installation(4).rawValue
            let machine = try rack.machine(4).id.rawValue
            let leaf = "/latest/meta-data/instance-id"
            // As behind another DHCP server.
            #expect(try ask(rack, "/k/" + key + leaf, from: "127.1.0.99").body == id)
            let token = try RawClient(from: "127.1.0.99", port: rack.port).put("/k/" + key + "/latest/api/token", timeToLive)
            #expect(try ask(rack, leaf, ["X-aws-ec2-metadata-token: \(token.body)"], from: "127.1.0.99").body == id)
            #expect(try ask(rack, leaf, ["X-aws-ec2-metadata-token: \(token.body.dropLast())x"], from: "127.1.0.99").status == 403)
            #expect(rack.service.counters["refused-bad-key"] == 1)
            #expect(try ask(rack, "/k/\(key.dropLast())x" + leaf, from: "127.1.0.99").status == 403)
            #expect(try ask(rack, "/k/" + machine + leaf, from: "127.1.0.99").status == 403)
            #expect(try ask(rack, "/k/m-00000000.\(key.split(separator: ".")[1])" + leaf, from: "127.1.0.99").status == 403)
            #expect(try ask(rack, leaf, from: "127.1.0.99").status == 403)
            #expect(try ask(rack, "/k/" + key + leaf, from: "127.9.0.9").status == 403, "no network that is named")
            let event = try await rack.event("metadata.secret-refused")
            #expect(event.machine == nil && event.evidence["claimed-machine"] == machine, "a claim that was not proved is no machine's event")
        }
    }

    @Test("a lease that is over, or of a MAC address that is no machine's, does not stand in the way of a key that is right")
    func otherLeases() async throws {
        try await with { rack in
            let path = "/k/" + (try await rack.key(4)) + "/latest/meta-data/instance-id"
            rack.lend(try address("127.1.0.7"), to: 77)
            #expect(try ask(rack, path, from: "127.1.0.7").status == 200)
            rack.lend(try address("127.1.0.8"), to: 3, seconds: -1)
            #expect(try ask(rack, path, from: "127.1.0.8").status == 200)
            rack.lend(try address("127.1.0.8"), to: 3)
            #expect(try ask(rack, path, from: "127.1.0.8").status == 403)
        }
    }

    @Test("a key that is right opens nothing where its machine has nothing to do with the network, and the attempt is an event")
    func misplaced() async throws {
        try await with { rack in
            try await setUserData(rack, of: 2)
            let path = "/k/" + (try await rack.key(2)) + "/latest/user-data"
            #expect(try ask(rack, path, from: "127.0.0.2").body == "secret")
            #expect(try ask(rack, path, from: "127.1.0.99").status == 403)
            let event = try await rack.event("metadata.impostor")
            #expect(event.machine == (try rack.machine(2).id) && event.evidence["source"] == "127.1.0.99")
        }
    }

    @Test("one connection that shows one key after another gets what each is good for")
    func alternating() async throws {
        try await with { rack in
            try await addFive(rack)
            let client = try RawClient(from: "127.1.0.99", port: rack.port)
            for number in [4, 5, 4] {
                let answer = client.get("/k/\(try await rack.key(number))/latest/meta-data/instance-id")
                #expect(answer.body == MetadataRack.installation(number).rawValue)
            }
            #expect(client.get("/latest/meta-data/instance-id").status == 403)
        }
    }

    @Test("with access by address, an address is told what is no secret, whatever the network trusts its own wire with")
    func addresses() async throws {
        var settings = MetadataSettings()
        settings.secretsNeedKey = false
        settings.tokenless = true
        try await with(.address, settings) { rack in
            try await setUserData(rack, of: 4)
            try await setUserData(rack, of: 2)
            #expect(try ask(rack, "/latest/meta-data/instance-id").body == (try rack.machine(4).id.rawValue))
            let token = try RawClient(from: "127.1.0.4", port: rack.port).put("/latest/api/token", timeToLive)
            #expect(token.status == 200)
            for path in ["/latest/user-data", "/nocloud/vendor-data", "/hostler/v1/token?audience=a"] {
                #expect(try ask(rack, path).status == 403, "\(path)")
                #expect(try ask(rack, path, ["X-aws-ec2-metadata-token: \(token.body)"]).status == 403, "\(path)")
            }
            #expect(try await ask(rack, "/k/" + rack.key(4) + "/latest/user-data").body == "secret")
            #expect(try ask(rack, "/latest/user-data", from: "127.0.0.2").body == "secret", "as the network says of its wire")
            // What an address was good for ends with its lease.
            rack.lend(place, to: 4, seconds: -1)
            let leaf = "/latest/meta-data/instance-id"
            #expect(try ask(rack, leaf, ["X-aws-ec2-metadata-token: " + token.body]).status == 403)
            #expect(try await ask(rack, "/k/" + rack.key(4) + leaf).status == 200)
        }
    }

    @Test("a token that an address got is good for nothing once the network asks for keys")
    func stricter() throws {
        let sessions = MetadataSessions(
            code: { bytes in bytes.reduce(into: Array(repeating: UInt8(7), count: 32)) { $0[Int($1) % 32] &+= $1 } }, digest: { $0 })
        func asker(_ shows: Proof?) -> Asker {
            Asker(machine: MachineID(unchecked: "m-1"), incarnation: "op-1", address: place, mac: MetadataRack.mac(4), shows: shows)
        }
        let now = Timestamp(milliseconds: 0)
        for (proof, shows, isGood): (Proof, Proof?, Bool) in [
            (.address, .address, true), (.address, nil, false), (.wire, nil, false), (.seed, nil, true), (.key, nil, true),
            (.address, .wire, false), (.seed, .wire, false),
        ] {
            let token = sessions.token(for: asker(.address), proof: proof, seconds: 60, now: now, random: 1)
            #expect((sessions.check(token, of: asker(shows), now: now) != nil) == isGood, "\(proof), \(String(describing: shows))")
        }
    }

    @Test("a network that has no metadata service is told nothing, key or not")
    func none() async throws {
        try await with(.none) { rack in
            let path = "/k/" + (try await rack.key(4)) + "/latest/meta-data/instance-id"
            #expect(try ask(rack, path).status == 403)
        }
    }

    @Test("a watcher is told of a change, and its stream ends with its lease's address")
    func watching() async throws {
        try await with { rack in
            let client = try RawClient(from: "127.1.0.4", port: rack.port)
            client.begin("GET", "/hostler/v1/self?watch=true", ["X-Hostler-Key: \(try await rack.key(4))"])
            #expect(client.readUntil("\r\n\r\n").hasPrefix("HTTP/1.1 200 "))
            #expect(client.readUntil("\n\n").contains("127.1.0.4"))
            let patch = MachinePatch(tags: ["role": "web"])
            _ = try await rack.control.update(machine: try rack.machine(4).id.rawValue, with: patch, expecting: nil, by: "test")
            #expect(client.readUntil("\n\n").contains(#""role":"web""#))
            rack.lend(place, to: 3)
            let other = MachinePatch(tags: ["role": "db"])
            _ = try await rack.control.update(machine: try rack.machine(4).id.rawValue, with: other, expecting: nil, by: "test")
            #expect(client.isAtEnd(), "the address is another's now")
        }
    }

    @Test("connections are counted by address there, each network behind a relay has its part, and all leave room for the wire")
    func connections() async throws {
        var settings = MetadataSettings()
        settings.connectionsPerMachine = 3
        let subnets = try (1...4).map { BootNetwork.Subnet(prefix: try #require(IPv4Prefix("127.\($0).0.0/16"))) }
        func place(_ row: Int, _ number: Int) -> IPv4Address { IPv4Address(value: 0x7f00_0000 + UInt32(row << 16 + number)) }
        try await MetadataRack.with(settings, subnets: subnets) { rack in
            let door = rack.service.door { _ in MetadataRack.mac(9) }
            func enter(_ row: Int, _ numbers: ClosedRange<Int>) -> [MetadataDoor.Seat] {
                numbers.compactMap { door.enter(.v4(place(row, $0)), .noDevice) }
            }
            var seats = (1...5).compactMap { _ in door.enter(.v4(place(1, 1)), .noDevice) }
            #expect(seats.count == 3)
            #expect(seats.allSatisfy { $0.timeToLive == 2 && $0.mac == nil })
            // Addresses that nobody was given have their own, smaller part.
            seats += enter(1, 100...3000)
            #expect(seats.count == 1024)
            for row in 1...3 { for number in 10_001...15_000 { rack.lend(place(row, number), to: row << 16 + number) } }
            for row in 1...3 { seats += enter(row, 10_001...15_000) }
            #expect(seats.count == MetadataDoor.relayedConnectionLimit)
            #expect(seats.count { $0.way == .relay(subnets[0].prefix, isKnown: true) } == 4096)
            #expect(enter(4, 1...5).isEmpty)
            let own = try #require(door.enter(.v4(place(0, 2)), .noDevice))
            #expect(own.timeToLive == 1 && own.mac == MetadataRack.mac(9))
            for seat in seats + [own] { door.leave(seat) }
            #expect((1...5).count { _ in door.enter(.v4(place(1, 1)), .noDevice) != nil } == 3)
        }
    }

    @Test("machines are told the way by their router, once, and none where there is none")
    func routes() throws {
        let service = try #require(MetadataRoute.destination)
        var network = BootNetwork(name: "test", interface: "lo", address: try #require(IPv4Prefix("127.0.0.1/24")))
        network.subnets = try [Self.subnet(.key), Self.subnet(.none)]
        func routes(_ configuration: DHCPServerConfiguration?) -> [String] {
            (configuration?.classlessRoutes ?? []).filter { $0.destination == service }.map(\.router.description)
        }
        #expect(routes(network.dhcpConfiguration) == ["127.0.0.1"])
        #expect(network.remoteConfigurations.map(routes) == [["127.1.0.1"], []])
        #expect(network.placement(of: place).metadataRoute?.gateway == IPv4Prefix("127.1.0.1/24"))
        #expect(network.placement(of: place).nameservers.map(\.description) == ["127.1.0.53"])
        let own = try address("127.0.0.9")
        #expect(network.placement(of: own).metadataRoute?.gateway == network.address)
        // Who names a way of his own has that one.
        network.routes = [.init(to: service, via: try address("127.0.0.254"))]
        network.subnets[0].routes = [.init(to: service, via: try address("127.1.0.254"))]
        #expect(routes(network.dhcpConfiguration) == ["127.0.0.254"])
        #expect(routes(network.remoteConfigurations[0]) == ["127.1.0.254"])
        #expect(network.placement(of: place).metadataRoute?.gateway == IPv4Prefix("127.1.0.254/24"), "systems with static addresses, too")
        #expect(network.placement(of: place).otherMetadataRoutes.map(\.gateway) == [try #require(IPv4Prefix("127.0.0.254/24"))])
        network.routes = []
        network.subnets[0].routes = []
        network.subnets[0].router = nil
        #expect(routes(network.remoteConfigurations[0]) == [] && network.placement(of: place).metadataRoute == nil)
        network.metadata.hopLimit = 255
        #expect(network.timeToLive(of: network.subnets[0]) == 255, "an IP header has no room for more")
        network.metadata.enabled = false
        #expect(routes(network.dhcpConfiguration) == [] && network.placement(of: nil).metadataRoute == nil)
    }
}
