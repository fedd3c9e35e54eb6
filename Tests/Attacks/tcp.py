"""HTTP over a TCP of our own, so that a request comes from any MAC address and any IP address, on a port whose kernel
knows of neither."""
import os
import socket
import struct
import time

import wire

FIN, SYN, RST, PSH, ACKED = 1, 2, 4, 8, 16
SEGMENT = 1400


class Conversation:
    """One connection as its client (RFC 9293), pure: frames in, frames out. It asks once and reads until the end."""

    def __init__(self, mac, address, port, server_mac, server, server_port, request):
        self.mac, self.address, self.port = mac, address, port
        self.server_mac, self.server, self.server_port = server_mac, server, server_port
        self.request, self.acked = request, 0
        self.sequence = int.from_bytes(os.urandom(4))
        self.expected = None
        self.reply = b""
        self.state = "opening"
        self.last = []

    def open(self):
        self.last = [self._segment(SYN, self.sequence)]
        return self.last

    @property
    def is_over(self):
        return self.state in ("closed", "refused")

    def receive(self, packet):
        """What is to be sent upon this packet, which is for this connection."""
        head = packet.payload
        sequence, acknowledged, offset, flags = struct.unpack("!IIBB", head[4:14])
        data = head[(offset >> 4) * 4:]
        if flags & RST:
            self.state = "closed" if self.reply else "refused"
            return []
        if self.state == "opening":
            if not flags & SYN:
                return []
            self.expected = (sequence + 1) & 0xFFFFFFFF
            self.sequence = (self.sequence + 1) & 0xFFFFFFFF
            self.state = "asking"
            self.start = self.sequence
            return self._ask()
        if flags & ACKED:
            self.acked = max(self.acked, (acknowledged - self.start) & 0xFFFFFFFF if self.start is not None else 0)
        sent = []
        if data or flags & FIN:
            if sequence == self.expected:
                self.reply += data
                self.expected = (self.expected + len(data)) & 0xFFFFFFFF
                if flags & FIN or self._is_whole():
                    if flags & FIN:
                        self.expected = (self.expected + 1) & 0xFFFFFFFF
                    self.state = "closed"
                    return [self._segment(ACKED | RST, (self.start + len(self.request)) & 0xFFFFFFFF)]
            sent.append(self._segment(ACKED, (self.start + len(self.request)) & 0xFFFFFFFF))
        return sent

    def again(self):
        """What was not answered."""
        if self.state == "asking":
            return self._ask()
        return self.last if self.state == "opening" else []

    def _ask(self):
        parts = [self.request[at:at + SEGMENT] for at in range(0, len(self.request), SEGMENT)]
        at, self.last = self.start, []
        for part in parts:
            self.last.append(self._segment(PSH | ACKED, at, part))
            at = (at + len(part)) & 0xFFFFFFFF
        return self.last

    def _is_whole(self):
        head, found, body = self.reply.partition(b"\r\n\r\n")
        if not found:
            return False
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                return len(body) >= int(value)
        return head.startswith(b"HTTP/1.1 204")

    def _segment(self, flags, sequence, data=b""):
        acknowledged = self.expected or 0
        head = struct.pack("!HHIIBBHHH", self.port, self.server_port, sequence, acknowledged, 0x50, flags, 65535, 0, 0)
        pseudo = wire.ip_bytes(self.address) + wire.ip_bytes(self.server) + struct.pack("!BBH", 0, 6, len(head) + len(data))
        total = wire.checksum(pseudo + head + data)
        segment = head[:16] + struct.pack("!H", total) + head[18:] + data
        return wire.ethernet(self.mac, self.server_mac, wire.IPV4, wire.ipv4(self.address, self.server, 6, segment))


def request_bytes(method, path, body=None, headers=None, host="x"):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


def parse_reply(reply):
    """Status and body; (0, b"") where no answer came."""
    head, found, body = reply.partition(b"\r\n\r\n")
    return (int(head.split(b" ")[1]), body) if found else (0, b"")


class Impersonator:
    """Speaks with a MAC address and an IP address of its choice. Like a switch's monitor port it hears what is for others."""

    def __init__(self, port, mac, address, server, says=None, router=None):
        """`says`: the MAC address that its ARP tells, where that is another than its frames have. `router`: the IP address that
        its ARP takes, where `address` is of a network behind that router."""
        self.port, self.mac, self.address, self.server, self.says = port, mac, address, server, says or mac
        self.taken = router or address
        self.server_mac = None

    def resolve(self, seconds=3):
        """The server's MAC address. Asking says, too, who has our address."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.port.send(wire.arp(1, self.says, self.taken, self.server, frame_source=self.mac))
            turn = time.monotonic() + 0.3
            while (left := turn - time.monotonic()) > 0:
                packet = self.port.receive(left)
                if packet and packet.kind == wire.ARP and packet.payload[14:18] == wire.ip_bytes(self.server):
                    self.server_mac = wire.mac_text(packet.payload[8:14])
                    return self.server_mac
        return None

    def http(self, method, path, body=None, headers=None, port=8080, seconds=8):
        """Status and body; 0 where the connection did not come about, or was cut off without an answer."""
        if not self.server_mac and not self.resolve():
            return 0, b""
        talk = Conversation(
            self.mac, self.address, 20000 + int.from_bytes(os.urandom(2)) % 40000, self.server_mac, self.server, port,
            request_bytes(method, path, body, headers, host=self.server))
        end, wait = time.monotonic() + seconds, 0.3
        frames = talk.open()
        while not talk.is_over and time.monotonic() < end:
            for frame in frames:
                self.port.send(frame)
            turn = min(end, time.monotonic() + wait)
            heard = False
            while not talk.is_over and (left := turn - time.monotonic()) > 0:
                packet = self.port.receive(left)
                if packet is None:
                    break
                if packet.kind == wire.ARP:
                    self.answer_arp(packet)
                elif packet.protocol == 6 and packet.dport == talk.port and packet.target == wire.ip_bytes(self.address):
                    heard = True
                    for frame in talk.receive(packet):
                        self.port.send(frame)
            frames = [] if heard else talk.again()
            wait = min(wait * 2, 2)
        return parse_reply(talk.reply)

    def answer_arp(self, packet):
        if packet.payload[24:28] == socket.inet_aton(self.taken) and packet.payload[7] == 1:
            asking = packet.payload[8:14]
            self.port.send(wire.arp(
                2, self.says, self.taken, socket.inet_ntoa(packet.payload[14:18]), wire.mac_text(asking), frame_source=self.mac,
                destination=wire.mac_text(asking)))
