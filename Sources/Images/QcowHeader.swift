internal import Model

/// What the header of a qcow2 file says of other files (QEMU, docs/interop/qcow2.txt). It is read here before any program
/// opens the file: one that stands on other files is refused without them being looked for.
struct QcowHeader {
    let version: UInt32
    let hasBackingFile: Bool
    let hasDataFile: Bool
    let isEncrypted: Bool
    /// Of the disk.
    let byteCount: UInt64

    private static let magic: [UInt8] = [0x51, 0x46, 0x49, 0xfb]
    private static let versionTwoBytes = 72
    private static let versionThreeBytes = 104
    /// Incompatible features, bit 2: an external data file.
    private static let dataFileBit: UInt64 = 1 << 2

    init(parsing bytes: [UInt8]) throws(Problem) {
        guard bytes.count >= Self.versionTwoBytes, bytes.starts(with: Self.magic) else { throw Self.unreadable("its header is cut off") }
        func number(at offset: Int, bytes count: Int) -> UInt64 {
            bytes[offset..<offset + count].reduce(0) { $0 << 8 | UInt64($1) }
        }
        version = UInt32(number(at: 4, bytes: 4))
        guard version == 2 || version == 3 else { throw Self.unreadable("its version is \(version), not 2 or 3") }
        guard version == 2 || bytes.count >= Self.versionThreeBytes else { throw Self.unreadable("its header is cut off") }
        hasBackingFile = number(at: 8, bytes: 8) != 0
        byteCount = number(at: 24, bytes: 8)
        isEncrypted = number(at: 32, bytes: 4) != 0
        hasDataFile = version == 3 && number(at: 72, bytes: 8) & Self.dataFileBit != 0
    }

    private static func unreadable(_ why: String) -> Problem {
        Problem("image-unreadable", title: "The qcow2 image cannot be read", detail: why, remedy: "Fetch it again.")
    }
}
