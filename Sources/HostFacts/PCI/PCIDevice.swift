/// Where a PCI function sits: `0000:3b:00.1`, domain:bus:device.function in hexadecimal.
public struct PCIAddress: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let domain: UInt32
    public let bus: UInt8
    /// 0 to 31.
    public let device: UInt8
    /// 0 to 7.
    public let function: UInt8

    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        let tail = parts[2].split(separator: ".", omittingEmptySubsequences: false)
        guard tail.count == 2, let domain = UInt32(parts[0], radix: 16), let bus = UInt8(parts[1], radix: 16),
            let device = UInt8(tail[0], radix: 16), device < 32, let function = UInt8(tail[1], radix: 16), function < 8
        else { return nil }
        self.domain = domain
        self.bus = bus
        self.device = device
        self.function = function
    }

    public var description: String {
        "\(hex(domain, 4)):\(hex(bus, 2)):\(hex(device, 2)).\(function)"
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.domain, left.bus, left.device, left.function) < (right.domain, right.bus, right.device, right.function)
    }
}

func hex(_ value: some BinaryInteger, _ digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}

/// Why a device's sysfs attributes make no PCI device.
public enum PCIParseError: Error, Equatable, Sendable, CustomStringConvertible {
    case badAddress(String)
    case missing(attribute: String)
    case badNumber(attribute: String, text: String)

    public var description: String {
        switch self {
        case .badAddress(let text): "not a PCI address: \(text)"
        case .missing(let attribute): "PCI device without its attribute \(attribute)"
        case .badNumber(let attribute, let text): "PCI attribute \(attribute) is no number: \(text)"
        }
    }
}

/// A PCI function as `/sys/bus/pci/devices` tells of it.
public struct PCIDevice: Hashable, Sendable {
    public let address: PCIAddress
    public let vendor: UInt16
    public let device: UInt16
    /// 0 where there is none.
    public let subsystemVendor: UInt16
    public let subsystemDevice: UInt16
    /// Base class, subclass and programming interface in 24 bits: 0x010802 is NVMe.
    public let classCode: UInt32

    /// `attribute` gives the text of `vendor`, `device`, `class`,
    /// `subsystem_vendor`, `subsystem_device`, or nil; the last two may be absent.
    public init(address text: String, attribute: (String) -> String?) throws(PCIParseError) {
        guard let address = PCIAddress(text) else { throw .badAddress(text) }
        func number(_ name: String) throws(PCIParseError) -> UInt32? {
            guard let text = attribute(name).map(FirmwareText.trim) else { return nil }
            guard text.hasPrefix("0x"), let value = UInt32(text.dropFirst(2), radix: 16) else {
                throw .badNumber(attribute: name, text: text)
            }
            return value
        }
        func needed(_ name: String) throws(PCIParseError) -> UInt32 {
            guard let value = try number(name) else { throw .missing(attribute: name) }
            return value
        }
        self.address = address
        vendor = UInt16(truncatingIfNeeded: try needed("vendor"))
        device = UInt16(truncatingIfNeeded: try needed("device"))
        classCode = try needed("class") & 0xff_ffff
        subsystemVendor = UInt16(truncatingIfNeeded: try number("subsystem_vendor") ?? 0)
        subsystemDevice = UInt16(truncatingIfNeeded: try number("subsystem_device") ?? 0)
    }

    public var baseClass: UInt8 { UInt8(truncatingIfNeeded: classCode >> 16) }
    public var subclass: UInt8 { UInt8(truncatingIfNeeded: classCode >> 8) }
    public var programmingInterface: UInt8 { UInt8(truncatingIfNeeded: classCode) }
    public var isBridge: Bool { baseClass == 0x06 }
    public var isNetwork: Bool { baseClass == 0x02 }
    public var isStorage: Bool { baseClass == 0x01 }
    /// Display controllers, and 3D ones without an output.
    public var isGPU: Bool { baseClass == 0x03 || (baseClass == 0x12 && subclass == 0x00) }
    /// `8086:1533`.
    public var identifier: String { "\(hex(vendor, 4)):\(hex(device, 4))" }
}
