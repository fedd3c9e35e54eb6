internal import CLinux
internal import Glibc
internal import HostFacts
internal import Model
internal import Wire

/// From the agent to the installed system.
enum Restart {
    /// Through the firmware. Never returns where the kernel obeys.
    static func now() {
        agent_restart(AGENT_RESTART)
    }

    /// Into the kernel that ``load(_:rootUUID:arguments:drivers:)`` loaded; through the firmware where that fails.
    static func intoLoadedKernel(log: AgentLog) {
        let code = agent_restart(AGENT_KEXEC)
        log("kexec: \(String(cString: strerror(-code))); restarting through the firmware")
        now()
    }

    /// Loads the installed system's own kernel from its root file system.
    static func load(
        _ device: BlockDevice, rootUUID: String, arguments: String, drivers: DriverBox
    ) throws -> String {
        drivers.load(["ext4"])
        guard let partition = try ext4Partition(of: device.name, uuid: rootUUID) else {
            throw SystemError("no ext4 file system \(rootUUID) on \(device.name)", errno: ENOENT)
        }
        mkdir("/mnt", 0o755)
        try SystemError.check(agent_mount("/dev/\(partition)", "/mnt", "ext4", true), "mount \(partition)")
        defer { agent_unmount("/mnt") }
        let kernel = open("/mnt/vmlinuz", O_RDONLY | O_CLOEXEC)
        guard kernel >= 0 else { throw SystemError("open /vmlinuz of \(partition)") }
        defer { close(kernel) }
        let ramdisk = open("/mnt/initrd.img", O_RDONLY | O_CLOEXEC)
        guard ramdisk >= 0 else { throw SystemError("open /initrd.img of \(partition)") }
        defer { close(ramdisk) }
        let line = "root=UUID=\(rootUUID) ro \(arguments)"
        try SystemError.check(agent_kexec_load(kernel, ramdisk, line), "kexec_file_load")
        return line
    }

    private static func ext4Partition(of disk: String, uuid: String) throws -> String? {
        guard let wanted = Hex.decode(uuid.filter { $0 != "-" }) else { return nil }
        let names = SystemFile.names(in: "/sys/block/\(disk)").filter { SystemFile.exists("/sys/block/\(disk)/\($0)/partition") }
        for name in names {
            // The superblock is at byte 1024; magic at 0x38, UUID at 0x68 (Documentation/filesystems/ext4).
            guard let device = try? BlockDevice(name, writable: false), device.byteCount > 4096,
                let block = try? device.read(1024, at: 1024), block[0x38] == 0x53, block[0x39] == 0xef
            else { continue }
            if Array(block[0x68..<0x78]) == wanted { return name }
        }
        return nil
    }
}
