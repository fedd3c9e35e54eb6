internal import NIOCore
internal import Synchronization

/// Counts the API's connections in all and by address, and says whether one more may be opened.
final class ConnectionCount: Sendable {
    /// What connections are counted together.
    enum Origin: Hashable {
        case loopback
        case address(String)

        /// An IPv4 address, also where it is written as IPv6's `::ffff:…`; of IPv6 the first 64 bits.
        init(_ address: SocketAddress?) {
            switch address {
            case .v4(let v4): self = Self.ipv4(withUnsafeBytes(of: v4.address.sin_addr) { Array($0) })
            case .v6(let v6):
                let bytes = withUnsafeBytes(of: v6.address.sin6_addr) { Array($0) }
                if bytes.starts(with: [UInt8](repeating: 0, count: 10) + [0xff, 0xff]) {
                    self = Self.ipv4(Array(bytes[12...]))
                } else if bytes.dropLast().allSatisfy({ $0 == 0 }), bytes[15] == 1 {
                    self = .loopback
                } else {
                    let groups = stride(from: 0, to: 8, by: 2).map { String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16) }
                    self = .address(groups.joined(separator: ":") + "::/64")
                }
            // A socket of this host's.
            case .unixDomainSocket: self = .loopback
            case nil: self = .address("unknown")
            }
        }

        private static func ipv4(_ bytes: [UInt8]) -> Origin {
            bytes.first == 127 ? .loopback : .address(bytes.map(String.init).joined(separator: "."))
        }

        var name: String {
            switch self {
            case .loopback: "loopback"
            case .address(let text): text
            }
        }
    }

    private struct State {
        var total = 0
        var byOrigin: [Origin: Int] = [:]
        var refused = 0
    }

    private let limits: ConnectionLimits
    private let state = Mutex(State())

    init(_ limits: ConnectionLimits) { self.limits = limits }

    /// Counts one more; false where that is too many, and then it is not counted.
    func open(_ origin: Origin) -> Bool {
        state.withLock { state in
            let own = state.byOrigin[origin] ?? 0
            let isOpen =
                switch origin {
                case .loopback: state.total < limits.total && own < limits.perLoopback
                case .address: state.total < limits.total - limits.reservedForLoopback && own < limits.perAddress
                }
            guard isOpen else {
                state.refused += 1
                return false
            }
            state.total += 1
            state.byOrigin[origin] = own + 1
            return true
        }
    }

    func close(_ origin: Origin) {
        state.withLock { state in
            guard let own = state.byOrigin[origin] else { return }
            state.total -= 1
            state.byOrigin[origin] = own > 1 ? own - 1 : nil
        }
    }

    var total: Int { state.withLock { $0.total } }
    /// Since the server started.
    var refused: Int { state.withLock { $0.refused } }
}
