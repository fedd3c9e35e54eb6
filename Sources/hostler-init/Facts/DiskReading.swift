internal import BlockIO
internal import HostFacts
internal import Model

/// Looks what disks hold. They are opened for reading; nothing is mounted, assembled or activated.
enum DiskReading {
    /// Several at once, since most of the time passes in waiting for them. A disk that cannot be opened is unreadable.
    static func contents(of names: [String]) async -> [String: DiskContents] {
        await withTaskGroup(of: (String, DiskContents?).self) { tasks in
            var found: [String: DiskContents] = [:]
            for name in names {
                tasks.addTask { (name, try? await WorkPool.run { contents(of: name) }) }
            }
            for await (name, contents) in tasks { found[name] = contents }
            return found
        }
    }

    private static func contents(of name: String) -> DiskContents {
        guard let device = try? BlockDevice(name, writable: false) else {
            return DiskContents(items: [.init(kind: DiskContents.unreadable)])
        }
        return contents(of: DiskScan(byteCount: device.byteCount, blockBytes: device.blockBytes) { try device.read($1, at: $0) })
    }

    static func contents(of scan: DiskScan) -> DiskContents {
        DiskContents(
            items: scan.items.map { .init(kind: $0.kind.rawValue, label: $0.label, partition: $0.partition) }, partitions: scan.partitions)
    }

    /// PCI functions of class 01, mass storage, that no driver has taken: there may be disks behind them.
    static func controllersWithoutDriver() -> [String] {
        let folder = "/sys/bus/pci/devices"
        return SystemFile.names(in: folder).filter { address in
            SystemFile.attribute("\(folder)/\(address)/class")?.hasPrefix("0x01") == true
                && SystemFile.linkName("\(folder)/\(address)/driver") == nil
        }.map { address in
            let ids = ["vendor", "device"].compactMap { SystemFile.attribute("\(folder)/\(address)/\($0)")?.dropFirst(2) }
            return "storage controller \(address) (\(ids.joined(separator: ":")))"
        }
    }
}
