public import Wire

/// How a message came.
public struct ReceiveContext: Hashable, Sendable {
    /// The port it was sent to: 67, or 4011 for PXE.
    public var port: UInt16
    /// The address and port it was sent from.
    public var source: IPv4Address
    public var sourcePort: UInt16
    public var frame: Frame

    /// What the frame says that the message came in.
    public enum Frame: Hashable, Sendable {
        /// Frames are not looked at.
        case unseen
        /// None was seen of this message.
        case missing
        /// Its source.
        case from(MACAddress)
    }

    public init(port: UInt16 = 67, source: IPv4Address = .any, sourcePort: UInt16 = 68, frame: Frame = .unseen) {
        self.port = port
        self.source = source
        self.sourcePort = sourcePort
        self.frame = frame
    }
}

/// Where a reply goes (RFC 2131 §4.1).
public enum DHCPDestination: Hashable, Sendable {
    /// 255.255.255.255, port 68, on the network's interface.
    case broadcast
    case unicast(IPv4Address, port: UInt16)
    /// To a client that has no address yet: this IP address, port 68, at this
    /// Ethernet address without ARP. Who cannot send that may broadcast.
    case hardware(MACAddress, IPv4Address)
    /// To the relay agent, port 67.
    case relay(IPv4Address)
}

/// What the caller is to do about a message.
public enum DHCPAction: Hashable, Sendable {
    /// Send nothing.
    case drop(DHCPDropReason)
    /// Send at once: an offer, a refusal, the answer to INFORM or to PXE.
    case reply(DHCPMessage, to: DHCPDestination)
    /// Make the lease durable, and only then send the reply. If that fails send
    /// nothing: the client asks again, and nobody else is given the address.
    case grant(DHCPLease, reply: DHCPMessage, to: DHCPDestination)
    /// Make the end of the lease durable.
    case release(DHCPLease)
    /// A client found the address in use: make the quarantine durable and tell somebody.
    case decline(DHCPLease)
    /// A client says too often that its address is in use: the address is free again at once, and the client has it no more.
    case declineRefused(IPv4Address)
    /// Another DHCP server answers on this wire.
    case foreignServer(IPv4Address)
}

/// Why a message got no answer. Each is worth a counter, few are worth a line in the log.
public enum DHCPDropReason: Hashable, Sendable {
    /// A reply with our own server identifier.
    case ownReply
    /// `chaddr` is no Ethernet address of one machine.
    case notEthernet
    /// No known message type, or one that only servers send.
    case notARequest
    /// More than 16 relays.
    case tooManyHops
    /// The relay's network is not this one.
    case relayOfAnotherNetwork(IPv4Address)
    /// The relay's address is no unicast address.
    case badRelayAddress(IPv4Address)
    /// The client chose another server; our offer was withdrawn.
    case anotherServerChosen(IPv4Address)
    /// An address the message needs is missing, or names another server.
    case malformed
    /// The client says it has an address that is not of this network, or not ours to give.
    case foreignAddress(IPv4Address)
    /// A client we know nothing of wants to go on with an address (RFC 2131 §4.3.2).
    case unknownClient
    /// It is of a network behind a relay, does not come through it, and wants more than to go on with its lease.
    case notRelayed
    /// No address is left to offer.
    case exhausted
    /// It released or declined an address it did not have.
    case notItsLease(IPv4Address)
    /// What ends a lease came from elsewhere than where its holder is, by its IP header or by its frame.
    case foreignSender(IPv4Address)
    /// It says that an address is in use that it was given long ago.
    case lateDecline(IPv4Address)
    /// Clients that nobody knows hold their whole share of the addresses; the rest is for known machines.
    case unknownShareUsed
    /// Beside another DHCP server only network boot is answered.
    case notForProxy
    /// The boot gate had no file for a client that asks for nothing else.
    case nothingToBoot

    /// The reason alone, as a counter's name.
    public var name: String {
        switch self {
        case .ownReply: "own-reply"
        case .notEthernet: "not-ethernet"
        case .notARequest: "not-a-request"
        case .tooManyHops: "too-many-hops"
        case .relayOfAnotherNetwork: "relay-of-another-network"
        case .badRelayAddress: "bad-relay-address"
        case .anotherServerChosen: "another-server-chosen"
        case .malformed: "incomplete"
        case .foreignAddress: "foreign-address"
        case .unknownClient: "unknown-client"
        case .notRelayed: "not-relayed"
        case .exhausted: "exhausted"
        case .notItsLease: "not-its-lease"
        case .foreignSender: "foreign-sender"
        case .lateDecline: "late-decline"
        case .unknownShareUsed: "unknown-share-used"
        case .notForProxy: "not-for-proxy"
        case .nothingToBoot: "nothing-to-boot"
        }
    }
}
