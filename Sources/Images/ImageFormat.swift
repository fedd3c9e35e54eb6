/// What a file is by its first bytes, whatever its name says.
enum ImageFormat: Equatable {
    case raw, zstd, qcow2
    /// Something we know but do not take, with what to do instead.
    case other(name: String, remedy: String)

    /// How many bytes ``init(head:)`` wants to see.
    static let headBytes = 36 << 10

    init(head: [UInt8]) {
        func has(_ magic: [UInt8], at offset: Int = 0) -> Bool { head.dropFirst(offset).starts(with: magic) }
        let convert = "Convert it first: qemu-img convert -O raw IN OUT.raw"
        if has([0x28, 0xb5, 0x2f, 0xfd]) || (has([0x2a, 0x4d, 0x18], at: 1) && head[0] & 0xf0 == 0x50) {
            self = .zstd
        } else if has([0x51, 0x46, 0x49, 0xfb]) {
            self = .qcow2
        } else if has([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]) {
            self = .other(name: "xz", remedy: "Decompress it first: xz -dk FILE")
        } else if has([0x1f, 0x8b]) {
            self = .other(name: "gzip", remedy: "Decompress it first: gunzip -k FILE")
        } else if has(Array("BZh".utf8)) {
            self = .other(name: "bzip2", remedy: "Decompress it first: bunzip2 -k FILE")
        } else if has(Array("KDMV".utf8)) || has(Array("# Disk DescriptorFile".utf8)) {
            self = .other(name: "VMDK", remedy: convert)
        } else if has(Array("vhdxfile".utf8)) || has(Array("conectix".utf8)) {
            self = .other(name: "VHD", remedy: convert)
        } else if has([0x7f, 0x10, 0xda, 0xbe], at: 64) {
            self = .other(name: "VDI", remedy: convert)
        } else if has(Array("CD001".utf8), at: 32769) {
            self = .other(
                name: "ISO 9660", remedy: "Use the distribution's disk image (cloud image); an installer CD cannot be written.")
        } else if has(Array("<!DOCTYPE".utf8)) || has(Array("<html".utf8)) {
            self = .other(name: "HTML", remedy: "The address leads to a web page: give that of the image itself.")
        } else {
            self = .raw
        }
    }
}
