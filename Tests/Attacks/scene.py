"""The scene of an attack: a real `hostler serve` on a wire of the test's own, honest machines on it, and what is counted as
shown. `HOSTLER` names the program."""
import argparse
import http.client
import json
import os
import pathlib
import random
import ssl
import sys
import traceback

import paths
import metadata_rack
from enclosure import Namespace, enclosed, until
from machine import Host
from metadata_rack import sh

# Kinds of what happens in every boot: they tell of no attack.
ROUTINE = ("operation.", "step.", "machine.discovered", "interface.moved", "machine.adopted", "network.foreign-dhcp-server", "token.")


class Scene(metadata_rack.Rack):
    """One server and its wires. `networks`: members of the first network's configuration; `more`: other networks."""

    def __init__(self, seed, options=None, more=(), prefix=24, tls=False, **network):
        super().__init__(**network)
        self.PREFIX, self.tls = prefix, tls
        if tls:
            self.serve_options = []
        self.random = random.Random(seed)
        self.options, self.more = options or {}, list(more)
        self.passed = self.failed = 0
        self.taken = set()

    def __enter__(self):
        super().__enter__()
        # As large as tells a file from none.
        for name in ("vmlinuz", "hostler-initrd.img", "undionly.kpxe", "ipxe.efi"):
            (self.work / "boot" / name).write_bytes(os.urandom(200_000))
        path = self.state / "hostler.yaml"
        first = json.loads(path.read_text())["networks"]
        for network in self.more:
            # A bridge without an address of its own takes one of its ports', another with each port that is added.
            address = f"02:00:00:00:01:{len(first) + self.more.index(network):02x}"
            sh("ip", "-n", self.server_ns, "link", "add", network["interface"], "address", address, "type", "bridge")
            sh("ip", "-n", self.server_ns, "addr", "add", network["address"], "dev", network["interface"])
            sh("ip", "-n", self.server_ns, "link", "set", network["interface"], "up")
        path.write_text(json.dumps({"networks": first + [
            {"namespace": self.server_ns, "policy": "discover", **network} for network in self.more], **self.options}))
        self.space = Namespace(self.server_ns)
        return self

    def netns(self, name):
        super().netns(name)
        # What comes up by IPv6 is no part of a scene that does not say so.
        sh("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        return name

    def api_connection(self, seconds=30):
        if not self.tls:
            return super().api_connection(seconds)
        trust = ssl.create_default_context(cadata=json.loads((self.state / "admin.json").read_text())["ca"])
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=trust, timeout=seconds)

    # Machines

    def mac(self):
        """One that nobody has."""
        while True:
            mac = "52:54:" + ":".join(f"{self.random.randrange(256):02x}" for _ in range(4))
            if mac not in self.taken:
                self.taken.add(mac)
                return mac

    def host(self, name, mac=None, **place):
        return Host(self, name, mac or self.mac(), **place)

    def install(self, machine, **request):
        return self.order(f"/v1/machines/{machine}/install", {"image": "test", **request})

    # What the record says

    def machines(self):
        return self.api("GET", "/v1/machines?limit=1000")["items"]

    def machines_count(self):
        """As many as there are, by pages."""
        count, after = 0, None
        while True:
            page = self.api("GET", "/v1/machines?limit=1000" + (f"&after={after}" if after else ""))
            count, after = count + len(page["items"]), page.get("next")
            if not after:
                return count

    def owners(self, mac):
        """The ids of the machines that the MAC address identifies."""
        return [machine["id"] for machine in self.machines() if any(port["mac"] == mac for port in machine["interfaces"])]

    def claims(self, machine):
        """The MAC addresses that the machine's agent named, and that have not booted by themselves."""
        record = self.api("GET", f"/v1/machines/{machine}")
        return [port["mac"] for port in record["observed"].get("claimedInterfaces") or []]

    def all_events(self):
        return self.api("GET", "/v1/events?last=1000")["items"]

    def mark(self):
        """The id of the newest event."""
        return max((event["id"] for event in self.all_events()), default="")

    def events_with(self, since, *words, kinds=None, seconds=2):
        """The events since `since` that are no routine and in which every one of the words stands; waits for the first."""
        def look():
            return [event for event in self.all_events() if event["id"] > since
                    and not any(event["kind"].startswith(kind) for kind in ROUTINE)
                    and (kinds is None or event["kind"] in kinds)
                    and all(word in json.dumps(event) for word in words)]
        try:
            return until("an event", look, seconds)
        except TimeoutError:
            return []

    def memory(self, field="VmRSS"):
        """Of the server, in MB."""
        for line in pathlib.Path(f"/proc/{self.server.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        return 0

    def is_alive(self):
        return hasattr(self, "server") and self.server.poll() is None and self.cli("status", check=False).returncode == 0

    # What was shown

    def check(self, what, good, seen=""):
        if good:
            self.passed += 1
            print(f"ok {self.passed + self.failed} - {what}", flush=True)
        else:
            self.failed += 1
            text = "".join(c if c.isprintable() else "\\x%02x" % ord(c) for c in str(seen)[-1200:])
            print(f"NOT OK {self.passed + self.failed} - {what}: {text}", flush=True)
        return good

    def tells_of(self, what, since, mac, address, kinds=None):
        """Checks that an event carries who it was on the wire: the interface's MAC address, and its IP address."""
        words = [word for word in (mac, address) if word]
        found = self.events_with(since, *words, kinds=kinds)
        events = [(event["kind"], event["evidence"]) for event in self.all_events() if event["id"] > since]
        return self.check(f"{what}: an event names {' at '.join(words)}", found, events[-12:])


def run(title, attack, seconds=110, **scene):
    """An attack as a program: `attack(scene)` in a scene of its own, inside namespaces that end with it."""
    options = argparse.ArgumentParser(description=title)
    options.add_argument("--seed", type=int, default=int(os.environ.get("ATTACK_SEED") or int.from_bytes(os.urandom(4))))
    chosen = options.parse_args()
    if not os.path.exists(paths.HOSTLER):
        sys.exit(f"there is no {paths.HOSTLER}: make binaries, or set HOSTLER")
    print(f"# {title}; seed {chosen.seed}", flush=True)

    def work():
        with Scene(chosen.seed, **scene) as place:
            try:
                place.add_image()
                place.start()
                attack(place)
            except BaseException as failure:  # noqa: BLE001: the closing line must come, be it that its time is over
                traceback.print_exc(file=sys.stdout)
                place.check("the attack was carried out to its end", False, failure)
            if hasattr(place, "server") and not place.is_alive():
                print((place.state / "serve.log").read_text(errors="replace")[-3000:])
            place.check("the server is up at the end", place.is_alive())
            print(f"{place.passed} passed, {place.failed} failed", flush=True)
            return 1 if place.failed or not place.passed else 0

    sys.exit(enclosed(work, seconds))
