internal import Wire

/// What the SMBIOS tables say of a machine, vendors' filler left out (DSP0134 §7).
public struct SMBIOSFacts: Equatable, Sendable {
    /// Version of the specification, such as `3.2`; nil without an entry point.
    public let version: String?
    public let bios: BIOSFacts?
    public let system: SystemFacts?
    /// Blades and big servers have several.
    public let boards: [BoardFacts]
    public let chassis: ChassisFacts?
    /// Every socket, the empty ones included.
    public let processors: [ProcessorFacts]
    public let memoryArrays: [MemoryArrayFacts]
    /// Every slot, the empty ones included.
    public let memoryDevices: [MemoryDeviceFacts]
    /// The BMC's IPMI interface, where the table names one.
    public let ipmi: IPMIFacts?
    /// The BMC's Redfish addresses inside the host, where the table names any.
    public let redfishInterfaces: [RedfishHostInterface]
    /// What of the table could not be read; everything else here is still good.
    public let damage: SMBIOSParseError?

    public init(table: SMBIOSTable, entryPoint: SMBIOSEntryPoint? = nil) {
        func all<Facts>(_ type: UInt8, _ make: (SMBIOSStructure) -> Facts) -> [Facts] {
            table.structures(ofType: type).map(make)
        }
        version = entryPoint?.version
        bios = all(0, BIOSFacts.init).first
        system = all(1, SystemFacts.init).first
        boards = all(2, BoardFacts.init)
        chassis = all(3, ChassisFacts.init).first
        processors = all(4, ProcessorFacts.init)
        memoryArrays = all(16, MemoryArrayFacts.init)
        memoryDevices = all(17, MemoryDeviceFacts.init)
        ipmi = all(38, IPMIFacts.init).first
        redfishInterfaces = all(42, RedfishHostInterface.all(in:)).flatMap(\.self)
        damage = table.damage
    }

    /// From the two files of `/sys/firmware/dmi/tables`. A bad entry point is
    /// an error; damage inside the table is told in `damage`.
    public init(entryPoint: [UInt8], table: [UInt8]) throws(SMBIOSParseError) {
        let entry = try SMBIOSEntryPoint(parsing: entryPoint)
        self.init(table: SMBIOSTable(parsing: table, entryPoint: entry), entryPoint: entry)
    }
}

/// The firmware (DSP0134 §7.1, type 0).
public struct BIOSFacts: Equatable, Sendable {
    public let vendor: String?
    public let version: String?
    /// As the vendor wrote it, mostly `mm/dd/yyyy`.
    public let releaseDate: String?
    /// Whether the firmware says that it supports UEFI.
    public let supportsUEFI: Bool
    /// Whether the firmware says that this is a virtual machine.
    public let isVirtualMachine: Bool

    init(_ structure: SMBIOSStructure) {
        vendor = structure.string(at: 0x04)
        version = structure.string(at: 0x05)
        releaseDate = structure.string(at: 0x08)
        let extensions = structure.byte(0x13) ?? 0
        supportsUEFI = extensions & 0x08 != 0
        isVirtualMachine = extensions & 0x10 != 0
    }
}

/// The system as sold (DSP0134 §7.2, type 1).
public struct SystemFacts: Equatable, Sendable {
    public let manufacturer: String?
    public let product: String?
    public let version: String?
    public let serial: String?
    /// Nil where the firmware says "not set", or has what stands on many boards (``Filler``).
    public let uuid: FirmwareGUID?
    public let sku: String?
    public let family: String?

    init(_ structure: SMBIOSStructure) {
        manufacturer = structure.string(at: 0x04)
        product = structure.string(at: 0x05)
        version = structure.string(at: 0x06)
        serial = structure.string(at: 0x07)
        uuid = structure.slice(0x08, 16).flatMap { FirmwareGUID($0) }.flatMap { Filler.identifies(uuid: $0.description) ? $0 : nil }
        sku = structure.string(at: 0x19)
        family = structure.string(at: 0x1a)
    }
}

/// A board (DSP0134 §7.3, type 2).
public struct BoardFacts: Equatable, Sendable {
    public let manufacturer: String?
    public let product: String?
    public let version: String?
    public let serial: String?
    public let assetTag: String?
    public let location: String?

    init(_ structure: SMBIOSStructure) {
        manufacturer = structure.string(at: 0x04)
        product = structure.string(at: 0x05)
        version = structure.string(at: 0x06)
        serial = structure.string(at: 0x07)
        assetTag = structure.string(at: 0x08)
        location = structure.string(at: 0x0a)
    }
}

/// The enclosure (DSP0134 §7.4, type 3).
public struct ChassisFacts: Equatable, Sendable {
    public let manufacturer: String?
    /// Such as `Rack Mount Chassis`; nil for `Other` and `Unknown`.
    public let kind: String?
    public let version: String?
    public let serial: String?
    public let assetTag: String?
    /// In rack units of 1.75 inches; nil where not told.
    public let heightUnits: Int?

    init(_ structure: SMBIOSStructure) {
        manufacturer = structure.string(at: 0x04)
        kind = structure.byte(0x05).flatMap { SMBIOSNames.chassis[Int($0 & 0x7f)] }
        version = structure.string(at: 0x06)
        serial = structure.string(at: 0x07)
        assetTag = structure.string(at: 0x08)
        heightUnits = structure.byte(0x11).flatMap { $0 == 0 ? nil : Int($0) }
    }
}

/// A processor socket (DSP0134 §7.5, type 4).
public struct ProcessorFacts: Equatable, Sendable {
    /// The socket's name on the board.
    public let socket: String?
    public let isPopulated: Bool
    public let manufacturer: String?
    /// The vendor's name of the model.
    public let model: String?
    public let maximumMegahertz: Int?
    public let serial: String?
    public let partNumber: String?
    public let cores: Int?
    public let enabledCores: Int?
    public let threads: Int?

    init(_ structure: SMBIOSStructure) {
        socket = structure.string(at: 0x04)
        isPopulated = (structure.byte(0x18) ?? 0) & 0x40 != 0
        manufacturer = structure.string(at: 0x07)
        model = structure.string(at: 0x10)
        maximumMegahertz = structure.word(0x14).flatMap { $0 == 0 ? nil : Int($0) }
        serial = structure.string(at: 0x20)
        partNumber = structure.string(at: 0x22)
        // A byte of 0xff says that the count is in the word of SMBIOS 3.0.
        func count(_ short: Int, _ long: Int) -> Int? {
            guard let value = structure.byte(short), value != 0 else { return nil }
            if value < 0xff { return Int(value) }
            guard let wide = structure.word(long), wide != 0, wide != 0xffff else { return 255 }
            return Int(wide)
        }
        cores = count(0x23, 0x2a)
        enabledCores = count(0x24, 0x2c)
        threads = count(0x25, 0x2e)
    }
}
