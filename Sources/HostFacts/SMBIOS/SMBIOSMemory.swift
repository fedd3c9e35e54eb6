/// A group of memory slots (DSP0134 §7.17, type 16).
public struct MemoryArrayFacts: Equatable, Sendable {
    public let handle: UInt16
    /// Such as `Multi-bit ECC`; nil for `Other` and `Unknown`.
    public let errorCorrection: String?
    /// The most that the slots together can hold.
    public let maximumBytes: UInt64?
    public let slotCount: Int

    init(_ structure: SMBIOSStructure) {
        handle = structure.handle
        errorCorrection = structure.byte(0x06).flatMap { SMBIOSNames.errorCorrection[Int($0)] }
        switch structure.doubleWord(0x07) {
        case nil, 0: maximumBytes = nil
        case 0x8000_0000: maximumBytes = structure.quadWord(0x0f)
        case .some(let kibibytes): maximumBytes = UInt64(kibibytes) * 1024
        }
        slotCount = Int(structure.word(0x0d) ?? 0)
    }
}

/// A memory slot and the module in it (DSP0134 §7.18, type 17).
public struct MemoryDeviceFacts: Equatable, Sendable {
    /// The slot's name on the board, such as `DIMM_A1`.
    public let locator: String?
    /// The bank's name, such as `P0_Node0_Channel0`.
    public let bank: String?
    /// Nil for an empty slot, and for a module whose size the firmware does not know.
    public let sizeBytes: UInt64?
    public let isPopulated: Bool
    /// Such as `DDR4`.
    public let kind: String?
    /// Such as `DIMM`.
    public let formFactor: String?
    /// The fastest that the module can, in MT/s.
    public let speedMegatransfers: Int?
    /// What it runs at, in MT/s.
    public let configuredMegatransfers: Int?
    public let manufacturer: String?
    public let serial: String?
    public let partNumber: String?
    public let assetTag: String?
    /// Whether the total width is more than the data width, as it is with ECC; nil if unknown.
    public let hasECCBits: Bool?

    init(_ structure: SMBIOSStructure) {
        locator = structure.string(at: 0x10)
        bank = structure.string(at: 0x11)
        let size = structure.word(0x0c) ?? 0
        isPopulated = size != 0
        sizeBytes = Self.bytes(size: size, structure)
        kind = structure.byte(0x12).flatMap { SMBIOSNames.memory[Int($0)] }
        formFactor = structure.byte(0x0e).flatMap { SMBIOSNames.memoryForm[Int($0)] }
        speedMegatransfers = Self.speed(structure, short: 0x15, extended: 0x54)
        configuredMegatransfers = Self.speed(structure, short: 0x20, extended: 0x58)
        manufacturer = structure.string(at: 0x17)
        serial = structure.string(at: 0x18)
        assetTag = structure.string(at: 0x19)
        partNumber = structure.string(at: 0x1a)
        if let total = structure.word(0x08), let data = structure.word(0x0a), total != 0, total != 0xffff, data != 0,
            data != 0xffff
        {
            hasECCBits = total > data
        } else {
            hasECCBits = nil
        }
    }

    private static func bytes(size: UInt16, _ structure: SMBIOSStructure) -> UInt64? {
        switch size {
        case 0, 0xffff: nil
        // 0x7fff: 32 GiB - 1 MiB or more, the size is in the extended field, in MiB.
        case 0x7fff: structure.doubleWord(0x1c).flatMap { $0 & 0x7fff_ffff == 0 ? nil : UInt64($0 & 0x7fff_ffff) << 20 }
        // Bit 15 tells the unit: KiB when set, else MiB.
        case 0x8000...: UInt64(size & 0x7fff) << 10
        default: UInt64(size) << 20
        }
    }

    private static func speed(_ structure: SMBIOSStructure, short: Int, extended: Int) -> Int? {
        switch structure.word(short) {
        case nil, 0: nil
        case 0xffff: structure.doubleWord(extended).flatMap { $0 == 0 ? nil : Int($0 & 0x7fff_ffff) }
        case .some(let speed): Int(speed)
        }
    }
}

/// Words for the enumerations of DSP0134 §7; `Other` and `Unknown` are left out.
enum SMBIOSNames {
    static let chassis: [Int: String] = [
        0x03: "Desktop", 0x04: "Low Profile Desktop", 0x05: "Pizza Box", 0x06: "Mini Tower", 0x07: "Tower",
        0x08: "Portable", 0x09: "Laptop", 0x0a: "Notebook", 0x0d: "All in One", 0x0f: "Space-saving",
        0x10: "Lunch Box", 0x11: "Main Server Chassis", 0x12: "Expansion Chassis", 0x13: "SubChassis",
        0x15: "Peripheral Chassis", 0x16: "RAID Chassis", 0x17: "Rack Mount Chassis", 0x18: "Sealed-case PC",
        0x19: "Multi-system Chassis", 0x1a: "CompactPCI", 0x1b: "AdvancedTCA", 0x1c: "Blade",
        0x1d: "Blade Enclosure", 0x21: "IoT Gateway", 0x22: "Embedded PC", 0x23: "Mini PC", 0x24: "Stick PC",
    ]
    static let errorCorrection: [Int: String] = [
        3: "None", 4: "Parity", 5: "Single-bit ECC", 6: "Multi-bit ECC", 7: "CRC",
    ]
    static let memoryForm: [Int: String] = [
        0x03: "SIMM", 0x04: "SIP", 0x05: "Chip", 0x06: "DIP", 0x07: "ZIP", 0x08: "Proprietary Card", 0x09: "DIMM",
        0x0a: "TSOP", 0x0b: "Row of chips", 0x0c: "RIMM", 0x0d: "SODIMM", 0x0e: "SRIMM", 0x0f: "FB-DIMM",
        0x10: "Die", 0x11: "CAMM",
    ]
    static let memory: [Int: String] = [
        0x03: "DRAM", 0x07: "RAM", 0x09: "Flash", 0x0f: "SDRAM", 0x12: "DDR", 0x13: "DDR2", 0x14: "DDR2 FB-DIMM",
        0x18: "DDR3", 0x1a: "DDR4", 0x1b: "LPDDR", 0x1c: "LPDDR2", 0x1d: "LPDDR3", 0x1e: "LPDDR4",
        0x1f: "Logical non-volatile device", 0x20: "HBM", 0x21: "HBM2", 0x22: "DDR5", 0x23: "LPDDR5", 0x24: "HBM3",
    ]
}
