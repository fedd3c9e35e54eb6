public import Wire

/// Something that a machine is made of, as its BMC has it: processor, DIMM, drive, NIC, PCIe device, firmware.
public struct Component: Sendable, Equatable {
    public enum Kind: String, Sendable, CaseIterable { case processor, memory, drive, nic, pcie, firmware }

    public var kind: Kind
    public var name: String
    public var model: String?
    public var manufacturer: String?
    public var serial: String?
    public var version: String?
    public var bytes: Int64?
    /// Of a processor.
    public var cores: Int?
    public var mac: MACAddress?

    /// Nil where the slot is empty (`Status.State` is `Absent`).
    public init?(_ kind: Kind, _ json: JSON) {
        guard json["Status"]?["State"]?.text?.lowercased() != "absent" else { return nil }
        self.kind = kind
        name = json["Name"]?.text ?? json["Id"]?.text ?? kind.rawValue
        model = json["Model"]?.text ?? json["PartNumber"]?.text
        manufacturer = json["Manufacturer"]?.text
        serial = json["SerialNumber"]?.text
        version = json["Version"]?.text ?? json["FirmwareVersion"]?.text ?? json["Revision"]?.text
        switch kind {
        case .processor:
            // Accelerators are in the same collection.
            cores = json["TotalCores"]?.integer
        case .memory:
            // iLO 4 has SizeMB.
            guard let mebibytes = (json["CapacityMiB"] ?? json["SizeMB"])?.number, mebibytes > 0 else { return nil }
            bytes = Self.whole(mebibytes * 1_048_576)
            name = json["DeviceLocator"]?.text ?? name
        case .drive:
            let gigabytes = json["CapacityGB"]?.number.map { $0 * 1e9 }
            bytes = (json["CapacityBytes"]?.number ?? gigabytes).flatMap(Self.whole)
        case .nic:
            // Where one is empty, or zeros for a slot that the BMC could not read, the other may be there.
            mac = ["PermanentMACAddress", "MACAddress", "MacAddress"].lazy
                .compactMap { json[$0]?.text.flatMap { MACAddress($0.lowercased()) } }.first { $0.value != 0 && !$0.isMulticast }
        case .pcie, .firmware: break
        }
    }

    private static func whole(_ number: Double) -> Int64? { Int64(exactly: number.rounded()) }
}
