internal import Glibc
internal import Model

/// Makes a bootable disk image of Debian: GPT, BIOS and UEFI, Debian's own kernel, cloud-init and OpenSSH.
///
/// Needs root, for the tree's owners; no loop device, no mount of the image. Programs of the host that it runs:
/// mmdebstrap, mke2fs, sfdisk, mkfs.vfat, mtools.
public struct DebianImageBuilder: Sendable {
    public let request: DebianImageRequest
    /// An existing directory with some 2 GB free; what the build puts there is removed again.
    public let workDirectory: String
    private let progress: @Sendable (String) -> Void

    /// - Parameter progress: is told each step and what the long ones say, a line a call.
    public init(
        request: DebianImageRequest, workDirectory: String, progress: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.request = request
        self.workDirectory = workDirectory
        self.progress = progress
    }

    /// Builds the image and puts it at `output`, which is replaced only once the image is complete.
    ///
    /// Throws a ``Problem`` with code `image-build-needs-root`, `tool-missing`, `image-size-invalid`,
    /// `image-build-failed` (with the tool's last lines) or of the file that could not be written.
    public func build(output: String) async throws -> DebianImageFacts {
        guard geteuid() == 0 else {
            throw Problem(
                "image-build-needs-root", status: 403, title: "Building an image needs root",
                detail: "The files of a Debian tree belong to root and other users.", remedy: "Run it with sudo.")
        }
        let layout = try PartitionLayout(diskBytes: request.diskBytes)
        let tree = "\(workDirectory)/root-\(request.release.suite)-\(request.kernel.rawValue)-\(getpid())"
        let partial = output + ".partial"
        unlink(partial)
        let facts: DebianImageFacts
        do {
            try await installPackages(tree)
            try await finishTree(tree)
            try await makeDisk(partial, layout)
            try await makeESP(partial, layout, tree)
            try placeBootSectors(partial, layout, tree)
            try await removeTree("\(tree)/\(FinishScript.bootDirectory)")
            try await makeRoot(partial, layout, tree)
            facts = try gatherFacts(partial, tree)
            guard rename(partial, output) == 0 else { throw Problem.file("rename", output, errno) }
        } catch {
            unlink(partial)
            try? await removeTree(tree)
            throw error
        }
        try await removeTree(tree)
        progress("done: \(facts.packageCount) packages, \(facts.dataBytes >> 20) MiB")
        return facts
    }

    // MARK: Steps

    private func installPackages(_ tree: String) async throws {
        progress("packages: Debian \(request.release.rawValue) from the archive")
        let targets = (try? await BuildTool.aptGet(DebianMirror.query)) ?? ""
        let sources = DebianMirror.sources(fromIndexTargets: targets, suite: request.release.suite)
        let proxyDump = (try? await BuildTool.aptConfig(["dump", "Acquire::http::Proxy"])) ?? ""
        let proxy = DebianMirror.proxy(fromConfigDump: proxyDump).map { ["--aptopt=Acquire::http::Proxy \"\($0)\""] }
        let options = [
            "--mode=root", "--variant=minbase", "--format=directory", "--include=\(request.packages.joined(separator: ","))",
            "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/info/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/lintian/*",
            // Before the kernel comes, so that its ramdisk is made only once and with what unpacks fastest.
            "--essential-hook=mkdir -p \"$1/etc/initramfs-tools/conf.d\" && "
                + "echo COMPRESS=lz4 > \"$1/etc/initramfs-tools/conf.d/compress\"",
        ]
        try await BuildTool.mmdebstrap(
            options + (proxy ?? []) + [request.release.suite, tree] + sources, environment: dates, progress: progress)
    }

    private func finishTree(_ tree: String) async throws {
        progress("settings: boot loader, first-boot defaults")
        try await BuildTool.chroot(
            [tree, "/bin/sh", "-s"], environment: FinishScript.environment(request), input: FinishScript.text,
            progress: progress)
    }

    private func makeDisk(_ disk: String, _ layout: PartitionLayout) async throws {
        progress("disk: \(request.diskBytes >> 20) MiB, partition table")
        do {
            let file = try DiskFile(disk, .create)
            guard ftruncate(file.descriptor, off_t(request.diskBytes)) == 0 else {
                throw Problem.file("truncate", disk, errno)
            }
        }
        try await BuildTool.sfdisk(["--quiet", disk], input: layout.sfdiskScript(uuid: request.uuid))
    }

    private func makeESP(_ disk: String, _ layout: PartitionLayout, _ tree: String) async throws {
        progress("ESP: GRUB for UEFI")
        let esp = layout.esp
        let volume = "\(disk)@@\(esp.byteOffset)"
        // --invariant first: it would replace a volume number given before it.
        try await BuildTool.makeFAT([
            "--invariant", "-F", "32", "-s", "1", "-n", "ESP", "-i", request.espVolumeNumber.filter { $0 != "-" },
            "-h", "\(esp.firstSector)", "--offset", "\(esp.firstSector)", disk, "\(esp.sectorCount / 2)",
        ])
        try await BuildTool.makeFATDirectory(["-i", volume, "::/EFI", "::/EFI/BOOT"], environment: dates)
        try await BuildTool.copyToFAT(
            ["-i", volume, "\(tree)/\(FinishScript.bootDirectory)/BOOTX64.EFI", "::/EFI/BOOT/BOOTX64.EFI"],
            environment: dates)
    }

    private func placeBootSectors(_ disk: String, _ layout: PartitionLayout, _ tree: String) throws {
        progress("boot sectors: GRUB for BIOS")
        func bytes(_ name: String) throws -> [UInt8] {
            let file = try DiskFile("\(tree)/\(FinishScript.bootDirectory)/\(name)", .read)
            return try file.read(Int(file.byteCount()), at: 0)
        }
        let placed = try BootSectors.place(boot: bytes("boot.img"), core: bytes("core.img"), layout: layout)
        let file = try DiskFile(disk, .readWrite)
        try file.write(placed.boot, at: 0)
        try file.write(placed.core, at: layout.biosBoot.byteOffset)
    }

    private func makeRoot(_ disk: String, _ layout: PartitionLayout, _ tree: String) async throws {
        progress("root file system: ext4 from the tree")
        let uuid = request.uuid("root")
        // Everything is initialised here, so that no machine spends its first minutes with it.
        let extended = [
            "offset=\(layout.root.byteOffset)", "hash_seed=\(uuid)", "lazy_itable_init=0", "lazy_journal_init=0",
            "root_owner=0:0",
        ]
        try await BuildTool.makeExt4(
            [
                // Two features of newer e2fsprogs that Debian 12's GRUB or kernel does not know.
                "-q", "-F", "-t", "ext4", "-O", "^metadata_csum_seed,^orphan_file", "-b", "\(Self.rootBlockBytes)",
                "-U", uuid, "-L", "root", "-m", "1", "-E", extended.joined(separator: ","), "-d", tree, disk,
                "\(layout.root.sectorCount * PartitionLayout.sectorBytes / Self.rootBlockBytes)",
            ], environment: dates)
    }

    private func gatherFacts(_ disk: String, _ tree: String) throws -> DebianImageFacts {
        func text(_ path: String) throws -> String {
            let file = try DiskFile("\(tree)/\(path)", .read)
            return String(decoding: try file.read(Int(file.byteCount()), at: 0), as: UTF8.self)
        }
        var link = [UInt8](repeating: 0, count: 256)
        let count = readlink("\(tree)/vmlinuz", &link, link.count)
        guard count > 0 else { throw Problem.file("readlink", "\(tree)/vmlinuz", errno) }
        let kernel = String(decoding: link.prefix(count), as: UTF8.self)
        var status = stat()
        guard stat(disk, &status) == 0 else { throw Problem.file("stat", disk, errno) }
        let installed = try text("var/lib/dpkg/status").split(separator: "\n").filter { $0 == "Status: install ok installed" }
        return DebianImageFacts(
            suite: request.release.suite,
            debianVersion: String(try text("etc/debian_version").prefix { !$0.isWhitespace }),
            kernelVersion: String(kernel.split(separator: "/").last?.dropFirst("vmlinuz-".count) ?? ""),
            kernelArguments: "root=UUID=\(request.uuid("root")) ro \(request.kernelArguments)",
            rootUUID: request.uuid("root"),
            rootPartition: 3,
            packageCount: installed.count,
            diskBytes: request.diskBytes,
            dataBytes: UInt64(status.st_blocks) * 512)
    }

    // MARK: Small things

    private static let rootBlockBytes: UInt64 = 4096

    /// Dates for tools that would otherwise take the clock's; e2fsprogs has a variable of its own.
    private var dates: [String: String] {
        ["SOURCE_DATE_EPOCH": "\(request.sourceDateEpoch)", "E2FSPROGS_FAKE_TIME": "\(request.sourceDateEpoch)"]
    }

    private func removeTree(_ path: String) async throws {
        try await BuildTool.remove(["-rf", "--one-file-system", path])
    }
}
