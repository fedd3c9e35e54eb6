internal import CLinux
internal import Glibc
internal import NIOCore
internal import NetBoot
internal import Wire

/// Says which port a DHCP message came from: the source of its frame. What the message itself names anybody can write.
/// It sees messages that end a lease, that came by a relay, or whose client has an address.
final class DHCPFrames {
    private let descriptor: CInt
    private var packet = [UInt8](repeating: 0, count: 2_048)
    /// Seen, and not asked for yet, the oldest first.
    private var seen: [(message: [UInt8], mac: MACAddress)] = []
    /// A relay's socket and ours may hold some hundred datagrams (Linux, rmem_default) that came before the one that is
    /// asked for now.
    private static let seenLimit = 1_024
    /// Read at once, at most.
    private static let readLimit = 1_024

    /// Nil where frames cannot be looked at. On a thread of the interface's namespace.
    init?(interface: String) {
        descriptor = clinux_dhcp_frames(interface)
        guard descriptor >= 0 else { return nil }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Of a message that the UDP socket got: its frame was here first.
    func frame(of message: [UInt8]) -> ReceiveContext.Frame {
        read()
        guard let index = seen.firstIndex(where: { $0.message == message }) else { return .missing }
        let mac = seen[index].mac
        // Frames come in the order of their messages: what was before is not asked for any more.
        seen.removeFirst(index + 1)
        return .from(mac)
    }

    private func read() {
        var mac: [UInt8] = Array(repeating: 0, count: 6)
        for _ in 0..<Self.readLimit {
            let count = clinux_dhcp_frame(descriptor, &packet, packet.count, &mac)
            guard count > 0 else { return }
            // A frame is at least 60 bytes, and may be longer than the IP packet: UDP's length counts (RFC 768).
            let header = Int(packet[0] & 0xf) * 4
            guard count >= header + 8 else { continue }
            let bytes = Int(packet[header + 4]) << 8 | Int(packet[header + 5])
            guard bytes >= 8, header + bytes <= count, let mac = MACAddress(mac) else { continue }
            if seen.count >= Self.seenLimit { seen.removeFirst() }
            seen.append((Array(packet[header + 8..<header + bytes]), mac))
        }
    }
}
