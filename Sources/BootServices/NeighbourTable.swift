internal import CLinux
internal import Glibc
internal import NIOCore
internal import Synchronization
internal import Wire

/// The kernel's neighbour table of one interface, asked through a socket that is in the interface's namespace. Before
/// it is opened it knows nobody.
final class NeighbourTable: Sendable {
    private let interface: String
    private let descriptor = Mutex<CInt>(-1)
    /// For IPv6: a question and its answer are one turn.
    private let routes = Mutex<CInt>(-1)

    init(interface: String) { self.interface = interface }

    /// - Parameter loop: one whose thread is in the namespace.
    func open(on loop: any EventLoop) async throws {
        let made = try await loop.submit { clinux_neighbour_socket() }.get()
        guard made >= 0 else {
            throw BootServiceError.bind(service: "neighbour table", interface: interface, port: 0, cause: "no socket (errno \(-made))")
        }
        let former = descriptor.withLock { descriptor in
            defer { descriptor = made }
            return descriptor
        }
        if former >= 0 { close(former) }
        // Without it nobody has an IPv6 neighbour; all else goes on.
        let asked = try await loop.submit { clinux_route_socket() }.get()
        let old = routes.withLock { routes in
            defer { routes = asked }
            return routes
        }
        if old >= 0 { close(old) }
    }

    deinit {
        for last in [descriptor.withLock { $0 }, routes.withLock { $0 }] where last >= 0 { close(last) }
    }

    func mac(of source: MetadataSource) -> MACAddress? {
        switch source {
        case .v4(let address): mac(of: address)
        case .v6(let address): mac(of: address)
        }
    }

    func mac(of address: IPv6Address) -> MACAddress? {
        var bytes: [UInt8] = Array(repeating: 0, count: 6)
        let found = routes.withLock { routes in
            routes < 0 ? 0 : clinux_neighbour6(routes, interface, address.bytes, &bytes)
        }
        return found == 1 ? MACAddress(bytes) : nil
    }

    /// Nil where the kernel has not resolved the address, or it is not on this wire.
    func mac(of address: IPv4Address) -> MACAddress? {
        let descriptor = descriptor.withLock { $0 }
        guard descriptor >= 0 else { return nil }
        var bytes: [UInt8] = Array(repeating: 0, count: 6)
        guard clinux_neighbour(descriptor, interface, address.value, &bytes) == 1 else { return nil }
        return MACAddress(bytes)
    }
}
