internal import Crypto

/// A Debian release that an image can be made of.
public enum DebianRelease: Int, Sendable, Codable, CaseIterable {
    case bookworm = 12
    case trixie = 13

    /// The suite's name in the archive.
    public var suite: String {
        switch self {
        case .bookworm: "bookworm"
        case .trixie: "trixie"
        }
    }

    /// The image's usual name: `debian-12`.
    public var imageName: String { "debian-\(rawValue)" }

    /// From `debian-12`, `12` or `bookworm`.
    public init?(_ name: String) {
        guard let release = Self.allCases.first(where: { [$0.imageName, "\($0.rawValue)", $0.suite].contains(name) })
        else { return nil }
        self = release
    }
}

/// Which of Debian's kernels goes into the image.
public enum DebianKernel: String, Sendable, Codable, CaseIterable {
    /// Drivers for virtual machines only; smaller, starts faster.
    case cloud
    /// Drivers for real servers too.
    case generic

    var package: String {
        switch self {
        case .cloud: "linux-image-cloud-amd64"
        case .generic: "linux-image-amd64"
        }
    }
}

/// What image is to be made.
public struct DebianImageRequest: Sendable {
    public var release: DebianRelease
    public var kernel: DebianKernel
    /// Size of the disk file, which is sparse; whole MiB. The machine's own disk may be larger: the root file system
    /// is the last partition and cloud-init grows it.
    public var diskBytes: UInt64
    /// Kernel arguments besides `root=` and `ro`.
    public var kernelArguments: String
    /// Packages besides the image's own.
    public var extraPackages: [String]
    /// Every file's date is this or earlier (seconds since 1970); the same request with the same packages gives nearly the same bytes.
    public var sourceDateEpoch: Int64

    public init(
        release: DebianRelease = .bookworm,
        kernel: DebianKernel = .generic,
        diskBytes: UInt64? = nil,
        kernelArguments: String = "console=tty0 console=ttyS0,115200n8",
        extraPackages: [String] = [],
        sourceDateEpoch: Int64 = 1_735_689_600
    ) {
        self.release = release
        self.kernel = kernel
        self.diskBytes = diskBytes ?? (kernel == .cloud ? 2 << 30 : 3 << 30)
        self.kernelArguments = kernelArguments
        self.extraPackages = extraPackages
        self.sourceDateEpoch = sourceDateEpoch
    }

    /// A UUID for one part of the image ("root", "disk", …): the same for the same request.
    func uuid(_ part: String) -> String {
        let name = "debian \(release.suite) \(kernel.rawValue) \(diskBytes) \(sourceDateEpoch) \(part)"
        var bytes = Array(SHA256.hash(data: Array(name.utf8)).prefix(16))
        bytes[6] = bytes[6] & 0x0F | 0x80  // RFC 9562 §5.8: version 8
        bytes[8] = bytes[8] & 0x3F | 0x80
        let digits = Array("0123456789abcdef")
        var text = ""
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append("-") }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return text
    }

    /// The ESP's FAT volume number as blkid shows it: `486F-7374`.
    var espVolumeNumber: String {
        let digits = uuid("esp").uppercased().prefix(8)
        return "\(digits.prefix(4))-\(digits.suffix(4))"
    }

    var packages: [String] {
        let system = [
            "apt", "ca-certificates", "dbus", "e2fsprogs", "fdisk", "iproute2", "iputils-ping", "kmod", "less",
            "libpam-systemd", "netbase", "openssh-server", "procps", "sudo", "systemd", "systemd-resolved",
            "systemd-sysv", "systemd-timesyncd", "tzdata", "udev", "vim-tiny",
        ]
        // netplan.io is what Debian's own cloud images let cloud-init render network-config v2 with.
        let firstBoot = ["cloud-init", "cloud-guest-utils", "netplan.io"]
        // No grub-pc or grub-efi: their maintainer scripts want a disk to install to. With these update-grub and, by
        // hand, grub-install work for both kinds of firmware.
        let boot = [
            kernel.package, "initramfs-tools", "lz4", "zstd", "grub2-common", "grub-pc-bin", "grub-efi-amd64-bin", "efibootmgr",
        ]
        return system + firstBoot + boot + extraPackages
    }
}

/// What is known of an image once it is made.
public struct DebianImageFacts: Sendable, Codable, Equatable {
    public var suite: String
    /// Debian's point release, such as `12.11`.
    public var debianVersion: String
    public var kernelVersion: String
    /// The kernel's arguments as the boot loader gives them, `root=` included.
    public var kernelArguments: String
    public var rootUUID: String
    /// The root file system's partition number; it is the last one.
    public var rootPartition: Int
    public var packageCount: Int
    public var diskBytes: UInt64
    /// What the sparse file takes up.
    public var dataBytes: UInt64
}
