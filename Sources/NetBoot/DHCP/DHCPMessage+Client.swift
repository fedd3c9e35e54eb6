public import Wire

/// What a client sends (RFC 2131 §4.4), for the agent and for tests.
extension DHCPMessage {
    /// Asked for by the messages below: what the agent puts to use.
    public static let usualRequestList: [UInt8] = [1, 3, 6, 12, 15, 26, 28, 42, 51, 54, 58, 59, 121]

    /// A request without a type's own fields; add options as the case needs.
    public static func client(
        _ type: DHCPMessageType, mac: MACAddress, transactionID: UInt32, clientIdentifier: [UInt8]? = nil,
        hostname: String? = nil
    ) -> DHCPMessage {
        var message = DHCPMessage()
        message.mac = mac
        message.transactionID = transactionID
        message.options.append(.messageType, byte: type.rawValue)
        if let clientIdentifier { message.options.append(.clientIdentifier, clientIdentifier) }
        if let hostname { message.options.append(.hostName, Array(hostname.utf8.prefix(255))) }
        if type != .release, type != .decline {
            message.options.append(.maximumMessageSize, [0x05, 0xdc])
            message.options.append(.parameterRequestList, usualRequestList)
        }
        return message
    }

    public static func discover(
        mac: MACAddress, transactionID: UInt32, requesting address: IPv4Address? = nil,
        clientIdentifier: [UInt8]? = nil, hostname: String? = nil
    ) -> DHCPMessage {
        var message = client(
            .discover, mac: mac, transactionID: transactionID, clientIdentifier: clientIdentifier, hostname: hostname)
        if let address { message.options.append(.requestedAddress, address) }
        return message
    }

    /// SELECTING: takes the offer of this server.
    /// A discover that is answered with the URL of a boot script: it says that iPXE asks.
    public static func scriptQuestion(mac: MACAddress, transactionID: UInt32) -> DHCPMessage {
        var message = discover(mac: mac, transactionID: transactionID)
        message.options.append(.userClass, Array("iPXE".utf8))
        message.wantsBroadcast = true
        return message
    }

    public static func request(
        mac: MACAddress, transactionID: UInt32, address: IPv4Address, server: IPv4Address,
        clientIdentifier: [UInt8]? = nil, hostname: String? = nil
    ) -> DHCPMessage {
        var message = reboot(
            mac: mac, transactionID: transactionID, address: address, clientIdentifier: clientIdentifier,
            hostname: hostname)
        message.options.append(.serverIdentifier, server)
        return message
    }

    /// INIT-REBOOT: goes on with an address it had before.
    public static func reboot(
        mac: MACAddress, transactionID: UInt32, address: IPv4Address, clientIdentifier: [UInt8]? = nil,
        hostname: String? = nil
    ) -> DHCPMessage {
        var message = client(
            .request, mac: mac, transactionID: transactionID, clientIdentifier: clientIdentifier, hostname: hostname)
        message.options.append(.requestedAddress, address)
        return message
    }

    /// RENEWING when sent to the server, REBINDING when broadcast.
    public static func renew(
        mac: MACAddress, transactionID: UInt32, address: IPv4Address, clientIdentifier: [UInt8]? = nil,
        hostname: String? = nil
    ) -> DHCPMessage {
        var message = client(
            .request, mac: mac, transactionID: transactionID, clientIdentifier: clientIdentifier, hostname: hostname)
        message.clientAddress = address
        return message
    }

    public static func inform(mac: MACAddress, transactionID: UInt32, address: IPv4Address) -> DHCPMessage {
        var message = client(.inform, mac: mac, transactionID: transactionID)
        message.clientAddress = address
        return message
    }

    public static func release(
        mac: MACAddress, transactionID: UInt32, address: IPv4Address, server: IPv4Address,
        clientIdentifier: [UInt8]? = nil
    ) -> DHCPMessage {
        var message = client(.release, mac: mac, transactionID: transactionID, clientIdentifier: clientIdentifier)
        message.clientAddress = address
        message.options.append(.serverIdentifier, server)
        return message
    }

    public static func decline(
        mac: MACAddress, transactionID: UInt32, address: IPv4Address, server: IPv4Address,
        clientIdentifier: [UInt8]? = nil
    ) -> DHCPMessage {
        var message = client(.decline, mac: mac, transactionID: transactionID, clientIdentifier: clientIdentifier)
        message.options.append(.requestedAddress, address)
        message.options.append(.serverIdentifier, server)
        return message
    }
}
