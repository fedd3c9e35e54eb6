/// Bytes that belong at an offset of a disk, both in whole blocks of that disk.
public struct DiskWrite: Hashable, Sendable {
    /// In bytes from the start of the disk.
    public let offset: UInt64
    public let bytes: [UInt8]

    public init(offset: UInt64, bytes: [UInt8]) {
        self.offset = offset
        self.bytes = bytes
    }
}
