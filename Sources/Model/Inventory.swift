internal import FoundationEssentials
public import Wire

/// What a machine is made of, as its agent found it. Every field is what the
/// machine says of itself: nil where it says nothing or only vendor filler.
///
/// Decoding makes its text printable, its numbers possible and its lists as long as ``AgentLimits`` has.
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
    /// Storage controllers whose disks could not be looked at, as the ramdisk has no driver for them; nil: not looked.
    public var storageWithoutDriver: [String]?

    public init() {}

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        system = try container.decode(SystemFacts.self, forKey: .system)
        firmware = try container.decode(FirmwareFacts.self, forKey: .firmware)
        cpus = try container.list(CPUFacts.self, .cpus, limit: AgentLimits.cpus)
        memory = try container.decode(MemoryFacts.self, forKey: .memory)
        nics = try container.list(NICFacts.self, .nics, limit: AgentLimits.nics)
        disks = DiskNames.named(try container.list(DiskFacts.self, .disks, limit: AgentLimits.disks))
        pci = try container.list(PCIFacts.self, .pci, limit: AgentLimits.pciFunctions)
        tpm = try container.decodeIfPresent(TPMFacts.self, forKey: .tpm)
        bmc = try container.decodeIfPresent(BMCFacts.self, forKey: .bmc)
        // What stands on a disk anybody may have written: what is no record of an installation is not listed.
        installations = try container.readable(FoundInstallation.self, .installations, limit: AgentLimits.installations)
        storageWithoutDriver = try container.decodeIfPresent([String].self, forKey: .storageWithoutDriver)?
            .prefix(AgentLimits.storageControllers).map { PrintableText.line($0, limitBytes: AgentLimits.wordBytes) }
    }

    /// As much of it as fits into ``AgentLimits/inventoryBytes`` of JSON: where it is too large, the names of the PCI
    /// functions go first, then those functions.
    ///
    /// - Throws: `inventory-too-large` where what is left is still too much.
    public func fitting() throws(Problem) -> Inventory {
        var copy = self
        let cuts: [(inout Inventory) -> Void] = [
            { _ in }, { for index in $0.pci.indices { $0.pci[index].name = nil } },
            { for index in $0.disks.indices { $0.disks[index].contents = $0.disks[index].contents?.shortened } }, { $0.pci = [] },
        ]
        for cut in cuts {
            cut(&copy)
            if let json = try? JSONEncoder().encode(copy), json.count <= AgentLimits.inventoryBytes { return copy }
        }
        throw Problem(
            "inventory-too-large", status: 413, title: "The machine's inventory is larger than \(AgentLimits.inventoryBytes >> 10) KiB",
            detail: "\(disks.count) disks, \(nics.count) network ports, \(memory.dimms.count) memory slots",
            remedy: "Take disks or network cards out that the machine does not need, or report this.")
    }

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

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            vendor = try container.wordIfPresent(.vendor)
            product = try container.wordIfPresent(.product)
            version = try container.wordIfPresent(.version)
            serial = try container.wordIfPresent(.serial)
            uuid = try container.wordIfPresent(.uuid)
            sku = try container.wordIfPresent(.sku)
            boardVendor = try container.wordIfPresent(.boardVendor)
            boardProduct = try container.wordIfPresent(.boardProduct)
            boardSerial = try container.wordIfPresent(.boardSerial)
            assetTag = try container.wordIfPresent(.assetTag)
        }
    }

    public struct FirmwareFacts: Codable, Sendable, Equatable {
        public var mode: FirmwareMode = .bios
        public var vendor: String?
        public var version: String?
        public var date: String?
        public var secureBoot: Bool?
        /// What its UEFI starts from a disk that its settings do not name, as `BOOTX64.EFI`.
        public var loader: String?
        public init() {}

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            mode = try container.decode(FirmwareMode.self, forKey: .mode)
            vendor = try container.wordIfPresent(.vendor)
            version = try container.wordIfPresent(.version)
            date = try container.wordIfPresent(.date)
            secureBoot = try container.decodeIfPresent(Bool.self, forKey: .secureBoot)
            loader = try container.wordIfPresent(.loader, limitBytes: 32)
        }
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

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            model = try container.word(.model)
            cores = try container.number(.cores, in: NumberRange.smallCount)
            threads = try container.number(.threads, in: NumberRange.smallCount)
        }
    }

    public struct MemoryFacts: Codable, Sendable, Equatable {
        public var totalBytes: Int64 = 0
        public var dimms: [DIMM] = []
        public init() {}

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            totalBytes = try container.number(.totalBytes, in: NumberRange.count)
            dimms = try container.list(DIMM.self, .dimms, limit: AgentLimits.dimms)
        }

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

            public init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: CodingKeys.self)
                slot = try container.word(.slot)
                bytes = try container.number(.bytes, in: NumberRange.count)
                kind = try container.wordIfPresent(.kind)
                megatransfersPerSecond = try container.numberIfPresent(.megatransfersPerSecond, in: NumberRange.smallCount)
                manufacturer = try container.wordIfPresent(.manufacturer)
                serial = try container.wordIfPresent(.serial)
                partNumber = try container.wordIfPresent(.partNumber)
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

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            name = try container.word(.name)
            mac = try container.decode(MACAddress.self, forKey: .mac)
            driver = try container.wordIfPresent(.driver)
            link = try container.decode(Bool.self, forKey: .link)
            megabitsPerSecond = try container.numberIfPresent(.megabitsPerSecond, in: NumberRange.smallCount)
            pciAddress = try container.wordIfPresent(.pciAddress)
            neighbour = try container.decodeIfPresent(Neighbour.self, forKey: .neighbour)
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

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            chassis = try container.word(.chassis)
            port = try container.word(.port)
            portDescription = try container.wordIfPresent(.portDescription)
            systemName = try container.wordIfPresent(.systemName)
            vlan = try container.numberIfPresent(.vlan, in: 0...4095)
        }
    }

    public struct DiskFacts: Codable, Sendable, Equatable {
        /// The kernel's name at that boot, as `sda`: for people, never an identity.
        public var name: String
        /// The name that means this disk and no other of its machine, as `--disk` takes it; nil: it has none. It is worked
        /// out anew from the facts whenever they are read (``DiskNames``), and never believed.
        public var id: String?
        public var serial: String?
        public var wwn: String?
        /// An NVMe namespace's NGUID and EUI-64, where it has them beside its ``wwn``.
        public var nguid: String?
        public var eui64: String?
        public var model: String?
        public var bytes: Int64
        public var kind: DiskKind
        public var transport: String?
        /// Nil: reported by an agent that did not look yet.
        public var place: DiskPlace?
        /// Its controller and its address on it, the same at each boot.
        public var path: String?
        public var removable: Bool
        public var logicalBlockBytes: Int
        /// What it holds; nil: it was not looked at.
        public var contents: DiskContents?
        public init(name: String, bytes: Int64, kind: DiskKind, removable: Bool = false, logicalBlockBytes: Int = 512) {
            self.name = name
            self.bytes = bytes
            self.kind = kind
            self.removable = removable
            self.logicalBlockBytes = logicalBlockBytes
        }

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            name = try container.word(.name)
            serial = try container.wordIfPresent(.serial)
            wwn = try container.wordIfPresent(.wwn)
            nguid = try container.wordIfPresent(.nguid, limitBytes: 64)
            eui64 = try container.wordIfPresent(.eui64, limitBytes: 64)
            model = try container.wordIfPresent(.model)
            bytes = try container.number(.bytes, in: NumberRange.count)
            kind = try container.decode(DiskKind.self, forKey: .kind)
            transport = try container.wordIfPresent(.transport)
            // A place that this version does not know is none that it takes for the machine's own.
            place = try container.wordIfPresent(.place, limitBytes: 32).map { DiskPlace(rawValue: $0) ?? .unclear }
            path = try container.wordIfPresent(.path)
            removable = try container.decode(Bool.self, forKey: .removable)
            let blockBytes = try container.number(.logicalBlockBytes, in: NumberRange.blockBytes)
            // The next smaller power of two.
            logicalBlockBytes = 1 << (Int.bitWidth - 1 - blockBytes.leadingZeroBitCount)
            contents = try container.decodeIfPresent(DiskContents.self, forKey: .contents)
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

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            address = try container.word(.address, limitBytes: 32)
            ids = try container.word(.ids, limitBytes: 32)
            className = try container.wordIfPresent(.className)
            name = try container.wordIfPresent(.name)
        }
    }

    public struct TPMFacts: Codable, Sendable, Equatable {
        /// `2` or `1.2`.
        public var version: String
        public init(version: String) { self.version = version }

        public init(from decoder: any Decoder) throws {
            version = try decoder.container(keyedBy: CodingKeys.self).word(.version, limitBytes: 16)
        }
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

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            disk = try container.word(.disk)
            record = try container.decode(InstallRecord.self, forKey: .record)
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
    /// What the system's keys are checked with, should the record have lost that too.
    public var keyVerifiers: KeyVerifiers?
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

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        machine = try container.decode(MachineID.self, forKey: .machine)
        operation = try container.decode(OperationID.self, forKey: .operation)
        generation = try container.decode(UInt64.self, forKey: .generation)
        // A generation that was brought into its range would be another one.
        guard NumberRange.generation.contains(generation) else {
            throw DecodingError.dataCorruptedError(
                forKey: .generation, in: container, debugDescription: "no machine has had \(generation) operations")
        }
        image = try container.word(.image)
        digest = try container.word(.digest)
        hostname = try container.word(.hostname)
        keyVerifiers = try container.decodeIfPresent(KeyVerifiers.self, forKey: .keyVerifiers)
        tag = try container.wordIfPresent(.tag, limitBytes: 64)
    }
}
