public import Model
internal import NIOCore
internal import NIOPosix
internal import Synchronization
public import Wire

/// Looks for BMCs in a network: asks every address for a Redfish service root and for IPMI's presence, and the
/// wire for SSDP. No credentials are sent, and only so many questions a second.
public struct BMCScan: Sendable {
    public struct Limits: Sendable {
        /// Larger networks are refused: a /20 has 4,096 addresses.
        public var shortestPrefix = 20
        public var perSecond = 200
        public var timeout: Duration = .seconds(3)
        public var ipmiPort = PresencePing.port
        public var redfishPort = 443
        public var usesTLS = true
        public var usesSSDP = true
        public init() {}
    }

    let limits: Limits
    let network: BMCNetwork
    public init(_ limits: Limits = Limits(), network: BMCNetwork = .own) {
        self.limits = limits
        self.network = network
    }

    /// What answered, in the order of addresses.
    public func run(_ network: IPv4Prefix) async throws -> [FoundBMC] {
        guard network.length >= limits.shortestPrefix else {
            throw Problem(
                "scan-too-large", status: 422, title: "\(network) is too large to scan",
                detail: "a /\(limits.shortestPrefix) at most, \(1 << (32 - limits.shortestPrefix)) addresses", remedy: "Scan it in parts.")
        }
        let addresses = Self.hosts(of: network)
        async let ipmi = presence(addresses)
        async let announced = ssdp(network)
        async let redfish = services(addresses)
        var found: [IPv4Address: FoundBMC] = [:]
        for (address, service) in try await redfish { found[address] = service }
        for address in try await announced where found[address] == nil {
            found[address] = FoundBMC(address: address.description, kinds: [.redfish])
        }
        for address in try await ipmi { found[address, default: FoundBMC(address: address.description)].kinds.append(.ipmi) }
        return found.sorted { $0.key < $1.key }.map(\.value)
    }

    static func hosts(of network: IPv4Prefix) -> [IPv4Address] {
        let (first, last) = (network.network.value, network.broadcast.value)
        guard network.length < 31 else { return (first...last).map { IPv4Address(value: $0) } }
        return (first + 1..<last).map { IPv4Address(value: $0) }
    }

    // MARK: Redfish

    private func services(_ addresses: [IPv4Address]) async throws -> [(IPv4Address, FoundBMC)] {
        try await withThrowingTaskGroup(of: (IPv4Address, FoundBMC)?.self) { group in
            var found: [(IPv4Address, FoundBMC)] = []
            var pending = 0
            for address in addresses {
                if pending >= 128, let result = try await group.next() {
                    pending -= 1
                    if let result { found.append(result) }
                }
                group.addTask { await service(address) }
                pending += 1
                try await Task.sleep(for: .nanoseconds(1_000_000_000 / limits.perSecond))
            }
            for try await result in group { if let result { found.append(result) } }
            return found
        }
    }

    private func service(_ address: IPv4Address) async -> (IPv4Address, FoundBMC)? {
        guard let place = RedfishAddress("\(limits.usesTLS ? "https" : "http")://\(address):\(limits.redfishPort)") else { return nil }
        let trust = CertificateTrust(pinned: nil)
        let transport = HTTPTransport(place, trust: trust, timeout: limits.timeout, network: network)
        // Never sent: the service root needs no login.
        let client = RedfishClient(transport: transport, address: place.description, credentials: .init(userName: "", password: ""))
        let root = try? await client.serviceRoot()
        await transport.close()
        guard let root else { return nil }
        var found = FoundBMC(address: place.description, kinds: [.redfish])
        found.vendor = root.vendor.map(RedfishAnswer.printable)
        found.product = root.product.map(RedfishAnswer.printable)
        found.redfishVersion = root.redfishVersion.map(RedfishAnswer.printable)
        found.fingerprint = trust.fingerprint
        return (address, found)
    }

    // MARK: IPMI and SSDP

    private func presence(_ addresses: [IPv4Address]) async throws -> [IPv4Address] {
        let ears = Ears()
        let channel = try await open(ears)
        for (index, address) in addresses.enumerated() {
            let target = try SocketAddress(ipAddress: address.description, port: limits.ipmiPort)
            let packet = ByteBuffer(bytes: PresencePing.ping(tag: UInt8(truncatingIfNeeded: index)))
            // An address that cannot be reached says so here; it is no BMC.
            try? await channel.writeAndFlush(AddressedEnvelope(remoteAddress: target, data: packet))
            try await Task.sleep(for: .nanoseconds(1_000_000_000 / limits.perSecond))
        }
        try await Task.sleep(for: limits.timeout)
        try? await channel.close()
        let asked = Set(addresses)
        return ears.heard.filter { PresencePing.supportsIPMI($0.bytes) == true && asked.contains($0.from) }.map(\.from).unique
    }

    private func ssdp(_ network: IPv4Prefix) async throws -> [IPv4Address] {
        guard limits.usesSSDP else { return [] }
        let ears = Ears()
        let channel = try await open(ears)
        let group = try SocketAddress(ipAddress: SSDPSearch.group, port: SSDPSearch.port)
        // Without a route for multicast there is no SSDP here.
        try? await channel.writeAndFlush(AddressedEnvelope(remoteAddress: group, data: ByteBuffer(bytes: SSDPSearch.search)))
        try await Task.sleep(for: limits.timeout)
        try? await channel.close()
        return ears.heard.filter { SSDPSearch.serviceRoot($0.bytes) != nil && network.contains($0.from) }.map(\.from).unique
    }

    private func open(_ ears: Ears) async throws -> any Channel {
        try await network.run {
            try await DatagramBootstrap(group: network.group)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Listener(ears)) }
                }
                .bind(host: "0.0.0.0", port: 0).get()
        }
    }

    /// What was heard; a flood is cut off.
    private final class Ears: Sendable {
        private let packets = Mutex<[(from: IPv4Address, bytes: [UInt8])]>([])
        static let limit = 16_384
        var heard: [(from: IPv4Address, bytes: [UInt8])] { packets.withLock { $0 } }
        func hear(_ from: IPv4Address, _ bytes: [UInt8]) {
            packets.withLock { if $0.count < Self.limit { $0.append((from, bytes)) } }
        }
    }

    private final class Listener: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        private let ears: Ears
        init(_ ears: Ears) { self.ears = ears }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            guard let text = envelope.remoteAddress.ipAddress, let from = IPv4Address(text) else { return }
            ears.hear(from, Array(envelope.data.readableBytesView.prefix(SSDPSearch.answerLimitBytes)))
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {}
    }
}

extension Array where Element: Hashable {
    /// Each once, in order.
    fileprivate var unique: [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
