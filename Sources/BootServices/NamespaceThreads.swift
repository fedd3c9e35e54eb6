internal import CLinux
internal import NIOCore
public import NIOPosix

/// Event loops whose threads are in a network namespace: every socket that is
/// made on one of them belongs to that namespace, whatever the process is in.
public enum NamespaceThreads {
    /// - Parameter namespace: as in `ip netns`; nil: the process's own.
    public static func group(namespace: String?, threads: Int) async throws -> MultiThreadedEventLoopGroup {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
        guard let namespace else { return group }
        for loop in group.makeIterator() {
            let result = try await loop.submit { clinux_enter_netns(namespace) }.get()
            guard result == 0 else {
                try? await group.shutdownGracefully()
                throw BootServiceError.namespace(namespace, errno: -result)
            }
        }
        return group
    }
}

/// Why a service for machines cannot start.
public enum BootServiceError: Error, CustomStringConvertible {
    case namespace(String, errno: Int32)
    case bind(service: String, interface: String, port: Int, cause: String)
    case noInterface(String)

    public var description: String {
        switch self {
        case .namespace(let name, let code):
            "cannot enter the network namespace \(name) (errno \(code)); is the lab up? Start it with: hostler lab up"
        case .noInterface(let name): "there is no network interface \(name); see `ip link`"
        case .bind(let service, let interface, let port, let cause):
            "\(service) cannot listen on \(interface) port \(port): \(cause). "
                + "Another server may hold the port: see `ss -lunp` and `ss -ltnp`; or give another interface."
        }
    }
}
