"""Frames as they are on the wire: Ethernet, ARP, IPv4, UDP and DHCP, written and read byte by byte, from any MAC address
and any IP address."""
import errno
import os
import select
import socket
import struct
import time

BROADCAST = "ff:ff:ff:ff:ff:ff"
ARP, IPV4 = 0x0806, 0x0800
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def mac_text(data):
    return ":".join(f"{byte:02x}" for byte in data)


def ip_bytes(text):
    return socket.inet_aton(text)


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(source, destination, kind, payload):
    return mac_bytes(destination) + mac_bytes(source) + struct.pack("!H", kind) + payload


def arp(operation, sender_mac, sender_ip, target_ip, target_mac="00:00:00:00:00:00", frame_source=None, destination=BROADCAST):
    """RFC 826. `frame_source`: who sends the frame, where that is another than the one it speaks of."""
    body = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
    body += mac_bytes(sender_mac) + ip_bytes(sender_ip) + mac_bytes(target_mac) + ip_bytes(target_ip)
    return ethernet(frame_source or sender_mac, destination, ARP, body)


def ipv4(source, destination, protocol, payload, ttl=64):
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), int.from_bytes(os.urandom(2)), 0x4000, ttl, protocol, 0)
    head += ip_bytes(source) + ip_bytes(destination)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(source, destination, payload):
    """Source and destination are (address, port)."""
    # A sum of 0: none was made (RFC 768).
    return ipv4(source[0], destination[0], 17, struct.pack("!HHHH", source[1], destination[1], 8 + len(payload), 0) + payload)


class Packet:
    """A frame that was received; what is not there is None."""

    __slots__ = ("source_mac", "target_mac", "kind", "source", "target", "protocol", "payload", "sport", "dport")

    def __init__(self, frame):
        self.target_mac, self.source_mac = frame[:6], frame[6:12]
        self.kind = frame[12] << 8 | frame[13]
        self.source = self.target = self.protocol = self.payload = self.sport = self.dport = None
        if self.kind == IPV4 and len(frame) >= 34:
            head = (frame[14] & 15) * 4
            length = frame[16] << 8 | frame[17]
            self.protocol, self.source, self.target = frame[23], frame[26:30], frame[30:34]
            self.payload = frame[14 + head:14 + length] if length else frame[14 + head:]
            if self.protocol in (6, 17) and len(self.payload) >= 8:
                self.sport, self.dport = struct.unpack("!HH", self.payload[:4])
        elif self.kind == ARP and len(frame) >= 42:
            self.payload = frame[14:42]


class Port:
    """A raw socket on an interface: all frames in, any frame out."""

    def __init__(self, namespace, interface="eth0", kind=0x0003):
        self.socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self.socket.bind((interface, kind))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, frame):
        try:
            self.socket.send(frame)
        except OSError as error:
            # Told once after the cable was out (packet(7)).
            if error.errno != errno.ENETDOWN:
                raise
            self.socket.send(frame)

    def receive(self, seconds):
        """The next frame, or None. Frames of this socket's own are left out."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                return None
            frame, sender = self.socket.recvfrom(1 << 17)
            if sender[2] != 4:  # PACKET_OUTGOING
                return Packet(frame)


# DHCP (RFC 2131, RFC 2132)

def dhcp(kind, mac, xid, ciaddr="0.0.0.0", giaddr="0.0.0.0", broadcast=True, **options):
    """Options by name; None is left out."""
    numbers = {"requested": 50, "lease": 51, "server": 54, "hostname": 12, "vendor": 60, "user": 77, "client_id": 61, "arch": 93}
    body = struct.pack("!BBBBIHH", 1, 1, 6, 1 if giaddr != "0.0.0.0" else 0, xid, 0, 0x8000 if broadcast else 0)
    body += ip_bytes(ciaddr) + bytes(8) + ip_bytes(giaddr) + mac_bytes(mac) + bytes(10 + 64 + 128) + b"\x63\x82\x53\x63"
    body += bytes([53, 1, kind])
    for name, value in options.items():
        if value is None:
            continue
        data = ip_bytes(value) if name in ("requested", "server") else value if isinstance(value, bytes) else value.encode()
        body += bytes([numbers[name], len(data)]) + data
    if kind in (DISCOVER, REQUEST, INFORM):
        body += bytes([55, 9, 1, 3, 6, 15, 43, 51, 54, 60, 66])
    return body + b"\xff"


class DHCPReply:
    def __init__(self, data):
        self.xid = int.from_bytes(data[4:8])
        self.address = socket.inet_ntoa(data[16:20])
        self.next_server = socket.inet_ntoa(data[20:24])
        self.chaddr = mac_text(data[28:34])
        self.file = data[108:236].split(b"\0")[0].decode("latin-1")
        self.options, at = {}, 240
        while at + 1 < len(data) and data[at] != 255:
            if data[at] == 0:
                at += 1
                continue
            size = data[at + 1]
            self.options[data[at]] = self.options.get(data[at], b"") + data[at + 2:at + 2 + size]
            at += 2 + size
        self.kind = self.options.get(53, b"\0")[0]
        self.server = socket.inet_ntoa(self.options[54]) if len(self.options.get(54, b"")) == 4 else None
        self.file = self.options.get(67, b"").decode("latin-1").rstrip("\0") or self.file


FIRMWARE = {"vendor": "PXEClient:Arch:00000:UNDI:002001", "arch": b"\0\0"}
IPXE = {**FIRMWARE, "user": "iPXE"}
SYSTEM = {"vendor": "udhcp 1.35.0"}


def lease(port, mac, who, seconds=20, first_wait=1.0, wants=None, **more):
    """DISCOVER, OFFER, REQUEST, ACK as a client with that MAC address; retransmits as clients do. None: nobody answered.
    `wants`: the address that it would like (option 50)."""
    end = time.monotonic() + seconds
    offer = _ask(port, mac, DISCOVER, {**who, **more, "requested": wants}, OFFER, end, first_wait)
    if not offer:
        return None
    reply = _ask(port, mac, REQUEST, {**who, **more, "requested": offer.address, "server": offer.server}, (ACK, NAK), end, first_wait)
    return reply if reply and reply.kind == ACK else None


def send_dhcp(port, mac, message, source="0.0.0.0", destination="255.255.255.255", frame_source=None, target_mac=BROADCAST):
    port.send(ethernet(frame_source or mac, target_mac, IPV4, udp((source, 68), (destination, 67), message)))


def _ask(port, mac, kind, options, wanted, end, wait):
    xid = int.from_bytes(os.urandom(4))
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    while time.monotonic() < end:
        send_dhcp(port, mac, dhcp(kind, mac, xid, **options))
        turn = min(end, time.monotonic() + wait)
        wait = min(wait * 2, 8)
        while (left := turn - time.monotonic()) > 0:
            packet = port.receive(left)
            if packet is None or packet.protocol != 17 or packet.dport != 68:
                continue
            reply = DHCPReply(packet.payload[8:])
            if reply.xid == xid and reply.chaddr == mac and reply.kind in wanted:
                return reply
    return None
