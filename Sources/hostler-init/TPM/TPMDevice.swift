internal import Glibc
internal import TPM

/// The kernel's TPM device, with its resource manager: `/dev/tpmrm0`. A command
/// is one write, its response one read; what was loaded is gone when it is closed.
final class TPMDevice: TPMTransport {
    static let path = "/dev/tpmrm0"
    private let fd: Int32

    /// Nil where there is no TPM 2.0.
    init?(path: String = TPMDevice.path) {
        fd = open(path, O_RDWR | O_CLOEXEC)
        guard fd >= 0 else { return nil }
    }

    deinit { close(fd) }

    func exchange(_ command: [UInt8]) throws -> [UInt8] {
        let sent = try SystemError.check(command.withUnsafeBytes { write(fd, $0.baseAddress, $0.count) }, "write to the TPM")
        guard sent == command.count else { throw TPMFormatError("the TPM took \(sent) of \(command.count) bytes") }
        var response = [UInt8](repeating: 0, count: TPMCommand.limitBytes)
        let count = try SystemError.check(response.withUnsafeMutableBytes { read(fd, $0.baseAddress, $0.count) }, "read from the TPM")
        return Array(response.prefix(count))
    }
}
