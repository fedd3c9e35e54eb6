public import Wire

/// What a machine is made of, as its agent found it. Every field is what the
/// machine says of itself: nil where it says nothing or only vendor filler.
public struct Inventory: Codable, Sendable, Equatable {
    public var system = SystemFacts()
    public var firmware = FirmwareFacts()
    public var cpus: [CPUFacts] = []
    public var memory = MemoryFacts()
    public var nics: [NICFacts] = []
    public var disks: [DiskFacts] = []
    public var pci: [PCIFacts] = []
    public var tpm: TPMFacts?
    public var bmc: BMCFacts?
    /// Installations of Hostler's found on its disks.
    public var installations: [FoundInstallation] = []

    public init() {}

    public struct SystemFacts: Codable, Sendable, Equatable {
        public var vendor: String?
        public var product: String?
        public var version: String?
        public var serial: String?
        public var uuid: String?
        public var sku: String?
        public var boardVendor: String?
        public var boardProduct: String?
        public var boardSerial: String?
        public var assetTag: String?
        public init() {}
    }

    public struct FirmwareFacts: Codable, Sendable, Equatable {
        public var mode: FirmwareMode = .bios
        public var vendor: String?
        public var version: String?
        public var date: String?
        public var secureBoot: Bool?
        public init() {}
    }

    public struct CPUFacts: Codable, Sendable, Equatable {
        public var model: String
        public var cores: Int
        public var threads: Int
        public init(model: String, cores: Int, threads: Int) {
            self.model = model
            self.cores = cores
            self.threads = threads
        }
    }

    public struct MemoryFacts: Codable, Sendable, Equatable {
        public var totalBytes: Int64 = 0
        public var dimms: [DIMM] = []
        public init() {}

        public struct DIMM: Codable, Sendable, Equatable {
            public var slot: String
            /// 0 where the slot is empty.
            public var bytes: Int64
            public var kind: String?
            /// In megatransfers a second.
            public var megatransfersPerSecond: Int?
            public var manufacturer: String?
            public var serial: String?
            public var partNumber: String?
            public init(slot: String, bytes: Int64) {
                self.slot = slot
                self.bytes = bytes
            }
        }
    }

    public struct NICFacts: Codable, Sendable, Equatable {
        public var name: String
        public var mac: MACAddress
        public var driver: String?
        public var link: Bool
        public var megabitsPerSecond: Int?
        public var pciAddress: String?
        /// The switch port heard by LLDP on this NIC.
        public var neighbour: Neighbour?
        public init(name: String, mac: MACAddress, link: Bool) {
            self.name = name
            self.mac = mac
            self.link = link
        }
    }

    /// A switch port as LLDP (IEEE 802.1AB) tells it.
    public struct Neighbour: Codable, Sendable, Equatable {
        public var chassis: String
        public var port: String
        public var portDescription: String?
        public var systemName: String?
        public var vlan: Int?
        public init(chassis: String, port: String) {
            self.chassis = chassis
            self.port = port
        }
    }

    public struct DiskFacts: Codable, Sendable, Equatable {
        /// The kernel's name at that boot, as `sda`: for people, never an identity.
        public var name: String
        public var serial: String?
        public var wwn: String?
        public var model: String?
        public var bytes: Int64
        public var kind: DiskKind
        public var transport: String?
        public var removable: Bool
        public var logicalBlockBytes: Int
        public init(name: String, bytes: Int64, kind: DiskKind, removable: Bool = false, logicalBlockBytes: Int = 512) {
            self.name = name
            self.bytes = bytes
            self.kind = kind
            self.removable = removable
            self.logicalBlockBytes = logicalBlockBytes
        }
    }

    public enum DiskKind: String, Codable, Sendable { case nvme, ssd, hdd, virtual }

    public struct PCIFacts: Codable, Sendable, Equatable {
        public var address: String
        /// `vendor:device` in hex, as `8086:100e`.
        public var ids: String
        public var className: String?
        public var name: String?
        public init(address: String, ids: String) {
            self.address = address
            self.ids = ids
        }
    }

    public struct TPMFacts: Codable, Sendable, Equatable {
        /// `2` or `1.2`.
        public var version: String
        public init(version: String) { self.version = version }
    }

    public struct BMCFacts: Codable, Sendable, Equatable {
        public var address: IPv4Address?
        public var mac: MACAddress?
        public init(address: IPv4Address?, mac: MACAddress?) {
            self.address = address
            self.mac = mac
        }
    }

    /// An `InstallMarker` that the agent read from a disk.
    public struct FoundInstallation: Codable, Sendable, Equatable {
        public var disk: String
        public var record: InstallRecord
        public init(disk: String, record: InstallRecord) {
            self.disk = disk
            self.record = record
        }
    }
}

public enum FirmwareMode: String, Codable, Sendable { case bios, uefi }

/// What an installation writes of itself to the disk, so that a control plane
/// which lost its memory (a restored backup) can learn it again.
public struct InstallRecord: Codable, Sendable, Equatable {
    public var machine: MachineID
    public var operation: OperationID
    public var generation: UInt64
    public var image: String
    public var digest: String
    public var hostname: String
    /// What shows that the control plane made it; nil: an older version's, which nothing shows that of.
    public var tag: String?

    public init(
        machine: MachineID, operation: OperationID, generation: UInt64, image: String, digest: String, hostname: String
    ) {
        self.machine = machine
        self.operation = operation
        self.generation = generation
        self.image = image
        self.digest = digest
        self.hostname = hostname
    }
}
