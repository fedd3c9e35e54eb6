public import Wire

/// What iPXE says, and is told, in option 175.
public struct IPXEOptions: Hashable, Sendable {
    /// Feature indicators that are on by code: 19 HTTP, 20 HTTPS, 21 TFTP, 36 EFI …
    public var options: DHCPOptions

    public static let noPXEDHCPCode: UInt8 = 176
    public static let busIdentifierCode: UInt8 = 177

    public init(noPXEDHCP: Bool) {
        options = DHCPOptions()
        if noPXEDHCP { options[Self.noPXEDHCPCode] = [1] }
    }

    public init(parsing field: some Collection<UInt8>) throws(DHCPParseError) {
        options = try DHCPOptions(parsing: field)
    }

    /// Do not wait for proxyDHCP offers (option 176).
    public var noPXEDHCP: Bool { options[Self.noPXEDHCPCode]?.contains { $0 != 0 } ?? false }

    /// The network card on its bus (option 177): bus type 1 is PCI.
    public var busIdentifier: (type: UInt8, vendor: UInt16, device: UInt16)? {
        guard let value = options[Self.busIdentifierCode], value.count == 5 else { return nil }
        let bytes = Array(value)
        return (bytes[0], UInt16(bytes[1]) << 8 | UInt16(bytes[2]), UInt16(bytes[3]) << 8 | UInt16(bytes[4]))
    }

    /// True where the build has the feature with this code, 16 to 127.
    public func hasFeature(_ code: UInt8) -> Bool {
        (16...127).contains(code) && options[code]?.contains { $0 != 0 } ?? false
    }

    public var encoded: [UInt8] { options.encoded }
}

/// One route of option 121 (RFC 3442).
public struct ClasslessRoute: Hashable, Sendable {
    public var destination: IPv4Prefix
    /// 0.0.0.0 means on the link.
    public var router: IPv4Address

    public init(destination: IPv4Prefix, router: IPv4Address) {
        self.destination = destination
        self.router = router
    }

    static func encode(_ routes: [ClasslessRoute]) -> [UInt8] {
        var bytes: [UInt8] = []
        for route in routes {
            bytes.append(UInt8(route.destination.length))
            bytes += route.destination.network.bytes.prefix((route.destination.length + 7) / 8)
            bytes += route.router.bytes
        }
        return bytes
    }

    static func decode(_ value: ArraySlice<UInt8>) -> [ClasslessRoute]? {
        var reader = ByteReader(value)
        var routes: [ClasslessRoute] = []
        while let length = try? reader.readUInt8() {
            guard length <= 32, let significant = try? reader.read((Int(length) + 7) / 8),
                let router = try? reader.readUInt32()
            else { return nil }
            let network = Array(significant) + Array(repeating: 0, count: 4 - significant.count)
            guard let address = IPv4Address(network), let prefix = IPv4Prefix(address: address, length: Int(length))
            else { return nil }
            routes.append(ClasslessRoute(destination: prefix, router: IPv4Address(value: router)))
        }
        return routes
    }
}
