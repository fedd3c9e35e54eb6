public import Wire

/// A DHCPv4 message (RFC 2131 §2) as a value.
public struct DHCPMessage: Hashable, Sendable {
    /// Longest message that is parsed, in bytes: what fits a jumbo frame.
    public static let maximumParsedBytes = 9_216
    /// What every client must accept (RFC 2131 §2: a 576 byte datagram), less
    /// the IP and UDP headers.
    public static let minimumSizeLimitBytes = 548
    /// What fits an Ethernet frame.
    public static let maximumSizeLimitBytes = 1_472
    static let headerBytes = 240
    static let minimumBytes = 300
    static let serverNameBytes = 64
    static let bootFileBytes = 128

    /// True for BOOTREPLY, what servers send.
    public var isReply = false
    /// 1 is Ethernet (RFC 1700).
    public var hardwareType: UInt8 = 1
    /// How many bytes of `chaddr` count, at most 16.
    public var hardwareLength: UInt8 = 6
    public var hops: UInt8 = 0
    public var transactionID: UInt32 = 0
    /// Since the client began, as it says.
    public var elapsedSeconds: UInt16 = 0
    public var flags: UInt16 = 0
    /// `ciaddr`: the address the client uses already.
    public var clientAddress = IPv4Address.any
    /// `yiaddr`: the address it is given.
    public var yourAddress = IPv4Address.any
    /// `siaddr`: where to fetch the boot file.
    public var nextServer = IPv4Address.any
    /// `giaddr`: the relay agent's address on the client's network.
    public var relayAddress = IPv4Address.any
    /// All 16 bytes of `chaddr`, as two halves.
    public var hardwareHigh: UInt64 = 0
    public var hardwareLow: UInt64 = 0
    /// `sname`, up to its first NUL; empty where the field carries options. At most 64 bytes.
    public var serverName: [UInt8] = []
    /// `file`, up to its first NUL; empty where the field carries options. At most 128 bytes.
    public var bootFileField: [UInt8] = []
    public var options = DHCPOptions()
    /// How many bytes `serialize` may make of this message; not on the wire.
    public var sizeLimitBytes = Self.maximumSizeLimitBytes

    public init() {}

    public init(parsing bytes: [UInt8]) throws(DHCPParseError) {
        guard bytes.count >= Self.headerBytes else { throw .tooShort(bytes: bytes.count) }
        guard bytes.count <= Self.maximumParsedBytes else { throw .tooLong(bytes: bytes.count) }
        guard bytes[0] == 1 || bytes[0] == 2 else { throw .unknownOperation(bytes[0]) }
        guard bytes[2] <= 16 else { throw .badHardwareLength(bytes[2]) }
        guard bytes.bigEndian(at: 236) == 0x6382_5363 else { throw .badMagicCookie }
        isReply = bytes[0] == 2
        hardwareType = bytes[1]
        hardwareLength = bytes[2]
        hops = bytes[3]
        transactionID = bytes.bigEndian(at: 4)
        let secondsAndFlags = bytes.bigEndian(at: 8)
        elapsedSeconds = UInt16(secondsAndFlags >> 16)
        flags = UInt16(truncatingIfNeeded: secondsAndFlags)
        clientAddress = IPv4Address(value: bytes.bigEndian(at: 12))
        yourAddress = IPv4Address(value: bytes.bigEndian(at: 16))
        nextServer = IPv4Address(value: bytes.bigEndian(at: 20))
        relayAddress = IPv4Address(value: bytes.bigEndian(at: 24))
        hardwareHigh = UInt64(bytes.bigEndian(at: 28)) << 32 | UInt64(bytes.bigEndian(at: 32))
        hardwareLow = UInt64(bytes.bigEndian(at: 36)) << 32 | UInt64(bytes.bigEndian(at: 40))

        options.reserve(bytes.count - Self.headerBytes + 32)
        try options.merge(parsing: bytes[Self.headerBytes...])
        // RFC 2132 §9.3, and the order of RFC 3396 §5: options, file, sname.
        var overload: UInt8 = 0
        if options.contains(.overload) {
            guard let value = options.uint8(.overload), (1...3).contains(value) else { throw .badOverload }
            overload = value
            options.remove(DHCPOptionCode.overload.rawValue)
        }
        if overload & 1 == 0 {
            bootFileField = Self.untilNUL(bytes[108..<236])
        } else {
            try options.merge(parsing: bytes[108..<236])
        }
        if overload & 2 == 0 {
            serverName = Self.untilNUL(bytes[44..<108])
        } else {
            try options.merge(parsing: bytes[44..<108])
        }
        options.remove(DHCPOptionCode.overload.rawValue)
    }

    private static func untilNUL(_ field: ArraySlice<UInt8>) -> [UInt8] {
        if field.first == 0 { return [] }
        return Array(field.prefix { $0 != 0 })
    }

    /// The message's bytes: at least 300, as BOOTP relays expect, and at most
    /// ``sizeLimitBytes``.
    ///
    /// Options that do not fit go into `file` and `sname` where these are free
    /// (option 52); what does not fit there either is left out, the last first.
    /// Relay agent information is always last (RFC 3046 §2.2).
    public func serialize() -> [UInt8] {
        let limit = max(sizeLimitBytes, Self.minimumSizeLimitBytes)
        guard Self.headerBytes + options.encodedBytesBound + 1 > limit else {
            var bytes = header(capacity: Self.headerBytes + options.encodedBytesBound + 64)
            bytes.append(bytes: serverName, paddedTo: Self.serverNameBytes)
            bytes.append(bytes: bootFileField, paddedTo: Self.bootFileBytes)
            bytes.appendBigEndian(0x6382_5363 as UInt32)
            options.forEachOption { code, value in
                if code != DHCPOptionCode.overload.rawValue { DHCPOptions.encode(code, value, into: &bytes) }
            }
            bytes.append(DHCPOptionCode.end.rawValue)
            bytes.padToMinimum()
            return bytes
        }
        return serializeOverloaded(limit: limit)
    }

    private func serializeOverloaded(limit: Int) -> [UInt8] {
        var main: [UInt8] = []
        var file: [UInt8] = []
        var name: [UInt8] = []
        var last: [UInt8] = []
        if let value = options[.relayAgentInformation] {
            DHCPOptions.encode(DHCPOptionCode.relayAgentInformation.rawValue, value, into: &last)
        }
        // Header, option 52 and the end option are taken off.
        let mainRoom = limit - Self.headerBytes - 4 - last.count
        let fileRoom = bootFileField.isEmpty ? Self.bootFileBytes - 1 : 0
        let nameRoom = serverName.isEmpty ? Self.serverNameBytes - 1 : 0
        options.forEachOption { code, value in
            guard code != DHCPOptionCode.relayAgentInformation.rawValue, code != DHCPOptionCode.overload.rawValue
            else { return }
            let wanted = DHCPOptions.encodedBytes(value.count)
            if main.count + wanted <= mainRoom {
                DHCPOptions.encode(code, value, into: &main)
            } else if file.count + wanted <= fileRoom {
                DHCPOptions.encode(code, value, into: &file)
            } else if name.count + wanted <= nameRoom {
                DHCPOptions.encode(code, value, into: &name)
            }
        }
        let overload: UInt8 = (file.isEmpty ? 0 : 1) | (name.isEmpty ? 0 : 2)
        if !file.isEmpty { file.append(DHCPOptionCode.end.rawValue) }
        if !name.isEmpty { name.append(DHCPOptionCode.end.rawValue) }

        var bytes = header(capacity: limit)
        bytes.append(bytes: name.isEmpty ? serverName : name, paddedTo: Self.serverNameBytes)
        bytes.append(bytes: file.isEmpty ? bootFileField : file, paddedTo: Self.bootFileBytes)
        bytes.appendBigEndian(0x6382_5363 as UInt32)
        if overload != 0 {
            DHCPOptions.encode(DHCPOptionCode.overload.rawValue, [overload], into: &bytes)
        }
        bytes.append(contentsOf: main)
        // An absurdly long value is left out rather than sent in a message too long.
        if bytes.count + last.count < limit { bytes.append(contentsOf: last) }
        bytes.append(DHCPOptionCode.end.rawValue)
        bytes.padToMinimum()
        return bytes
    }

    private func header(capacity: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(max(Self.minimumBytes, capacity))
        bytes.append(isReply ? 2 : 1)
        bytes.append(hardwareType)
        bytes.append(min(hardwareLength, 16))
        bytes.append(hops)
        bytes.appendBigEndian(transactionID)
        bytes.appendBigEndian(elapsedSeconds)
        bytes.appendBigEndian(flags)
        bytes.appendBigEndian(clientAddress.value)
        bytes.appendBigEndian(yourAddress.value)
        bytes.appendBigEndian(nextServer.value)
        bytes.appendBigEndian(relayAddress.value)
        bytes.appendBigEndian(UInt32(hardwareHigh >> 32))
        bytes.appendBigEndian(UInt32(truncatingIfNeeded: hardwareHigh))
        bytes.appendBigEndian(UInt32(hardwareLow >> 32))
        bytes.appendBigEndian(UInt32(truncatingIfNeeded: hardwareLow))
        return bytes
    }
}

extension [UInt8] {
    fileprivate mutating func append(bytes value: [UInt8], paddedTo size: Int) {
        append(contentsOf: value.prefix(size))
        append(contentsOf: repeatElement(0, count: size - Swift.min(size, value.count)))
    }

    fileprivate mutating func padToMinimum() {
        if count < DHCPMessage.minimumBytes {
            append(contentsOf: repeatElement(0, count: DHCPMessage.minimumBytes - count))
        }
    }
}
