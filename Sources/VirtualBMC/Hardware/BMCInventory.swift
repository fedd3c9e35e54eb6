public import Wire

/// What a BMC's machine is made of. Fixed while the machine is the same machine.
public struct BMCInventory: Hashable, Sendable {
    public enum Firmware: String, Hashable, Sendable {
        case bios, uefi
    }

    public struct Processor: Hashable, Sendable {
        public var socket: String
        public var manufacturer: String
        public var model: String
        public var cores: Int
        public var threads: Int

        public init(socket: String, manufacturer: String, model: String, cores: Int, threads: Int) {
            self.socket = socket
            self.manufacturer = manufacturer
            self.model = model
            self.cores = cores
            self.threads = threads
        }
    }

    public struct MemoryModule: Hashable, Sendable {
        public var locator: String
        public var sizeMiB: Int
        public var manufacturer: String
        public var serial: String
        public var partNumber: String
        public var speedMHz: Int

        public init(
            locator: String, sizeMiB: Int, manufacturer: String, serial: String, partNumber: String, speedMHz: Int
        ) {
            self.locator = locator
            self.sizeMiB = sizeMiB
            self.manufacturer = manufacturer
            self.serial = serial
            self.partNumber = partNumber
            self.speedMHz = speedMHz
        }
    }

    public struct NetworkCard: Hashable, Sendable {
        public var mac: MACAddress
        public var name: String
        public var speedMbps: Int

        public init(mac: MACAddress, name: String, speedMbps: Int) {
            self.mac = mac
            self.name = name
            self.speedMbps = speedMbps
        }
    }

    public struct Drive: Hashable, Sendable {
        /// Protocol.Protocol of the DMTF, as far as a lab has it.
        public enum Bus: String, Hashable, Sendable {
            case nvme = "NVMe"
            case sata = "SATA"
            case sas = "SAS"
            case pcie = "PCIe"
        }

        public var serial: String
        public var model: String
        public var sizeBytes: Int64
        public var bus: Bus
        public var isRotational: Bool

        public init(serial: String, model: String, sizeBytes: Int64, bus: Bus, isRotational: Bool) {
            self.serial = serial
            self.model = model
            self.sizeBytes = sizeBytes
            self.bus = bus
            self.isRotational = isRotational
        }
    }

    public var name: String
    public var manufacturer: String
    public var model: String
    public var sku: String
    public var serial: String
    public var assetTag: String
    public var boardSerial: String
    /// SMBIOS type 1, 8-4-4-4-12 hex digits.
    public var uuid: String
    public var firmware: Firmware
    public var firmwareVersion: String
    public var processors: [Processor]
    public var memory: [MemoryModule]
    public var networkCards: [NetworkCard]
    public var drives: [Drive]
    /// The BMC itself: 8-4-4-4-12 hex digits, not the system's.
    public var managerUUID: String
    public var managerMAC: MACAddress
    public var managerAddress: IPv4Address
    public var managerNetmask: IPv4Address

    public init(
        name: String, manufacturer: String, model: String, sku: String, serial: String, assetTag: String,
        boardSerial: String, uuid: String, firmware: Firmware, firmwareVersion: String, processors: [Processor],
        memory: [MemoryModule], networkCards: [NetworkCard], drives: [Drive], managerUUID: String,
        managerMAC: MACAddress, managerAddress: IPv4Address, managerNetmask: IPv4Address
    ) {
        self.name = name
        self.manufacturer = manufacturer
        self.model = model
        self.sku = sku
        self.serial = serial
        self.assetTag = assetTag
        self.boardSerial = boardSerial
        self.uuid = uuid
        self.firmware = firmware
        self.firmwareVersion = firmwareVersion
        self.processors = processors
        self.memory = memory
        self.networkCards = networkCards
        self.drives = drives
        self.managerUUID = managerUUID
        self.managerMAC = managerMAC
        self.managerAddress = managerAddress
        self.managerNetmask = managerNetmask
    }

    public var memoryMiB: Int { memory.map(\.sizeMiB).reduce(0, +) }
}
