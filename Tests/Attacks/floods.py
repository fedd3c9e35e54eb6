#!/usr/bin/env python3
"""Line 6: one neighbour tries to use up the server, in every way at once: 10,000 cycling MAC addresses (DHCP, boot script, hello),
4,000 idle connections, hundreds of unfinished and of slow bodies, more TFTP requests than there are transfers, DHCP offers that are
all declined, inventories of megabytes. Ten honest machines boot meanwhile, in at most 1.5 times the time that they took before;
the server's memory stays under a bound.

A machine's usual time is mostly its own: firmware, iPXE and kernel take their seconds whatever the server does. A real one takes
more than 20 s to its agent; the played ones take OWN_SECONDS, so that what the server adds weighs more here."""
import json
import multiprocessing
import os
import pathlib
import resource
import select
import socket
import threading
import time

import wire
from enclosure import die_with_parent, until
from machine import Astray, Refused
from metadata_rack import sh
from scene import run
from swarm import Swarm, tftp_fetch, tftp_requests

MACHINES = 10
OWN_SECONDS = (2.0, 1.0, 3.0)
ALLOWED = 1.5
FLOOD_SECONDS = 40
MEMORY_MB = 250
STORE_MB = 64
MACS, CONNECTIONS = 10_000, 4_000
# Who opens connections as fast as the wire carries them uses up a processor, be each refused: that is another measure.
REOPENED_PER_SECOND = 50
# Machines of which nothing is known but that somebody said hello with a MAC address.
DISCOVERED = 1_000


class Boot(threading.Thread):
    """One boot of an honest machine, as patient as firmware and iPXE are; what it took."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host, self.seconds, self.trouble, self.served = host, None, [], {}

    def run(self):
        began = time.monotonic()
        try:
            self.boot()
            self.seconds = time.monotonic() - began
        except Exception as failure:  # noqa: BLE001: it is what is to be reported
            self.trouble.append(repr(failure)[:300])

    def boot(self):
        host, (firmware, ipxe, kernel) = self.host, OWN_SECONDS
        host.session = None
        time.sleep(firmware)
        self.step("an address for the firmware", lambda: host.lease(wire.FIRMWARE, seconds=30))
        self.step("iPXE by TFTP", lambda: tftp_fetch(host.space.socket(socket.AF_INET, socket.SOCK_DGRAM), host.server, "undionly.kpxe"))
        time.sleep(ipxe)
        self.step("an address for iPXE", lambda: host.lease(wire.IPXE, seconds=30))
        nonce = self.step("the boot script", lambda: host.nonce_in(host.script()))
        self.step("kernel and ramdisk", host.load)
        time.sleep(kernel)
        body = host.hello_body(nonce)
        reply = json.loads(self.step("hello", lambda: host.ask("/agent/v1/hello", body, seconds=10)))
        if reply["machine"] != host.id:
            raise Astray(f"it is taken for {reply['machine']}")
        host.session = reply["session"]
        self.step("inventory", lambda: host.ask("/agent/v1/inventory", host.inventory_body(), seconds=10) is not None)

    def step(self, what, work):
        """Tried again every few seconds, as the machine's own programs do."""
        began, end = time.monotonic(), time.monotonic() + 40
        while True:
            try:
                found = work()
                if found:
                    self.served[what] = time.monotonic() - began
                    return found
            except (Refused, OSError, TimeoutError) as failure:
                self.trouble.append(f"{what}: {failure!r}"[:200])
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within 40 s")
            time.sleep(1)


def boots(hosts):
    """All of them at once, as after a power cut, each a little later than the one before."""
    going = [Boot(host) for host in hosts]
    for boot in going:
        boot.start()
        time.sleep(0.1)
    for boot in going:
        boot.join(150)
    return going


# The floods. Each is a process: it has a namespace with addresses of its own, says what it did, and ends with the test.

class Flood:
    def __init__(self, scene, name, addresses=(), has_them=True):
        self.host, self.name = scene.host(name), name
        for address in addresses if has_them else ():
            sh("ip", "-n", self.host.ns, "addr", "add", f"{address}/{scene.PREFIX}", "dev", "eth0")
        if addresses and has_them:
            self.host.address = addresses[0]
        self.addresses, self.server, self.seed = addresses, scene.ADDRESS, scene.random.getrandbits(32)
        self.here, self.there = multiprocessing.Pipe()

    def begin(self, work, *arguments):
        def inside():
            die_with_parent()
            # A neighbour has a processor of its own. Here it has the server's, and gives way to it.
            os.nice(10)
            resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
            try:
                done = work(self, time.monotonic() + FLOOD_SECONDS, *arguments)
                self.there.send({**done, "processor seconds": round(time.process_time(), 1)})
            except Exception as failure:  # noqa: BLE001: it is what is to be reported
                self.there.send({"failed": repr(failure)})
        self.process = multiprocessing.get_context("fork").Process(target=inside, daemon=True)
        self.process.start()
        return self

    def said(self):
        found = self.here.recv() if self.here.poll(FLOOD_SECONDS + 30) else {"failed": "it said nothing"}
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
        return found

    def connect(self, number):
        line = self.host.space.socket()
        line.bind((self.addresses[number % len(self.addresses)], 0))
        line.setblocking(False)
        line.connect_ex((self.server, 8080))
        return line


def macs(flood, end):
    swarm = Swarm(flood.host.port, flood.server, flood.seed, addresses=flood.addresses)
    return swarm.run(MACS, end - time.monotonic(), pace=400)


def declines(flood, end):
    swarm = Swarm(flood.host.port, flood.server, flood.seed, at_once=16, declines=True)
    return swarm.run(3_000, end - time.monotonic(), pace=150)


def connections(flood, end, words, most, step):
    """Keeps as many connections open as it can, up to `most`; says `words(number)` on each when it opens, and `step` every second."""
    poll, lines, count, opened, peak = select.epoll(), {}, 0, 0, 0
    began = spoken = time.monotonic()
    while (now := time.monotonic()) < end:
        # At once as many as it can; then again those that were closed, at a pace.
        for _ in range(20):
            if len(lines) >= most or opened >= most + (now - began) * REOPENED_PER_SECOND:
                break
            line = flood.connect(count)
            lines[line.fileno()] = [line, words(count), 0]
            poll.register(line, select.EPOLLIN | select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR)
            count, opened = count + 1, opened + 1
        for descriptor, event in poll.poll(0.05, 1024):
            entry = lines[descriptor]
            if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                try:
                    gone = not entry[0].recv(65536)
                except OSError:
                    gone = True
                if gone:
                    poll.unregister(descriptor)
                    lines.pop(descriptor)[0].close()
                continue
            try:
                if entry[2] < len(entry[1]):
                    entry[2] += entry[0].send(entry[1][entry[2]:entry[2] + 262_144])
            except OSError:
                pass
            if entry[2] >= len(entry[1]):
                poll.modify(descriptor, select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR)
        peak = max(peak, len(lines))
        if step and now - spoken > 1:
            spoken = now
            for entry in lines.values():
                try:
                    entry[0].send(step)
                except OSError:
                    pass
        time.sleep(0.02)
    return {"opened": opened, "at most at once": peak, "at the end": len(lines)}


def idle(flood, end):
    return connections(flood, end, lambda number: b"GET /boot/script?mac=" if number % 2 else b"", CONNECTIONS, None)


def unfinished(flood, end):
    body = b"POST /agent/v1/hello HTTP/1.1\r\nHost: x\r\nContent-Length: 4194304\r\n\r\n" + b" " * 4_100_000
    return connections(flood, end, lambda _: body, 300, None)


def slow(flood, end):
    head = b"POST /agent/v1/inventory HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    return connections(flood, end, lambda _: head, 500, b" ")


def tftp(flood, end):
    count = 0
    while time.monotonic() < end:
        lines = tftp_requests(flood.host.space.socket, flood.server, addresses=flood.addresses)
        count += len(lines)
        time.sleep(2)
        for line in lines:
            line.close()
    return {"requests": count}


def inventories(flood, end):
    """From a session of its own: 3.9 MB again and again."""
    host, count, refused = flood.host, 0, 0
    junk = [{"address": f"{number:04x}", "ids": "8086:100e", "name": "x" * 900} for number in range(4000)]
    body = host.inventory_body(pci=junk)
    while time.monotonic() < end:
        try:
            host.ask("/agent/v1/inventory", body, seconds=5)
            count += 1
        except (Refused, OSError):
            refused += 1
            time.sleep(0.2)
    return {"taken": count, "refused": refused}


def store_megabytes(scene):
    return sum(path.stat().st_size for path in pathlib.Path(scene.state).glob("hostler.db*")) / (1 << 20)


def processor_seconds(scene):
    """What the server has used."""
    numbers = pathlib.Path(f"/proc/{scene.server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def summary(going):
    seconds = sorted(boot.seconds or float("inf") for boot in going)
    steps = {what: max(boot.served.get(what, 0) for boot in going) for boot in going for what in boot.served}
    parts = ", ".join(f"{what} {value:.2f} s" for what, value in steps.items())
    return f"{seconds[0]:.1f} to {seconds[-1]:.1f} s, of it the server's at most: {parts}"


def begin_all(scene, wave=0):
    """All at once. Their addresses are below those that DHCP gives; `wave` counts how often, for their names."""
    def flood(name, first=0, count=0, **more):
        return Flood(scene, f"f{wave}-{name}", [f"{scene.ADDRESS.rpartition('.')[0]}.{first + number}" for number in range(count)], **more)
    known = flood("known")
    try:
        known.host.boot_into_agent()
    except Exception as failure:  # noqa: BLE001: strangers may have to wait by then
        print(f"# no session for inventories: {failure!r}"[:200])
    begun = {
        "MAC addresses": flood("macs", 2, 18, has_them=False).begin(macs),
        "declined offers": flood("decline").begin(declines),
        "idle connections": flood("idle", 20, 40).begin(idle),
        "unfinished bodies": flood("body", 60, 20).begin(unfinished),
        "slow bodies": flood("slow", 80, 20).begin(slow),
        "TFTP requests": flood("tftp", 100, 28).begin(tftp),
    }
    if known.host.session:
        begun["inventories"] = known.begin(inventories)
    return begun


def attack(scene):
    hosts = [scene.host(f"h{number}") for number in range(MACHINES)]
    for number, host in enumerate(hosts):
        host.boot_into_agent()
        # Known is what somebody has looked at: anybody can be discovered.
        scene.api("PATCH", f"/v1/machines/{host.id}", {"name": f"honest-{number}"})
    usual = boots(hosts)
    scene.check(f"without the flood {MACHINES} machines boot", all(boot.seconds for boot in usual), [boot.trouble for boot in usual])
    slowest = max(boot.seconds or 0 for boot in usual)
    print(f"# without the flood: {summary(usual)}; memory {scene.memory():.0f} MB, store {store_megabytes(scene):.1f} MB", flush=True)
    since, store, most = scene.mark(), store_megabytes(scene), [0.0]
    began, used = time.monotonic(), processor_seconds(scene)
    floods = begin_all(scene)
    watching = threading.Event()

    def watch():
        while not watching.wait(0.25):
            try:
                most[0] = max(most[0], scene.memory())
            except OSError:
                return
    threading.Thread(target=watch, daemon=True).start()
    # The floods have hold of what they can before the first machine is switched on.
    time.sleep(5)
    during = boots(hosts)
    print(f"# in the flood: {summary(during)}", flush=True)
    for number, boot in enumerate(during):
        ratio = (boot.seconds or float("inf")) / (usual[number].seconds or slowest)
        scene.check(f"in the flood machine {number} boots in at most {ALLOWED} times its usual time", ratio <= ALLOWED,
                    (f"{ratio:.2f} times", boot.trouble[-4:]))
    said = {name: flood.said() for name, flood in floods.items()}
    watching.set()
    for name, numbers in said.items():
        print(f"# {name}: {numbers}", flush=True)
    scene.check("the floods were what they say", is_real(said), said)
    scene.check(f"the server's memory stays under {MEMORY_MB} MB", 0 < most[0] <= MEMORY_MB, f"{most[0]:.0f} MB")
    print(f"# at most {most[0]:.0f} MB of memory; the floods took {time.monotonic() - began:.0f} s, "
          f"of which the server had a processor for {processor_seconds(scene) - used:.0f} s", flush=True)
    afterwards(scene, hosts, since, store)


def is_real(said):
    return (said["MAC addresses"].get("macs", 0) >= MACS * 0.9 and said["idle connections"].get("opened", 0) >= CONNECTIONS
            and said["unfinished bodies"].get("opened", 0) >= 300 and said["TFTP requests"].get("requests", 0) >= 264
            and said["declined offers"].get("macs", 0) >= 1000 and sum(said.get("inventories", {}).get(word, 0) for word in ("refused", "taken")) > 5)


def afterwards(scene, hosts, since, store):
    until("the server answers", lambda: scene.is_alive(), 20)
    grown = store_megabytes(scene) - store
    scene.check(f"the store has grown by less than {STORE_MB} MB", grown < STORE_MB, f"{grown:.1f} MB")
    machines = scene.machines_count()
    scene.check(f"fewer than {DISCOVERED} machines were made up by cycling MAC addresses", machines < DISCOVERED, machines)
    kinds = {}
    for event in scene.all_events():
        if event["id"] > since:
            kinds[event["kind"]] = kinds.get(event["kind"], 0) + 1
    print(f"# events: {kinds}", flush=True)
    scene.check("what was refused is in the events, and does not fill them", any(
        kind.split(".")[-1] not in ("discovered", "succeeded", "started") for kind in kinds) and kinds.get("machine.discovered", 0) < DISCOVERED, kinds)
    records = [host.record() for host in hosts]
    own = all(record["state"] == "ready" and [port["mac"] for port in record["interfaces"]] == [host.mac] for host, record in zip(hosts, records))
    scene.check("the honest machines' records are as before", own, [record["state"] for record in records])
    began = time.monotonic()
    hosts[0].boot_into_agent()
    print(f"# afterwards a boot takes {time.monotonic() - began:.1f} s; memory {scene.memory():.0f} MB", flush=True)
    scene.check("afterwards a machine boots as before the flood", time.monotonic() - began < 5, time.monotonic() - began)


if __name__ == "__main__":
    run("floods of every kind at once", attack, seconds=180, prefix=23)
