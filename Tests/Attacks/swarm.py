"""Machines that do not exist: one port plays thousands, each with a MAC address of its own, from its DHCP to its agent's hello."""
import json
import random
import re
import secrets
import socket
import struct
import time

import tcp
import wire


class Ghost:
    __slots__ = ("mac", "xid", "address", "talk", "deadline", "step", "session")

    def __init__(self, mac, xid):
        self.mac, self.xid = mac, xid
        self.address = self.talk = self.session = None
        self.step, self.deadline = "discover", 0


class Swarm:
    """`declines`: each refuses the address that it is offered. `addresses`: those of which one takes one that is offered none; they
    are nobody's, since to take a machine's is another attack (arp_spoof.py)."""

    patience = 0.4

    def __init__(self, port, server, seed, addresses=(), at_once=400, declines=False, says_hello=True):
        self.port, self.server, self.addresses = port, server, addresses
        self.random = random.Random(seed)
        self.at_once, self.declines, self.says_hello = at_once, declines, says_hello
        self.by_xid, self.by_port, self.by_address = {}, {}, {}
        self.ghosts = set()
        self.server_mac = None
        self.counts = dict.fromkeys(("macs", "offers", "leases", "declined", "scripts", "nonces", "sessions", "refused"), 0)
        self.next_port = 20000

    def run(self, count, seconds, pace=10_000):
        """Up to `count` of them within `seconds`, at most `pace` a second; what became of them."""
        began = time.monotonic()
        end, swept = began + seconds, 0
        self.port.socket.setblocking(False)
        while (now := time.monotonic()) < end and (self.counts["macs"] < count or self.ghosts):
            allowed = min(count, (now - began) * pace)
            while len(self.ghosts) < self.at_once and self.counts["macs"] < allowed:
                self.begin(now)
            self.drain(now)
            if now - swept > 0.05:
                swept = now
                for ghost in [ghost for ghost in self.ghosts if ghost.deadline < now]:
                    self.late(ghost, now)
        return self.counts

    def begin(self, now):
        ghost = Ghost("52:55:" + ":".join(f"{self.random.randrange(256):02x}" for _ in range(4)), self.random.getrandbits(32))
        self.counts["macs"] += 1
        self.ghosts.add(ghost)
        self.by_xid[ghost.xid] = ghost
        ghost.deadline = now + self.patience
        wire.send_dhcp(self.port, ghost.mac, wire.dhcp(wire.DISCOVER, ghost.mac, ghost.xid, **wire.IPXE))

    def end(self, ghost):
        self.ghosts.discard(ghost)
        self.by_xid.pop(ghost.xid, None)
        if ghost.talk:
            self.by_port.pop(ghost.talk.port, None)
        if self.by_address.get(ghost.address) is ghost:
            del self.by_address[ghost.address]

    def late(self, ghost, now):
        """Nothing came: one without an offer goes on with an address that it takes, as far as it gets."""
        if ghost.step in ("discover", "request") and self.addresses and self.server_mac:
            ghost.address = self.random.choice(self.addresses)
            self.ask_script(ghost, now)
        else:
            self.end(ghost)

    def drain(self, now):
        for _ in range(256):
            try:
                frame, sender = self.port.socket.recvfrom(1 << 17)
            except BlockingIOError:
                time.sleep(0.0005)
                return
            if sender[2] == 4:
                continue
            packet = wire.Packet(frame)
            if packet.protocol == 17 and packet.dport == 68:
                self.dhcp(packet, now)
            elif packet.protocol == 6:
                ghost = self.by_port.get(packet.dport)
                if ghost and packet.target == wire.ip_bytes(ghost.address):
                    self.tcp(ghost, packet, now)
            elif packet.kind == wire.ARP and packet.payload[7] == 1:
                ghost = self.by_address.get(socket.inet_ntoa(packet.payload[24:28]))
                if ghost:
                    asking = wire.mac_text(packet.payload[8:14])
                    self.port.send(wire.arp(2, ghost.mac, ghost.address, self.server, asking, destination=asking))

    def dhcp(self, packet, now):
        reply = wire.DHCPReply(packet.payload[8:])
        ghost = self.by_xid.get(reply.xid)
        if not ghost:
            return
        self.server_mac = wire.mac_text(packet.source_mac)
        if reply.kind == wire.OFFER and ghost.step == "discover":
            self.counts["offers"] += 1
            if self.declines:
                self.counts["declined"] += 1
                wire.send_dhcp(self.port, ghost.mac, wire.dhcp(wire.DECLINE, ghost.mac, ghost.xid, requested=reply.address, server=reply.server))
                return self.end(ghost)
            ghost.step, ghost.deadline = "request", now + self.patience
            wire.send_dhcp(self.port, ghost.mac, wire.dhcp(
                wire.REQUEST, ghost.mac, ghost.xid, requested=reply.address, server=reply.server, **wire.IPXE))
        elif reply.kind == wire.ACK and ghost.step == "request":
            self.counts["leases"] += 1
            ghost.address = reply.address
            self.ask_script(ghost, now)

    def ask_script(self, ghost, now):
        ghost.step = "script"
        self.ask(ghost, now, "GET", f"/boot/script?mac={ghost.mac}&platform=bios")

    def ask(self, ghost, now, method, path, body=None):
        self.next_port = 20000 + (self.next_port - 19999) % 40000
        if ghost.talk:
            self.by_port.pop(ghost.talk.port, None)
        self.by_address[ghost.address] = ghost
        self.port.send(wire.arp(1, ghost.mac, ghost.address, self.server))
        ghost.talk = tcp.Conversation(
            ghost.mac, ghost.address, self.next_port, self.server_mac, self.server, 8080, tcp.request_bytes(method, path, body, host=self.server))
        self.by_port[ghost.talk.port] = ghost
        ghost.deadline = now + 2 * self.patience
        for frame in ghost.talk.open():
            self.port.send(frame)

    def tcp(self, ghost, packet, now):
        for frame in ghost.talk.receive(packet):
            self.port.send(frame)
        if not ghost.talk.is_over:
            return
        status, body = tcp.parse_reply(ghost.talk.reply)
        if ghost.step == "script":
            self.counts["scripts"] += status == 200
            found = re.search(rb"hostler\.nonce=(\S+)", body)
            if found and self.says_hello:
                self.counts["nonces"] += 1
                ghost.step = "hello"
                return self.ask(ghost, now, "POST", "/agent/v1/hello", json.dumps({
                    "nonce": found[1].decode(), "sessionKey": secrets.token_hex(32), "mac": ghost.mac, "macs": [ghost.mac],
                    "firmware": "bios", "version": "ghost"}).encode())
        elif status == 200:
            self.counts["sessions"] += 1
        if status not in (0, 200):
            self.counts["refused"] += 1
        self.end(ghost)


def tftp_requests(socket_of, server, name="undionly.kpxe", count=300, addresses=()):
    """Asks for a file that many times, each from a port of its own, and acknowledges nothing; the sockets."""
    asked = []
    for number in range(count):
        line = socket_of(socket.AF_INET, socket.SOCK_DGRAM)
        if addresses:
            line.bind((addresses[number % len(addresses)], 0))
        line.sendto(struct.pack("!H", 1) + name.encode() + b"\0octet\0blksize\0" + b"1432\0", (server, 69))
        asked.append(line)
    return asked


def tftp_fetch(line, server, name, seconds=20):
    """A file as a boot ROM fetches it (RFC 1350, RFC 2348); None: not within the time."""
    data, expected, peer = b"", 1, None
    request = struct.pack("!H", 1) + name.encode() + b"\0octet\0blksize\0" + b"1432\0"
    line.settimeout(1)
    end, last, wait = time.monotonic() + seconds, request, 1.0
    line.sendto(request, (server, 69))
    while time.monotonic() < end:
        line.settimeout(wait)
        try:
            packet, sender = line.recvfrom(65536)
        except TimeoutError:
            line.sendto(last, peer or (server, 69))
            wait = min(4, wait * 2)
            continue
        peer, kind = sender, packet[1]
        if kind == 5:
            return None
        if kind == 6 and expected == 1:
            last = struct.pack("!HH", 4, 0)
        elif kind == 3 and int.from_bytes(packet[2:4]) == expected & 0xFFFF:
            data += packet[4:]
            last = struct.pack("!HH", 4, expected & 0xFFFF)
            expected += 1
            wait = 1.0
            if len(packet) - 4 < 1432:
                line.sendto(last, peer)
                return data
        line.sendto(last, peer)
    return None
