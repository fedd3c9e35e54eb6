/// The processors as Linux sees them, from the text of `/proc/cpuinfo`.
public struct CPUFacts: Equatable, Sendable {
    /// Such as `AMD EPYC 7313 16-Core Processor`; nil where the kernel names none (most of arm64).
    public let model: String?
    public let vendor: String?
    public let sockets: Int
    public let cores: Int
    public let threads: Int
    /// Of the first processor, sorted, those of `notable` only.
    public let flags: [String]

    /// Flags that decide what may run on a machine, or how fast.
    public static let notable: Set<String> = [
        "lm", "aes", "avx", "avx2", "avx512f", "amx_tile", "sse4_2", "sha_ni", "vmx", "svm", "hypervisor", "sgx", "sev",
        "tdx_guest", "pclmulqdq", "rdrand", "asimd", "sha2", "sha512", "crc32", "sve", "sve2", "atomics",
    ]

    public init(cpuinfo text: String) {
        var model: String?
        var vendor: String?
        var flags: Set<String> = []
        var threads = 0
        var sockets: Set<String> = []
        var cores: Set<String> = []
        var socket = ""
        for line in text.split(whereSeparator: \.isNewline) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = FirmwareText.trim(line[line.index(after: colon)...])
            switch FirmwareText.trim(line[..<colon]) {
            case "processor":
                threads += 1
                socket = ""
            case "model name": model = model ?? value
            case "vendor_id": vendor = vendor ?? value
            case "physical id":
                socket = value
                sockets.insert(value)
            case "core id": cores.insert("\(socket)/\(value)")
            case "flags" where flags.isEmpty, "Features" where flags.isEmpty:
                flags = Self.notable.intersection(value.split(separator: " ").map(String.init))
            default: break
            }
        }
        self.model = model.map { FirmwareText.decode($0.utf8) }
        self.vendor = vendor
        self.threads = threads
        // Kernels that tell no topology: one socket, a core a processor.
        self.sockets = sockets.isEmpty ? min(1, threads) : sockets.count
        self.cores = cores.isEmpty ? threads : cores.count
        self.flags = flags.sorted()
    }
}

/// Memory as Linux sees it, from the text of `/proc/meminfo`.
public struct MemoryFacts: Equatable, Sendable {
    /// What the kernel can use: less than what the modules have.
    public let totalBytes: UInt64
    public let availableBytes: UInt64

    /// Nil where the text has no `MemTotal`.
    public init?(meminfo text: String) {
        var found: [Substring: UInt64] = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(separator: " ")
            // "kB" there means KiB.
            guard words.count >= 2, let kibibytes = UInt64(words[1]), kibibytes < 1 << 50 else { continue }
            found[words[0]] = kibibytes << 10
        }
        guard let total = found["MemTotal:"] else { return nil }
        totalBytes = total
        availableBytes = found["MemAvailable:"] ?? found["MemFree:"] ?? 0
    }
}
