internal import CLinux
internal import Glibc

/// An open disk. Reads and writes say where; several threads may use it at once.
final class BlockDevice: Sendable {
    /// As in `/dev/NAME`.
    let name: String
    let byteCount: UInt64
    let blockBytes: Int
    private let fd: Int32
    /// Past the page cache, for the bulk of the data; -1 where the device cannot.
    private let direct: Int32

    /// For writing; fails where the disk or a part of it is mounted or otherwise in use.
    static func unused(_ name: String) throws(SystemError) -> BlockDevice {
        let fd = open("/dev/\(name)", O_RDWR | O_EXCL | O_CLOEXEC)
        guard fd >= 0 else { throw SystemError("/dev/\(name)") }
        // Not kept: it would be in the way of mounting the installed system for kexec.
        close(fd)
        return try BlockDevice(name, writable: true)
    }

    init(_ name: String, writable: Bool) throws(SystemError) {
        self.name = name
        let path = "/dev/\(name)"
        fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC)
        guard fd >= 0 else { throw SystemError("open \(path)") }
        direct = writable ? agent_open_direct(path) : -1
        var bytes: UInt64 = 0
        var block: Int32 = 512
        if agent_disk_bytes(fd, &bytes) < 0 || agent_disk_sector_bytes(fd, &block) < 0 {
            let error = SystemError("size of \(path)")
            close(fd)
            throw error
        }
        byteCount = bytes
        blockBytes = Int(block)
    }

    deinit {
        close(fd)
        if direct >= 0 { close(direct) }
    }

    func read(_ count: Int, at offset: UInt64) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var failure: SystemError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(SystemError) { try read(into: buffer, at: offset) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemError) {
        var done = 0
        while done < buffer.count {
            let count = pread(fd, buffer.baseAddress.map { $0 + done }, buffer.count - done, off_t(offset) + off_t(done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SystemError("read \(name) at \(offset + UInt64(done))", errno: count < 0 ? errno : EIO) }
            done += count
        }
    }

    /// Writes all of `buffer`; straight to the device where address, offset and length allow it.
    func write(_ buffer: UnsafeRawBufferPointer, at offset: UInt64) throws(SystemError) {
        guard let base = buffer.baseAddress else { return }
        let aligned = Int(bitPattern: base).isMultiple(of: 4096) && offset.isMultiple(of: 4096) && buffer.count.isMultiple(of: 4096)
        let file = aligned && direct >= 0 ? direct : fd
        var done = 0
        while done < buffer.count {
            let count = pwrite(file, base + done, buffer.count - done, off_t(offset) + off_t(done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SystemError("write \(name) at \(offset + UInt64(done))", errno: count < 0 ? errno : EIO) }
            done += count
        }
    }

    func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
        var failure: SystemError?
        bytes.withUnsafeBytes { buffer in
            do throws(SystemError) { try write(buffer, at: offset) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Real zeros, by whatever way the kernel has; it writes them where the device cannot.
    func zeroOut(at offset: UInt64, count: UInt64) throws(SystemError) {
        try SystemError.check(agent_disk_zero_out(fd, offset, count), "zeros on \(name) at \(offset)")
    }

    /// Unmaps with the device's promise that zeros are read afterwards; throws where it gives none.
    func punch(at offset: UInt64, count: UInt64) throws(SystemError) {
        try SystemError.check(agent_disk_punch(fd, offset, count), "unmap on \(name) at \(offset)")
    }

    func discard(at offset: UInt64, count: UInt64, secure: Bool) throws(SystemError) {
        try SystemError.check(agent_disk_discard(fd, offset, count, secure), "discard on \(name) at \(offset)")
    }

    /// All that was written is on the medium, and what is read next comes from there.
    func flush() throws(SystemError) {
        guard fsync(fd) == 0 else { throw SystemError("fsync \(name)") }
        try SystemError.check(agent_disk_flush_cache(fd), "flush \(name)")
    }

    /// What is read next comes from the medium.
    func dropCache() throws(SystemError) { try SystemError.check(agent_disk_flush_cache(fd), "flush \(name)") }

    /// Lets the kernel see a new partition table. Fails where a partition is in use.
    func rereadPartitions() throws(SystemError) {
        try SystemError.check(agent_disk_reread_partitions(fd), "partitions of \(name)")
    }

    /// Calls `body` with the descriptor, for commands to the device itself.
    func withDescriptor<Result>(_ body: (Int32) throws -> Result) rethrows -> Result { try body(fd) }
}

/// Page-aligned memory.
final class AlignedBuffer: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    init(count: Int) throws(SystemError) {
        guard let memory = agent_aligned_memory(count) else { throw SystemError("\(count) bytes of memory", errno: ENOMEM) }
        bytes = UnsafeMutableRawBufferPointer(start: memory, count: count)
    }

    deinit { free(bytes.baseAddress) }
}
