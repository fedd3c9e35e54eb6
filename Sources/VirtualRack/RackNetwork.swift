internal import Glibc
internal import Wire

/// The wires of a lab, in a network namespace of its own: one bridge with the
/// server's address, one tap per network card. Nothing leads out of the
/// namespace: no veth, no route, no translation.
struct RackNetwork: Sendable {
    static let bridge = "rack0"
    /// A bridge without ports: what is sent there is gone.
    static let sink = "sink0"

    let lab: LabName

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
        for name in [Self.bridge, Self.sink] where !present.contains(name) {
            try await link(["add", name, "type", "bridge", "stp_state", "0", "forward_delay", "0"])
        }
        try await ip(["addr", "replace", server.description, "broadcast", "\(server.broadcast)", "dev", Self.bridge])
        for name in [Self.bridge, Self.sink] { try await link(["set", name, "up"]) }
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
