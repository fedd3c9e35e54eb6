internal import FoundationEssentials
internal import Glibc

extension Accelerator {
    /// KVM where it runs both kinds of firmware, else TCG. A /dev/kvm that opens proves nothing, nor does
    /// a few instructions of guest code: under some hypervisors it fails at the first floating-point
    /// instruction of a protected mode, or its timers stand still.
    ///
    /// - Parameter directory: an existing folder for the probe's files, which are removed.
    static func probe(in directory: String) async -> Accelerator {
        guard access("/dev/kvm", R_OK | W_OK) == 0 else { return .tcg }
        guard await boots(.kvm, in: directory, limit: .seconds(6)) else { return .tcg }
        return await startsUEFI(.kvm, in: directory, limit: .seconds(10)) ? .kvm : .tcg
    }

    /// Boots a disk whose first sector waits for half a second of timer ticks, uses the floating-point unit, and
    /// writes to the exit port: an exit status of 33 is evidence that firmware, guest code and timers ran.
    static func boots(_ accelerator: Accelerator, in directory: String, limit: Duration) async -> Bool {
        let disk = "\(directory)/probe.raw"
        var sector: [UInt8] = [
            0xfb,  // sti
            0xb8, 0x40, 0x00, 0x8e, 0xd8,  // ds = 0x40, the BIOS data area
            0x8b, 0x1e, 0x6c, 0x00,  // bx = ticks so far, 18.2 a second
            0xf4,  // hlt, until an interrupt
            0xa1, 0x6c, 0x00, 0x29, 0xd8,  // ax = ticks since
            0x3d, 0x09, 0x00, 0x72, 0xf5,  // below 9: back to hlt
            0x9b, 0xdb, 0xe3,  // finit
            0xb0, 0x10, 0xe6, 0xf4, 0xf4,  // out 0xf4, 16; hlt
        ]
        sector += Array(repeating: 0, count: 510 - sector.count) + [0x55, 0xaa]
        // SeaBIOS reads no disk of less than a cylinder.
        sector += Array(repeating: 0, count: (2 << 20) - 512)
        defer { unlink(disk) }
        guard (try? Data(sector).write(to: URL(filePath: disk))) != nil else { return false }
        let arguments =
            machine(accelerator) + [
                "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                "-drive", "if=none,id=d,format=raw,file=\(disk)", "-device", "virtio-blk-pci,drive=d,bootindex=0",
            ]
        // wait(2): exited with status (16 << 1) | 1.
        return await run(arguments, limit: limit) { ended in ended.map { $0 == 33 << 8 } }
    }

    /// Starts OVMF with nothing to boot: that it speaks on its console is evidence that it ran.
    static func startsUEFI(_ accelerator: Accelerator, in directory: String, limit: Duration) async -> Bool {
        let console = "\(directory)/probe.console"
        defer { unlink(console) }
        let arguments =
            machine(accelerator) + [
                "-serial", "file:\(console)",
                "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=\(QEMUCommand.firmwareCode)",
                "-drive", "if=pflash,unit=1,format=raw,snapshot=on,file=\(QEMUCommand.firmwareVariables)",
            ]
        return await run(arguments, limit: limit) { ended in
            if ended != nil { return false }
            var facts = stat()
            return stat(console, &facts) == 0 && facts.st_size > 0 ? true : nil
        }
    }

    private static func machine(_ accelerator: Accelerator) -> [String] {
        [QEMUCommand.program, "-nodefaults", "-no-user-config", "-machine", "q35"] + accelerator.arguments
            + ["-smp", "2", "-m", "256", "-display", "none", "-monitor", "none"]
    }

    /// Runs QEMU until `verdict` knows, given its wait status once it has ended; false after `limit`.
    private static func run(_ arguments: [String], limit: Duration, verdict: (Int32?) -> Bool?) async -> Bool {
        guard let process = try? Spawn.start(arguments, logPath: nil, diesWithParent: true) else { return false }
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            var status: Int32 = 0
            if waitpid(process.pid, &status, WNOHANG) == process.pid { return verdict(status) ?? false }
            if let known = verdict(nil) {
                await end(process)
                return known
            }
            try? await Task.sleep(for: .milliseconds(20))
        }
        await end(process)
        return false
    }

    private static func end(_ process: ProcessIdentity) async {
        process.kill()
        // A process stuck in the kernel may not end: it is not waited for long.
        _ = await process.waitForEnd(atMost: .seconds(1))
    }
}
