import Glibc

/// A TCP connection of which the test decides every byte, and when anything is read.
final class RawConnection {
    private let fd: Int32
    /// Nothing came for 20 s, and no end.
    private var isWaiting = false

    /// To loopback. Its receive buffer does not grow, so that what it does not read stays with the server.
    init(port: Int) throws {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var size: Int32 = 64 << 10
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, 4)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard result == 0 else { throw RawConnectionError(code: errno) }
    }

    deinit { close(fd) }

    /// False where the server takes no more.
    @discardableResult
    func send(_ text: String) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            bytes = bytes.dropFirst(count)
        }
        return true
    }

    /// Nil at the end, whichever way it came.
    func read() -> String? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(fd, &buffer, buffer.count, 0)
        isWaiting = count < 0 && errno == EAGAIN
        return count > 0 ? String(decoding: buffer.prefix(count), as: UTF8.self) : nil
    }

    /// All to the end, which is asked for where it does not come within 20 s.
    func rest() -> (text: String, ended: Bool) {
        var all = ""
        while let part = read() { all += part }
        return (all, !isWaiting)
    }

    func read(until text: String) -> String {
        var all: [UInt8] = []
        while let part = read() {
            all += part.utf8
            // Only the newest can hold it: what was searched is not searched again.
            if String(decoding: all.suffix(part.utf8.count + text.utf8.count), as: UTF8.self).contains(text) { break }
        }
        return String(decoding: all, as: UTF8.self)
    }
}

struct RawConnectionError: Error { var code: Int32 }
