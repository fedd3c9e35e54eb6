internal import FoundationEssentials
internal import Glibc

extension Accelerator {
    /// KVM where it boots something within 5 seconds, else TCG. A /dev/kvm that
    /// opens proves nothing: under some hypervisors it hangs or fails later.
    ///
    /// - Parameter directory: an existing folder for the probe's disk, which is removed.
    static func probe(in directory: String, limit: Duration = .seconds(5)) async -> Accelerator {
        guard access("/dev/kvm", R_OK | W_OK) == 0 else { return .tcg }
        return await boots(.kvm, in: directory, limit: limit) ? .kvm : .tcg
    }

    /// Boots a disk whose first sector writes to the exit port: an exit status
    /// of 33 is evidence that firmware and guest code ran.
    static func boots(_ accelerator: Accelerator, in directory: String, limit: Duration) async -> Bool {
        let disk = "\(directory)/probe.raw"
        // mov al, 16; out 0xf4, al; hlt
        var sector: [UInt8] = [0xb0, 0x10, 0xe6, 0xf4, 0xf4] + Array(repeating: 0, count: 505) + [0x55, 0xaa]
        // SeaBIOS reads no disk of less than a cylinder.
        sector += Array(repeating: 0, count: (2 << 20) - 512)
        defer { unlink(disk) }
        guard (try? Data(sector).write(to: URL(filePath: disk))) != nil else { return false }
        let arguments =
            [QEMUCommand.program, "-nodefaults", "-no-user-config", "-machine", "q35"] + accelerator.arguments + [
                "-m", "128", "-display", "none", "-monitor", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                "-drive", "if=none,id=d,format=raw,file=\(disk)", "-device", "virtio-blk-pci,drive=d,bootindex=0",
            ]
        guard let process = try? Spawn.start(arguments, logPath: nil, diesWithParent: true) else { return false }
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            var status: Int32 = 0
            if waitpid(process.pid, &status, WNOHANG) == process.pid {
                // wait(2): exited with status (16 << 1) | 1.
                return status == 33 << 8
            }
            try? await Task.sleep(for: .milliseconds(20))
        }
        process.kill()
        // A process stuck in the kernel may not end: it is not waited for long.
        _ = await process.waitForEnd(atMost: .seconds(1))
        return false
    }
}
