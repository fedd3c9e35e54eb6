internal import Model
public import Wire

/// Who a machine's request came from, by what our own interface or the relay saw and not by what the request says.
public struct Sender: Sendable, Equatable {
    /// The port that the request came from.
    public var mac: MACAddress
    /// Nil where nothing is to be bound to it, as in tests.
    public var address: IPv4Address?
    /// Our own interface that it came by.
    public var interface: String

    public init(mac: MACAddress, address: IPv4Address?, interface: String = "") {
        self.mac = mac
        self.address = address
        self.interface = interface
    }

    /// What an event says of it.
    public var evidence: [String: String] {
        ["sender": mac.description, "address": address?.description ?? "", "interface": interface].filter { !$0.value.isEmpty }
    }
}

extension AgentPresence {
    /// Where its hello came from, as an event says it: of two hosts with one port, this is what is left to compare.
    var origin: [String: String] {
        ["sender": mac?.description, "address": address?.description].compactMapValues { $0 }
    }
}
