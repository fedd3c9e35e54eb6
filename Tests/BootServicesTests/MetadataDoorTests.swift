import Logging
import Metadata
import Model
import NetBoot
import Store
import Testing
import Wire

@testable import BootServices
@testable import Control

@Suite("Who comes to the metadata service by which network", .timeLimit(.minutes(1)))
struct MetadataDoorTests {
    private func network(attested: Bool = false) throws -> BootNetwork {
        var network = BootNetwork(name: "test", interface: "lo", address: try #require(IPv4Prefix("127.0.0.1/24")))
        network.attestation = attested
        return network
    }

    /// A machine's agent boots, seen at an address of whichever network.
    private func hello(_ control: ControlPlane, _ mac: MACAddress, key: String = "b", from address: String) async throws -> MachineID {
        let hello = HelloRequest(
            nonce: control.nonces.make(for: mac, now: control.now), sessionKey: String(repeating: key, count: 64), mac: mac, macs: [mac],
            uuid: nil, serial: nil, firmware: .bios, version: "test")
        return try await control.hello(hello, from: Sender(mac: mac, address: IPv4Address(address)), wantsProof: false).machine
    }

    private func asker(_ rack: MetadataRack, _ id: MachineID, at address: String) throws -> Asker {
        Asker(
            machine: id, incarnation: try rack.incarnation(2), address: try #require(IPv4Address(address)), mac: MetadataRack.mac(2))
    }

    @Test("by IPv6 a machine that is known on another network only is a stranger here")
    func elsewhere() async throws {
        try await MetadataRack.with { rack in
            let mac = MetadataRack.mac(9)
            let witness = WireWitness(network: try network(), control: rack.control, leases: LeaseTable()) { _ in mac }
            let source = MetadataSource.v6(try #require(IPv6Address("fd00:ec2::9")))
            let id = try await hello(rack.control, mac, from: "10.99.0.9")
            guard case .stranger = witness.testimony(on: source, .noDevice, claiming: nil, in: rack.control.snapshot) else {
                Issue.record("an address of another network was taken for one here")
                return
            }
            _ = try await hello(rack.control, mac, key: "c", from: "127.0.0.9")
            guard case .machine(let asker) = witness.testimony(on: source, .noDevice, claiming: nil, in: rack.control.snapshot) else {
                Issue.record("the machine is not known where it was seen")
                return
            }
            #expect(asker.machine == id && asker.address == IPv4Address("127.0.0.9"))
        }
    }

    @Test("by IPv6 a system is told the static address that it called home from, not its agent's lease, and its tokens are good")
    func staticAddress() async throws {
        try await MetadataRack.with { rack in
            let mac = MetadataRack.mac(2)
            let witness = WireWitness(network: try network(), control: rack.control, leases: rack.leases) { _ in mac }
            let source = MetadataSource.v6(try #require(IPv6Address("fd00:ec2::9")))
            func asker(_ source: MetadataSource) throws -> Asker {
                guard case .machine(let asker) = witness.testimony(on: source, .noDevice, claiming: nil, in: rack.control.snapshot) else {
                    throw Problem("stranger", title: "it is not known at \(source)")
                }
                return asker
            }
            #expect(try asker(source).address == IPv4Address("127.0.0.2"))
            // As a call home writes it down; the agent's lease goes on for long.
            let place = try #require(IPv4Address("127.0.0.42"))
            let found = try #require(try await rack.control.records.get(Machine.self, id: try rack.machine(2).id.rawValue))
            var machine = found.value
            machine.observed.address = place
            try await rack.control.records.store.commit([machine.put(.revision(found.revision))])
            let isSeen = await eventually { (try? rack.machine(2))?.observed.address == place }
            #expect(isSeen)
            let (byIPv4, byIPv6) = (try asker(.v4(place)), try asker(source))
            #expect(byIPv6.address == place)
            #expect(byIPv6.elsewhere == [try #require(IPv4Address("127.0.0.2"))])
            let sessions = rack.control.metadataSessions
            for (giver, reader) in [(byIPv4, byIPv6), (byIPv6, byIPv4)] {
                let token = sessions.token(for: giver, proof: .wire, seconds: 60, now: rack.control.now, random: 1)
                #expect(sessions.check(token, of: reader, now: rack.control.now) != nil)
            }
        }
    }

    @Test("a system that comes up at an address of its own network-config is known, where that is nobody else's; later it is not")
    func givenAddress() async throws {
        try await MetadataRack.with { rack in
            let mac = MetadataRack.mac(2)
            let witness = WireWitness(network: try network(), control: rack.control, leases: rack.leases) { _ in mac }
            func isKnown(at text: String) throws -> Bool {
                let address = try #require(IPv4Address(text))
                if case .machine = witness.testimony(on: .v4(address), .noDevice, claiming: nil, in: rack.control.snapshot) { return true }
                return false
            }
            let id = try rack.machine(2).id
            #expect(try !isKnown(at: "127.0.0.77"))
            var operation = Model.Operation(
                id: OperationID(unchecked: "op-1234abcd"), machine: id, generation: 1,
                request: .install(InstallRequest(image: "debian-12")), steps: [], requestedBy: "test", createdAt: rack.control.now)
            func put(_ isOpen: Bool) async throws {
                let (machine, found) = (
                    try #require(try await rack.control.records.get(Machine.self, id: id.rawValue)),
                    try await rack.control.records.get(Model.Operation.self, id: operation.id.rawValue)
                )
                var changed = machine.value
                changed.openOperation = isOpen ? operation.id : nil
                operation.state = isOpen ? .running : .succeeded
                try await rack.control.records.store.commit([
                    changed.put(.revision(machine.revision)), operation.put(found.map { .revision($0.revision) } ?? .absent),
                ])
                let isThere = await eventually { rack.control.snapshot.machines[id]?.openOperation == changed.openOperation }
                #expect(isThere)
            }
            try await put(true)
            #expect(try isKnown(at: "127.0.0.77"))
            #expect(try !isKnown(at: "127.0.0.3"), "it is another machine's")
            #expect(try !isKnown(at: "10.1.2.3"), "it is of another network")
            try await put(false)
            #expect(try !isKnown(at: "127.0.0.77"))
        }
    }

    @Test("a network that wants proof gives no secret and no identity without, to whatever address the machine has")
    func attestedNetwork() async throws {
        let issuer = EveryIssuer()
        try await MetadataRack.with(attested: true, issuer: { _, _ in issuer }) { rack in
            let id = try rack.machine(2).id
            let patch = MachinePatch(userData: UserDataPatch(content: Base64Bytes(base64: "c2VjcmV0"), access: .always))
            _ = try await rack.control.update(machine: id.rawValue, with: patch, expecting: nil, by: "test")
            _ = try await hello(rack.control, MetadataRack.mac(2), from: "10.99.0.9")
            let door = rack.service.door { _ in nil }
            let asker = try asker(rack, id, at: "10.99.0.9")
            for secret in [MetadataAnswer.Secret.userData, .noCloudUserData, .vendorData, .openStackVendorData] {
                #expect(await door.secret(secret, for: asker).status == 403, "\(secret)")
            }
            let view = try #require(door.view(of: asker, in: rack.control.snapshot))
            for identity in [MetadataAnswer.Identity.token(audience: "a"), .pkcs7, .signature, .sshHostCertificates] {
                #expect(await door.identity(identity, for: asker, view: view).status == 403, "\(identity)")
            }
            try await prove(rack, id)
            #expect(await door.secret(.userData, for: asker).body == Array("secret".utf8))
            #expect(await door.identity(.sshHostCertificates, for: asker, view: view).body == Array("certificate\n".utf8))
        }
    }

    @Test("a raw configuration that is refused for want of proof is told of as that, and its nonce stays good")
    func rawConfig() async throws {
        try await MetadataRack.with(attested: true) { rack in
            let id = try rack.machine(2).id
            let patch = MachinePatch(userData: UserDataPatch(content: Base64Bytes(base64: "c2VjcmV0"), access: .always))
            _ = try await rack.control.update(machine: id.rawValue, with: patch, expecting: nil, by: "test")
            let nonce = try #require(rack.control.rawConfigURL(for: MetadataRack.mac(2)).split(separator: "/").last)
            let client = try RawClient(from: "127.0.0.2", port: rack.port)
            #expect(client.get("/hostler/v1/config/\(nonce)").status == 403)
            let counters = rack.service.counters
            #expect(counters["refused-attestation-missing"] == 1 && counters["refused-bad-nonce"] == 0)
            try await prove(rack, id)
            let now = try RawClient(from: "127.0.0.2", port: rack.port)
            #expect(now.get("/hostler/v1/config/\(nonce)").body == "secret")
            #expect(now.get("/hostler/v1/config/\(nonce)").status == 403)
            #expect(counters["refused-attestation-missing"] == 1 && counters["refused-bad-nonce"] == 1)
        }
    }

    /// As if the machine's TPM had proved this boot of its agent.
    private func prove(_ rack: MetadataRack, _ id: MachineID) async throws {
        let found = try #require(try await rack.control.records.get(Machine.self, id: id.rawValue))
        var machine = found.value
        var attestation = MachineAttestation(
            endorsementKey: "", endorsementCertificate: nil, attestationKey: Base64Bytes(base64: ""), enrolledAt: rack.control.now)
        attestation.standing = .attested
        attestation.boot = machine.observed.agent?.boot
        machine.attestation = attestation
        try await rack.control.records.store.commit([machine.put(.revision(found.revision))])
        let isThere = await eventually { rack.control.snapshot.machines[id]?.attestation != nil }
        #expect(isThere)
    }

    @Test("HEAD does not spend what is read once")
    func heads() async throws {
        try await MetadataRack.with { rack in
            let id = try rack.machine(2).id
            let patch = MachinePatch(userData: UserDataPatch(content: Base64Bytes(base64: "c2VjcmV0"), access: .once))
            _ = try await rack.control.update(machine: id.rawValue, with: patch, expecting: nil, by: "test")
            let key = "/k/" + (try await rack.key(2))
            let nonce = try #require(rack.control.rawConfigURL(for: MetadataRack.mac(2)).split(separator: "/").last)
            for path in [key + "/latest/user-data", "/hostler/v1/config/\(nonce)"] {
                let client = try RawClient(from: "127.0.0.2", port: rack.port)
                client.begin("HEAD", path)
                #expect(client.readUntil("\r\n\r\n").hasPrefix("HTTP/1.1 405 "))
            }
            let client = try RawClient(from: "127.0.0.2", port: rack.port)
            #expect(client.get("/hostler/v1/config/\(nonce)").body == "secret")
            #expect(client.get(key + "/latest/user-data").status == 404)
        }
    }

    @Test("connections are counted by MAC address, and IPv6 has its part of them")
    func connections() async throws {
        var settings = MetadataSettings()
        settings.connectionsPerMachine = 3
        func address(_ number: UInt64) throws -> MetadataSource {
            .v6(try #require(IPv6Address([0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0] + MACAddress(value: number).bytes + [0, 0])))
        }
        try await MetadataRack.with(settings) { rack in
            // One host with many addresses; whoever has an even last byte is nobody that the kernel knows.
            let mac = MetadataRack.mac(2)
            let door = rack.service.door { source in
                guard case .v6(let address) = source else { return mac }
                return address.bytes[13].isMultiple(of: 2) ? nil : mac
            }
            var seats: [MetadataDoor.Seat] = []
            for number in 1...20 { if let seat = door.enter(try address(UInt64(number)), .noDevice) { seats.append(seat) } }
            #expect(seats.count { $0.mac == mac } == 3 && seats.count { $0.mac == nil } == 3)
            #expect(door.enter(.v4(IPv4Address(value: 0x7f00_0002)), .noDevice) == nil, "it is the same machine by IPv4")
            for seat in seats { door.leave(seat) }
            let again = try #require(door.enter(.v4(IPv4Address(value: 0x7f00_0002)), .noDevice))
            door.leave(again)
        }
        try await MetadataRack.with(settings) { rack in
            let door = rack.service.door { source in
                guard case .v6(let address) = source else { return nil }
                return MACAddress(Array(address.bytes[8..<14]))
            }
            let taken = try (1...MetadataDoor.Seat.Way.wireIPv6.limit + 5).count { door.enter(try address(UInt64($0)), .noDevice) != nil }
            #expect(taken == MetadataDoor.Seat.Way.wireIPv6.limit)
            #expect(door.enter(.v4(IPv4Address(value: 0x7f00_0002)), .noDevice) != nil, "there is room left for IPv4")
        }
    }

    @Test("who floods the log of refusals with addresses silences no machine, and no other MAC address")
    func refusals() async throws {
        try await MetadataRack.with { rack in
            let log = RefusalLog(service: "test", book: rack.service.refusals, counters: Counters())
            for number in 0..<2000 { log.note("stranger", source: "fd00:ec2::\(number)", event: "test.stranger") }
            for number in 0..<2000 { log.note("stranger", source: "fd00:ec2::\(number)", mac: MetadataRack.mac(7), event: "test.flood") }
            // One is told for all that are beyond the limit.
            #expect(log.counters["events"] == RefusalLedger.Standing.nobody.limit + 2)
            log.note("impostor", source: "127.0.0.2", mac: MetadataRack.mac(8), event: "test.neighbour")
            log.note("needs-key", source: "127.0.0.2", mac: MetadataRack.mac(2), event: "test.machine", machine: try rack.machine(2).id)
            #expect(try await rack.event("test.neighbour").evidence["source"] == "127.0.0.2")
            #expect(try await rack.event("test.machine").machine == rack.machine(2).id)
        }
    }

    @Test("a port whose address went to another is forgotten")
    func leases() throws {
        let table = LeaseTable()
        let place = IPv4Address(value: 0x0a4d_0064)
        func lease(_ number: Int, _ address: IPv4Address) -> DHCPLease {
            let mac = MetadataRack.mac(number)
            return DHCPLease(address: address, client: .mac(mac), mac: mac, grantedMilliseconds: 0, expiresMilliseconds: 1, state: .bound)
        }
        for number in 1...100 { table.set(lease(number, place)) }
        #expect(table.portCount == 1)
        #expect(table.lease(of: MetadataRack.mac(100))?.address == place && table.lease(of: MetadataRack.mac(99)) == nil)
        // One that has moved on keeps what it has.
        table.set(lease(100, IPv4Address(value: 0x0a4d_0065)))
        table.set(lease(1, place))
        #expect(table.lease(of: MetadataRack.mac(100))?.address.value == 0x0a4d_0065 && table.portCount == 2)
    }
}

/// Gives an identity to whoever asks.
private struct EveryIssuer: WorkloadTokens {
    func mint(machine: MachineID, audience: String, lifetime: Duration?) async throws -> WorkloadToken {
        WorkloadToken(token: "token", audience: audience, expiresAt: Timestamp(milliseconds: 0))
    }
    func sign(document: [UInt8], of machine: MachineID) async throws -> DocumentSignatures {
        DocumentSignatures(signature: "signature", pkcs7: "pkcs7")
    }
    func sshHostCertificates(of machine: MachineID) async throws -> [String] { ["certificate"] }
}
