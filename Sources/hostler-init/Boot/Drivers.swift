internal import CLinux
internal import Glibc
internal import HostFacts

/// Loads the drivers of the devices that the machine has.
struct Drivers {
    private let folder: String
    private let index: ModuleIndex
    private let log: AgentLog
    private var loaded: Set<String> = []
    private var asked: Set<String> = []

    init(log: AgentLog) {
        self.log = log
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        folder = "/lib/modules/\(release)"
        index = ModuleIndex(
            aliases: ModuleAliases(text: SystemFile.bytes("\(folder)/modules.alias") ?? []),
            dependencies: ModuleDependencies(text: SystemFile.text("\(folder)/modules.dep") ?? ""),
            softDependencies: ModuleSoftDependencies(text: SystemFile.text("\(folder)/modules.softdep") ?? ""))
        if index.aliases.count == 0 { log("no modules for kernel \(release) in the ramdisk") }
    }

    /// Loads for the devices that are there now, and for those that appear by that, until nothing new comes.
    ///
    /// - Parameter urgentOnly: network ports on the buses where they usually are. The rest can wait: a disk
    ///   controller's driver looks for its disks for seconds before it returns.
    mutating func load(urgentOnly: Bool) {
        for _ in 0..<6 {
            let new = devices().filter { !urgentOnly || Self.isUrgent($0) }.filter { asked.insert($0).inserted }
            guard !new.isEmpty else { return }
            insert(index.loadOrder(for: new))
        }
    }

    /// Loads modules by name, as of file systems.
    mutating func load(names: [String]) { insert(index.loadOrder(for: names)) }

    private mutating func insert(_ files: [String]) {
        for file in files where loaded.insert(file).inserted {
            let fd = open("\(folder)/\(file)", O_RDONLY | O_CLOEXEC)
            guard fd >= 0 else { continue }
            let begun = agent_uptime_milliseconds()
            let code = agent_load_module(fd)
            close(fd)
            let milliseconds = agent_uptime_milliseconds() - begun
            if milliseconds > 500 { log("module \(file) took \(milliseconds) ms") }
            // "No such device" is a driver's way to say that it is not for this machine.
            guard code < 0, code != -EEXIST, code != -ENODEV else { continue }
            log("module \(file): \(String(cString: strerror(-code)))")
        }
    }

    private func devices() -> [String] {
        SystemFile.names(in: "/sys/bus").flatMap { bus in
            SystemFile.names(in: "/sys/bus/\(bus)/devices").compactMap {
                SystemFile.attribute("/sys/bus/\(bus)/devices/\($0)/modalias")
            }
        }
    }

    /// Network ports (class 02) on PCI, and whatever a hypervisor offers.
    static func isUrgent(_ modalias: String) -> Bool {
        if ["virtio:", "vmbus:", "xen:"].contains(where: modalias.hasPrefix) { return true }
        guard modalias.hasPrefix("pci:") else { return false }
        return modalias.hasPrefix("pci:v00001AF4") || modalias.contains("bc02")
    }
}
