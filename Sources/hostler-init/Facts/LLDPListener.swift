internal import CLinux
internal import Glibc
internal import HostFacts
internal import Model

/// Hears which switch port each of the machine's ports is wired to.
final class LLDPListener {
    /// Where LLDP frames of the nearest bridge are sent (IEEE 802.1AB §7.1). The groups of bridges farther off are not
    /// joined: those would name a port that the cable does not lead to.
    private static let group: [UInt8] = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e]
    private var sockets: [(name: String, fd: Int32)] = []

    init(_ ports: [Interfaces.Port]) {
        for port in ports {
            let fd = agent_packet_socket(port.name, LLDPDataUnit.etherType, Self.group)
            if fd >= 0 { sockets.append((port.name, fd)) }
        }
    }

    deinit { for socket in sockets { close(socket.fd) } }

    /// What came since the last call, by port; never waits.
    func heard() -> [String: Inventory.Neighbour] {
        var neighbours: [String: Inventory.Neighbour] = [:]
        var frame = [UInt8](repeating: 0, count: 2048)
        for socket in sockets {
            while case let count = agent_receive(socket.fd, &frame, frame.count, 0), count > 0 {
                guard let unit = try? LLDPDataUnit(parsingFrame: Array(frame[..<count])), unit.timeToLiveSeconds > 0 else { continue }
                neighbours[socket.name] = Self.neighbour(unit)
            }
        }
        return neighbours
    }

    private static func neighbour(_ unit: LLDPDataUnit) -> Inventory.Neighbour {
        var neighbour = Inventory.Neighbour(chassis: unit.chassisID, port: unit.portID)
        neighbour.portDescription = unit.portDescription
        neighbour.systemName = unit.systemName
        neighbour.vlan = unit.portVLAN.map(Int.init)
        return neighbour
    }
}
