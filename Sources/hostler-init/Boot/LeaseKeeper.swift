internal import CLinux
internal import Glibc
internal import NetBoot
internal import Synchronization
internal import Wire

/// The machine's address: asks for one where the boot script gave none, and
/// keeps the lease of the one it has (RFC 2131 §4.4.5).
struct LeaseKeeper: Sendable {
    private static let serverPort: UInt16 = 67
    private static let clientPort: UInt16 = 68
    private static let answerMilliseconds: Int32 = 2000

    struct Lease: Sendable {
        var address: IPv4Address
        var mask: IPv4Address
        var gateway: IPv4Address?
        var server: IPv4Address
        /// Nil until a renewal told it.
        var seconds: UInt32?
        var renewalSeconds: UInt32?

        /// T1: what the server says, or half of the lease.
        var renewAfter: Duration { .seconds(max(10, renewalSeconds ?? (seconds ?? 0) / 2)) }
    }

    let port: Interfaces.Port
    let log: AgentLog
    /// Two that ask at one time would hear each other's answers.
    private static let asking = Mutex(())
    /// After so many renewals in vain any server is asked (REBINDING, RFC 2131 §4.4.5).
    private static let failuresBeforeRebinding = 3

    /// Gives the port its address and the machine its default route.
    func apply(_ lease: Lease) {
        let code = agent_set_address(port.name, lease.address.value, lease.mask.value)
        if code < 0 { log("\(port.name): address \(lease.address): \(String(cString: strerror(-code)))") }
        guard let gateway = lease.gateway, gateway != .any else { return }
        let route = agent_add_default_route(gateway.value)
        // Without a route the control plane on the same wire is reached all the same.
        if route < 0 { log("\(port.name): route by \(gateway): \(String(cString: strerror(-route)))") }
    }

    /// Asks for an address until there is one.
    func acquire() async -> Lease {
        var backoff = Backoff(first: 500, limit: 8000)
        while true {
            if let lease = try? await WorkPool.run({ try tryToAcquire() }) { return lease }
            if backoff.tries % 5 == 0 { log("\(port.name): no DHCP server answers") }
            try? await Task.sleep(for: backoff.next())
        }
    }

    private func tryToAcquire() throws -> Lease? {
        // An interface without an address sends from 0.0.0.0 only after it was told so.
        agent_set_address(port.name, 0, 0)
        let socket = try SystemError.check(agent_udp_socket(port.name, Self.clientPort), "DHCP socket")
        defer { close(socket) }
        let id = UInt32.random(in: .min ... .max)
        var discover = DHCPMessage.discover(mac: port.mac, transactionID: id)
        discover.wantsBroadcast = true
        guard let offer = try exchange(discover, to: .broadcast, socket, accepting: .offer) else { return nil }
        guard let server = offer.serverIdentifier else { return nil }
        var request = DHCPMessage.request(
            mac: port.mac, transactionID: id, address: offer.yourAddress, server: server)
        request.wantsBroadcast = true
        guard let answer = try exchange(request, to: .broadcast, socket, accepting: .acknowledge) else { return nil }
        return lease(answer, server: answer.serverIdentifier)
    }

    /// Renews at T1 for as long as the agent runs. A server that does not answer is told in the log
    /// and otherwise borne: the address goes on working.
    func keep(_ first: Lease) async {
        var lease = first
        var failures = 0
        // The boot script does not say how long the lease is: the first renewal does.
        var pause: Duration = first.seconds == nil ? .seconds(1) : first.renewAfter
        while !Task.isCancelled {
            try? await Task.sleep(for: pause)
            let present = lease
            let rebinds = failures >= Self.failuresBeforeRebinding
            do {
                guard let renewed = try await WorkPool.run({ try renew(present, rebinds: rebinds) }), renewed.address == present.address else {
                    throw SystemError(rebinds ? "no answer from any server" : "no answer from \(present.server)", errno: ETIMEDOUT)
                }
                if renewed.server != lease.server { log("\(port.name): the lease of \(lease.address) is \(renewed.server)'s now") }
                lease.server = renewed.server
                lease.seconds = renewed.seconds
                lease.renewalSeconds = renewed.renewalSeconds
                if failures > 0 || first.seconds == nil && pause == .seconds(1) {
                    log("\(port.name): lease of \(lease.address) is for \(lease.seconds ?? 0) s")
                }
                failures = 0
                pause = lease.renewAfter
            } catch {
                failures += 1
                if failures == 1 || failures % 10 == 0 { log("\(port.name): the lease of \(lease.address) is not renewed: \(error)") }
                pause = .seconds(min(60, 5 * failures))
            }
        }
    }

    /// RENEWING: unicast; REBINDING: broadcast; the address in `ciaddr` (RFC 2131 §4.3.2).
    private func renew(_ lease: Lease, rebinds: Bool) throws -> Lease? {
        try Self.asking.withLock { _ in try renewAlone(lease, rebinds: rebinds) }
    }

    private func renewAlone(_ lease: Lease, rebinds: Bool) throws -> Lease? {
        let socket = try SystemError.check(agent_udp_socket(port.name, Self.clientPort), "DHCP socket")
        defer { close(socket) }
        let message = DHCPMessage.renew(
            mac: port.mac, transactionID: UInt32.random(in: .min ... .max), address: lease.address)
        let answer = try exchange(message, to: rebinds ? .broadcast : lease.server, socket, accepting: .acknowledge)
        return answer.flatMap { self.lease($0, server: rebinds ? $0.serverIdentifier : lease.server) }
    }

    /// The boot scripts' URLs that the servers on this wire name to iPXE. Nothing is taken of what they offer.
    func bootScripts() throws -> [String] { try Self.asking.withLock { _ in try askForScripts() } }

    private func askForScripts() throws -> [String] {
        let socket = try SystemError.check(agent_udp_socket(port.name, Self.clientPort), "DHCP socket")
        defer { close(socket) }
        let message = DHCPMessage.scriptQuestion(mac: port.mac, transactionID: UInt32.random(in: .min ... .max))
        let bytes = message.serialize()
        try SystemError.check(agent_udp_send(socket, IPv4Address.broadcast.value, Self.serverPort, bytes, bytes.count), "DHCP send")
        let deadline = agent_uptime_milliseconds() + Int64(Self.answerMilliseconds)
        var buffer = [UInt8](repeating: 0, count: 1500)
        var scripts: [String] = []
        while case let left = deadline - agent_uptime_milliseconds(), left > 0, scripts.count < 16 {
            let count = agent_receive(socket, &buffer, buffer.count, Int32(left))
            guard count > 0, let answer = try? DHCPMessage(parsing: Array(buffer[..<count])), answer.isReply,
                answer.transactionID == message.transactionID, answer.mac == port.mac, let file = answer.bootFile
            else { continue }
            scripts.append(file)
        }
        return scripts
    }

    private func lease(_ message: DHCPMessage, server: IPv4Address?) -> Lease? {
        guard let server else { return nil }
        return Lease(
            address: message.yourAddress, mask: message.subnetMask ?? IPv4Address(value: 0xffff_ff00),
            gateway: message.routers.first, server: server, seconds: message.leaseSeconds,
            renewalSeconds: message.renewalSeconds)
    }

    /// Nil where nobody answered in time, or the answer was no.
    private func exchange(
        _ message: DHCPMessage, to server: IPv4Address, _ socket: Int32, accepting wanted: DHCPMessageType
    ) throws -> DHCPMessage? {
        let bytes = message.serialize()
        try SystemError.check(agent_udp_send(socket, server.value, Self.serverPort, bytes, bytes.count), "DHCP send")
        let deadline = agent_uptime_milliseconds() + Int64(Self.answerMilliseconds)
        var buffer = [UInt8](repeating: 0, count: 1500)
        while case let left = deadline - agent_uptime_milliseconds(), left > 0 {
            let count = agent_receive(socket, &buffer, buffer.count, Int32(left))
            guard count > 0, let answer = try? DHCPMessage(parsing: Array(buffer[..<count])),
                answer.transactionID == message.transactionID, answer.mac == port.mac
            else { continue }
            if answer.type == wanted { return answer }
            if answer.type == .refuse { throw SystemError("\(server) refuses the address", errno: EPERM) }
        }
        return nil
    }
}
