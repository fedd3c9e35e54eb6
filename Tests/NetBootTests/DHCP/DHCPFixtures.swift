import Wire

@testable import NetBoot

/// Packets captured from QEMU 7.2, UDP payloads. `sname` and `file` were zeros.
enum CapturedPacket {
    /// DISCOVER of QEMU's iPXE ROM for e1000, BIOS.
    static let ipxe = packet(
        header: "010106006c6af202000400000000000000000000000000000000000052540012345600000000000000000000",
        options: """
            63825363350101390205c05d0200005e030102013c20505845436c69656e743a417263683a30303030303a554e44493a\
            3030323030314d04695058453717010306070c0f111a2b3c4243778081828384858687afcbaf30b105018086100eeb03\
            0100001701012201011301011101012701011901012901011001022101011501011801011201013d0701525400123456\
            6111003c2d1e0f5a4b78698796a5b4c3d2e1f0ff
            """)

    /// DISCOVER of OVMF's PXE over IPv4, virtio-net.
    static let ovmfPXE = packet(
        header: "0101060072826e41000080000000000000000000000000000000000052540012345700000000000000000000",
        options: """
            63825363350101390205c037230102030405060c0d0f111216171c28292a2b3233363a3b3c4243618081828384858687\
            6111003c2d1e0f5a4b78698796a5b4c3d2e1f05e030103005d0200073c20505845436c69656e743a417263683a303030\
            30373a554e44493a303033303030ff
            """)

    /// DISCOVER of OVMF's HTTP boot over IPv4.
    static let ovmfHTTP = packet(
        header: "01010600d3aebad5000080000000000000000000000000000000000052540012345800000000000000000000",
        options: """
            63825363350101390205c0371b0102030405060c0d0f111216171c28292a2b3233363a3b3ceb43616111003c2d1e0f5a\
            4b78698796a5b4c3d2e1f05e030103005d0200103c2148545450436c69656e743a417263683a30303031363a554e4449\
            3a303033303030ff
            """)

    static let all = [ipxe, ovmfPXE, ovmfHTTP]

    private static func packet(header: String, options: String) -> [UInt8] {
        Hex.decode(header)! + [UInt8](repeating: 0, count: 192) + Hex.decode(options)!
    }
}

/// SplitMix64: the same numbers for the same seed everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}

extension IPv4Address: ExpressibleByStringLiteral {
    init(stringLiteral text: String) { self = IPv4Address(text)! }
}

extension MACAddress: ExpressibleByStringLiteral {
    init(stringLiteral text: String) { self = MACAddress(text)! }
}

/// A server on 10.77.0.0/24 with a clock to move by hand.
struct TestNetwork {
    static let server: IPv4Address = "10.77.0.1"
    var machine: DHCPServer
    var now: Int64 = 1_700_000_000_000
    var nextTransaction: UInt32 = 1

    static func configuration(_ first: IPv4Address = "10.77.0.50", _ last: IPv4Address = "10.77.0.59")
        -> DHCPServerConfiguration
    {
        var configuration = DHCPServerConfiguration(serverAddress: server, prefix: IPv4Prefix("10.77.0.0/24")!)
        configuration.ranges = [.init(first: first, last: last)]
        configuration.router = "10.77.0.1"
        configuration.dns = ["10.77.0.1", "9.9.9.9"]
        configuration.domain = "rack.example"
        configuration.leaseSeconds = 3_600
        return configuration
    }

    init(_ configuration: DHCPServerConfiguration = configuration(), leases: [DHCPLease] = []) throws {
        machine = try DHCPServer(configuration, leases: leases)
    }

    /// Sends the message over the wire's bytes.
    mutating func send(
        _ message: DHCPMessage, on context: ReceiveContext = ReceiveContext(), boot: BootAnswer? = nil
    ) throws -> DHCPAction {
        let parsed = try DHCPMessage(parsing: message.serialize())
        return machine.receive(parsed, on: context, nowMilliseconds: now, boot: boot)
    }

    mutating func pass(seconds: Int64) { now += seconds * 1_000 }

    mutating func transaction() -> UInt32 {
        defer { nextTransaction += 1 }
        return nextTransaction
    }

    /// DISCOVER; the address offered, nil for none.
    mutating func discover(_ mac: MACAddress, requesting: IPv4Address? = nil, id: [UInt8]? = nil) throws
        -> IPv4Address?
    {
        let message = DHCPMessage.discover(
            mac: mac, transactionID: transaction(), requesting: requesting, clientIdentifier: id)
        guard case .reply(let offer, _) = try send(message) else { return nil }
        return offer.type == .offer ? offer.yourAddress : nil
    }

    /// REQUEST for an offer; the lease granted, nil for none.
    mutating func take(_ mac: MACAddress, _ address: IPv4Address, id: [UInt8]? = nil) throws -> DHCPLease? {
        try send(
            .request(
                mac: mac, transactionID: transaction(), address: address, server: Self.server, clientIdentifier: id)
        ).lease
    }

    /// The whole exchange.
    mutating func join(_ mac: MACAddress, id: [UInt8]? = nil) throws -> DHCPLease? {
        guard let address = try discover(mac, id: id) else { return nil }
        return try take(mac, address, id: id)
    }
}

extension DHCPAction {
    var lease: DHCPLease? { if case .grant(let lease, _, _) = self { lease } else { nil } }
    var message: DHCPMessage? {
        switch self {
        case .reply(let message, _), .grant(_, let message, _): message
        default: nil
        }
    }
    var destination: DHCPDestination? {
        switch self {
        case .reply(_, let destination), .grant(_, _, let destination): destination
        default: nil
        }
    }
    var isRefusal: Bool { message?.type == .refuse && lease == nil }
}

func mac(_ number: Int) -> MACAddress { MACAddress(value: 0x5254_0000_0000 + UInt64(number)) }
