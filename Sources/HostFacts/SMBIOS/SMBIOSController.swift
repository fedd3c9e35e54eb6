public import Wire

/// The IPMI interface to the BMC (DSP0134 §7.39, type 38).
public struct IPMIFacts: Equatable, Sendable {
    public enum Interface: Equatable, Sendable { case unknown, kcs, smic, bt, ssif }
    public let interface: Interface
    /// Such as `2.0`.
    public let revision: String

    init(_ structure: SMBIOSStructure) {
        interface =
            switch structure.byte(0x04) {
            case 1: .kcs
            case 2: .smic
            case 3: .bt
            case 4: .ssif
            default: .unknown
            }
        let packed = structure.byte(0x05) ?? 0
        revision = "\(packed >> 4).\(packed & 15)"
    }
}

/// Where the BMC's Redfish service answers from inside the host: a
/// Redfish-over-IP record of a host interface (DSP0270 §8.3, SMBIOS type 42).
public struct RedfishHostInterface: Equatable, Sendable {
    /// The service's address; nil where it is not a set IPv4 address.
    public let serviceAddress: IPv4Address?
    /// The host's own address on that link.
    public let hostAddress: IPv4Address?
    public let port: UInt16
    public let hostname: String?

    static func all(in structure: SMBIOSStructure) -> [RedfishHostInterface] {
        guard let dataBytes = structure.byte(0x05) else { return [] }
        var position = 6 + Int(dataBytes)
        guard let count = structure.byte(position) else { return [] }
        position += 1
        var found: [RedfishHostInterface] = []
        for _ in 0..<count {
            guard let type = structure.byte(position), let length = structure.byte(position + 1),
                let data = structure.slice(position + 2, Int(length))
            else { break }
            if type == 4, let interface = RedfishHostInterface(Array(data)) { found.append(interface) }
            position += 2 + Int(length)
        }
        return found
    }

    /// `record`: service UUID 16, host assignment 1, host format 1, host address 16, host mask 16,
    /// discovery 1, service format 1, address 16, mask 16, port 2, VLAN 4, hostname length 1, hostname.
    private init?(_ record: [UInt8]) {
        guard record.count >= 90 else { return nil }
        func address(format: Int, at position: Int) -> IPv4Address? {
            guard record[format] == 1, let address = IPv4Address(record[position..<position + 4]) else { return nil }
            return address == .any ? nil : address
        }
        hostAddress = address(format: 17, at: 18)
        serviceAddress = address(format: 51, at: 52)
        port = UInt16(record[85]) << 8 | UInt16(record[84])
        hostname =
            record.count > 91
            ? FirmwareText.meaningful(FirmwareText.decode(record[91...].prefix(Int(record[90])))) : nil
    }
}
