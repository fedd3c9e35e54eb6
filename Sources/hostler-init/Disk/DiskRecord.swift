internal import HostFacts
internal import Model
internal import Wire

extension Inventory.DiskFacts {
    /// A disk as the inventory has it. Its words are cut as the control plane cuts them: both then mean the same by a name.
    init(_ disk: DiskFacts) {
        func word(_ text: String?) -> String? { text.map { PrintableText.line($0, limitBytes: AgentLimits.wordBytes) } }
        let kind: Inventory.DiskKind =
            switch disk.transport {
            case .nvme: .nvme
            case .virtio: .virtual
            default: disk.model?.hasPrefix("QEMU") == true ? .virtual : disk.isRotational ? .hdd : .ssd
            }
        self.init(
            name: disk.name, bytes: Int64(clamping: disk.sizeBytes), kind: kind, removable: disk.isRemovable,
            logicalBlockBytes: disk.logicalBlockBytes)
        serial = word(disk.serial)
        wwn = disk.wwn
        nguid = disk.nguid
        eui64 = disk.eui64
        model = word(disk.model)
        transport = disk.transport.rawValue
        place = disk.place
        path = disk.path
    }
}
