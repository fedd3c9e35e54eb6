internal import Glibc
internal import Wire

/// The wires of a lab, in a network namespace of its own: one bridge with the
/// server's address, one tap per network card. Nothing leads out of the
/// namespace: no veth, no route, no translation.
struct RackNetwork: Sendable {
    static let bridge = "rack0"
    /// A bridge without ports: what is sent there is gone.
    static let sink = "sink0"

    /// The BMCs' network: apart from the rack's, and reached from the namespace only.
    static let management = "mgmt0"

    let lab: LabName

    /// The management network is the rack's neighbour, as 10.77.1.0/24 is 10.77.0.0/24's.
    static func managementPrefix(server: IPv4Prefix) -> UInt32 {
        let usual: UInt32 = 0x0a4d_0100
        let neighbour = (server.address.value ^ 0x100) & 0xffff_ff00
        if server.length >= 24 { return neighbour }
        let mask = UInt32.max << UInt32(32 - server.length)
        // 192.168.77.0/24 where the rack has all of 10.77.0.0/16.
        return (usual ^ server.address.value) & mask == 0 ? 0xc0a8_4d00 : usual
    }

    /// `number` counts machines from 0.
    static func bmcAddress(server: IPv4Prefix, number: Int) -> IPv4Address {
        IPv4Address(value: managementPrefix(server: server) + 10 + UInt32(number % 240))
    }

    func addBMC(_ address: IPv4Address) async throws {
        try await ip(["addr", "replace", "\(address)/24", "dev", Self.management])
    }

    /// Makes what is missing; harmless where all is there.
    ///
    /// - Parameter server: the server's address in the rack's network.
    func create(server: IPv4Prefix) async throws {
        if !lab.namespaceExists {
            // A file left by a reboot would stand in the way of the new namespace.
            unlink("/run/netns/\(lab.namespace)")
            try await Tool.ip.run(["netns", "add", lab.namespace])
        }
        try await link(["set", "lo", "up"])
        let present = try await interfaces()
        for name in [Self.bridge, Self.sink, Self.management] where !present.contains(name) {
            try await link(["add", name, "type", "bridge", "stp_state", "0", "forward_delay", "0"])
        }
        try await ip(["addr", "replace", server.description, "broadcast", "\(server.broadcast)", "dev", Self.bridge])
        let management = IPv4Address(value: Self.managementPrefix(server: server) + 1)
        try await ip(["addr", "replace", "\(management)/24", "dev", Self.management])
        for name in [Self.bridge, Self.sink, Self.management] { try await link(["set", name, "up"]) }
    }

    func addTap(_ name: String) async throws {
        guard try await !interfaces().contains(name) else { return }
        try await ip(["tuntap", "add", "dev", name, "mode", "tap"])
        try await link(["set", name, "master", Self.bridge, "up"])
    }

    func removeTap(_ name: String) async throws {
        guard try await interfaces().contains(name) else { return }
        try await link(["del", name])
    }

    /// Sets the loss on an interface, 0 to 100 percent in both directions.
    func setLoss(percent: Int, on interface: String) async throws {
        if try await hasClassifier(interface) { try await tc(PacketLoss.clear(on: interface)) }
        guard percent > 0 else { return }
        for arguments in PacketLoss.set(on: interface, percent: percent) { try await tc(arguments) }
    }

    func interfaces() async throws -> [String] {
        try await ip(["-o", "link", "show"]).split(separator: "\n").compactMap { line in
            // "4: tap0.0: <…>" or "4: veth1@if5: <…>"
            let fields = line.split(separator: ":", maxSplits: 2)
            guard fields.count == 3 else { return nil }
            return String(fields[1].drop { $0 == " " }.prefix { $0 != "@" })
        }
    }

    /// Removes the links and then the namespace. The links go first, because a
    /// process inside would keep them alive in a namespace without a name.
    func remove() async throws {
        guard lab.namespaceExists else { return }
        for name in try await interfaces() where name != "lo" { try await link(["del", name]) }
        try await Tool.ip.run(["netns", "del", lab.namespace])
    }

    /// Processes with a first thread in the namespace.
    func processes() async throws -> [Int32] {
        guard lab.namespaceExists else { return [] }
        return try await Tool.ip.run(["netns", "pids", lab.namespace]).split(separator: "\n").compactMap { Int32($0) }
    }

    private func hasClassifier(_ interface: String) async throws -> Bool {
        try await tc(["qdisc", "show", "dev", interface]).contains("clsact")
    }

    @discardableResult
    private func ip(_ arguments: [String]) async throws -> String {
        try await Tool.ip.run(["-n", lab.namespace] + arguments)
    }

    private func link(_ arguments: [String]) async throws { try await ip(["link"] + arguments) }

    @discardableResult
    private func tc(_ arguments: [String]) async throws -> String {
        try await Tool.tc.run(["-n", lab.namespace] + arguments)
    }
}
