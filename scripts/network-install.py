#!/usr/bin/env python3
"""Machines on networks that are not Hostler's own are discovered and installed.

    network-install.py [--images DIR] [PART …]

Parts, all unless some are named. `relay-bios` and `relay-uefi`: on another network, through a DHCP relay and a router. The
lab's namespace is the router: dnsmasq relays DHCP there, Linux forwards all else, and 169.254.169.254 has a route to
Hostler, which runs in a namespace of its own behind it. `proxy-bios` and `proxy-uefi`: on a network whose DHCP server is
another's (dnsmasq) and tells nothing of Hostler (`mode: proxy`). In each the cloud-init of Debian has its data over the
network, by NoCloud's URL (bios) or EC2's source (uefi). As root, with what `make deps` installs. Ends with “N passed, M
failed”.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests/EndToEnd"))
sys.dont_write_bytecode = True
from rack import HOSTLER, SERVER, Rack, Story, check, until  # noqa: E402

PATIENCE = float(os.environ.get("PATIENCE", "1"))
# The rack's network with its router, as the lab makes it, and the one between the router and Hostler.
ROUTER, MACHINES = "10.77.0.1", "10.77.0.0/24"
HOSTLER_ADDRESS, UPLINK = "10.78.0.1", "10.78.0.2"

# Asked of the installed system by its own Python.
QUESTIONS = r'''
import json, subprocess, sys, urllib.error, urllib.request
def run(*command):
    return subprocess.run(command, text=True, capture_output=True).stdout.strip()
def fetch(path, method="GET", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request("http://169.254.169.254" + path, method=method, headers=headers), timeout=20) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
run("mount", "-o", "ro", "-L", sys.argv[1], "/mnt")
key = open("/mnt/hostler/key").read().strip()
run("umount", "/mnt")
seconds = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}
said = {"key": key, "way": run("ip", "route", "get", "169.254.169.254"), "token without a key": fetch("/latest/api/token", "PUT", **seconds),
        "instance without a key": fetch("/latest/meta-data/instance-id"), "identity": fetch(f"/k/{key}/hostler/v1/token?audience=trial")}
token = fetch(f"/k/{key}/latest/api/token", "PUT", **seconds)[1]
for leaf in ("instance-id", "hostname", "local-ipv4"):
    said[leaf] = fetch(f"/latest/meta-data/{leaf}", X_aws_ec2_metadata_token=token)
print(json.dumps(said))
'''


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def dnsmasq(namespace, *options):
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, "/usr/sbin/dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--pid-file=",
         *options], stdin=subprocess.DEVNULL)


class OtherRack(Rack):
    """A lab on whose network Hostler is not alone; `other` is a namespace, and `daemon` a dnsmasq, of the network's people."""

    def __init__(self, work, images):
        super().__init__(work, images)
        self.lab = f"net{os.getpid()}"
        self.namespace = f"hostler-{self.lab}"
        self.other = f"{self.namespace}-other"
        self.daemon = None

    def networks(self):
        (self.work / "hostler.yaml").write_text(json.dumps({"networks": [{"policy": "discover", **self.network()}]}))
        return ["--config", str(self.work / "hostler.yaml")]

    def close(self):
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait(10)
        try:
            super().close()
        finally:
            subprocess.run(["ip", "netns", "del", self.other], check=False)


class RelayedRack(OtherRack):
    """The server is across a router, in the other namespace."""

    WAY, TOKEN_WITHOUT_KEY = ROUTER, 403

    def network(self):
        return {
            "name": "far", "interface": "eth0", "namespace": self.other, "address": f"{HOSTLER_ADDRESS}/24",
            "subnets": [{"prefix": MACHINES, "router": ROUTER, "ranges": ["10.77.0.100-10.77.0.150"], "domain": "row2.example"}]}

    def connect(self):
        """The router's other side, and what a network's people set on it."""
        ip("netns", "add", self.other)
        ip("-n", self.other, "link", "set", "lo", "up")
        ip("-n", self.namespace, "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", self.other)
        ip("-n", self.other, "address", "add", f"{HOSTLER_ADDRESS}/24", "dev", "eth0")
        ip("-n", self.other, "link", "set", "eth0", "up")
        ip("-n", self.namespace, "address", "add", f"{UPLINK}/24", "dev", "uplink")
        ip("-n", self.namespace, "link", "set", "uplink", "up")
        ip("-n", self.other, "route", "add", MACHINES, "via", UPLINK)
        ip("-n", self.namespace, "route", "add", "169.254.169.254/32", "via", HOSTLER_ADDRESS)
        self.enter("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.daemon = dnsmasq(self.namespace, f"--dhcp-relay={ROUTER},{HOSTLER_ADDRESS}")


class ProxiedRack(OtherRack):
    """The machines' addresses, and their router, which knows no 169.254.169.254, are in the other namespace."""

    WAY, TOKEN_WITHOUT_KEY = SERVER, 200

    def network(self):
        return {"name": "shared", "interface": "rack0", "namespace": self.namespace, "address": f"{SERVER}/24", "mode": "proxy",
                "domain": "row2.example"}

    def connect(self):
        ip("netns", "add", self.other)
        ip("-n", self.other, "link", "set", "lo", "up")
        ip("-n", self.namespace, "link", "add", "other", "type", "veth", "peer", "name", "eth0", "netns", self.other)
        ip("-n", self.namespace, "link", "set", "other", "master", "rack0", "up")
        ip("-n", self.other, "address", "add", "10.77.0.2/24", "dev", "eth0")
        ip("-n", self.other, "link", "set", "eth0", "up")
        self.daemon = dnsmasq(
            self.other, "--dhcp-range=10.77.0.100,10.77.0.150,255.255.255.0,1h", "--dhcp-authoritative", "--dhcp-leasefile=/dev/null")


class Installations(Story):
    def discovered(self, node, firmware):
        rack = self.rack
        # One processor: a translated guest with two can hang while its kernel changes its own code.
        rack.in_lab("add", node, "--firmware", firmware, "--boot", "network-first", "--cpus", "1")
        rack.power(node, "on")
        machine = until(400 * PATIENCE, f"{node} is discovered", lambda: (m := rack.machine_of(node)) and m["state"] == "ready" and m)
        check(machine["observed"]["address"].startswith("10.77.0.1"), f"it has an address of its own network: {machine['observed']}")
        self.ok(f"{node}: {firmware} firmware boots into the agent, at {machine['observed']['address']}")
        return machine["id"]

    def installed(self, node, machine, source, *more):
        rack = self.rack
        operation = rack.install(machine, node, "--datasource", source, *more)
        ended = rack.ended(operation, 900 * PATIENCE)
        check(ended["state"] == "succeeded", f"the installation ends well: {ended}")
        rack.until_it_says(machine, node, "hostname", seconds=240 * PATIENCE)
        check(rack.run(machine, "cat", "/etc/from-user-data") == "applied", "user-data came over the network")
        self.ok(f"{node}: installed; its cloud-init had its data from {source}, and called home")
        return operation

    def asks(self, node, machine, operation, source):
        """Of the metadata service, on the machine itself."""
        rack, address = self.rack, self.rack.machine(machine)["observed"]["address"]
        done = rack.enter(
            "ssh", "-i", rack.state / "key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", f"debian@{address}", "sudo", "python3", "-", "CIDATA",
            check_status=False, timeout=180, input=QUESTIONS)
        check(done.returncode == 0, f"{node} answers: {done.stderr}")
        found = json.loads(done.stdout)
        check(f"via {rack.WAY} " in found["way"], f"its way there: {found}")
        check(found["token without a key"][0] == rack.TOKEN_WITHOUT_KEY, f"a token without its key: {found}")
        # Nobody leased a relayed machine's static address: there it is a stranger.
        refused = 403 if rack.TOKEN_WITHOUT_KEY == 403 and source == "ec2" else 401
        check(found["instance without a key"] == [refused, ""], f"nothing without a token: {found}")
        check(found["key"].startswith(machine + "."), f"root finds the machine's key: {found}")
        for path, expected in [("instance-id", operation), ("hostname", f"{node}.row2.example"), ("local-ipv4", address)]:
            check(found[path] == [200, expected], f"by a token that the key was good for, {path}: {found}")
        status, identity = found["identity"]
        check(status == 200 and '"audience":"trial"' in identity, f"an identity by the key: {found}")
        without = "gives no token" if rack.TOKEN_WITHOUT_KEY == 403 else "gives a token"
        self.ok(f"{node}: 169.254.169.254, by {rack.WAY}, {without} without its key, and all with it")

    def part_relay_bios(self):
        rack = self.rack
        machine = self.discovered("old", "bios")
        operation = self.installed("old", machine, "nocloud-http")
        self.asks("old", machine, operation, "nocloud-http")
        done = rack.admin("machine", "wipe", machine, "--yes", "--no-wait")
        wipe = next(word.strip(".,:") for word in done.stdout.split() if word.startswith("op-"))
        rack.power("old", "cycle")
        ended = rack.ended(wipe, 400 * PATIENCE)
        check(ended["state"] == "succeeded", f"the wipe ends well: {ended}")
        self.ok("old: back in the agent, and wiped")
        rack.power("old", "off")

    def part_relay_uefi(self):
        """With a static address, of which the relayed network's DHCP server knows nothing."""
        rack = self.rack
        machine = self.discovered("new", "uefi")
        network = {"ethernets": [{"name": "port0", "mac": rack.mac("new"), "addressing": {
            "addresses": ["10.77.0.21/24"], "routes": [{"to": "0.0.0.0/0", "via": ROUTER}]}}]}
        (rack.work / "network.json").write_text(json.dumps(network))
        rack.admin("machine", "set", machine, "--network", rack.work / "network.json")
        operation = self.installed("new", machine, "ec2")
        check(rack.machine(machine)["observed"]["address"] == "10.77.0.21", "it has its static address")
        self.asks("new", machine, operation, "ec2")
        rack.power("new", "off")

    def part_proxy_bios(self):
        machine = self.discovered("guest", "bios")
        self.asks("guest", machine, self.installed("guest", machine, "nocloud-http"), "nocloud-http")
        self.rack.power("guest", "off")

    def part_proxy_uefi(self):
        machine = self.discovered("lodger", "uefi")
        self.asks("lodger", machine, self.installed("lodger", machine, "ec2"), "ec2")
        self.rack.power("lodger", "off")


PARTS = {"relay-bios": RelayedRack, "relay-uefi": RelayedRack, "proxy-bios": ProxiedRack, "proxy-uefi": ProxiedRack}


def tell(kind, parts, images):
    """The parts on one rack. The number that passed, and whether one failed."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="hostler-network.", dir="/tmp"))
    rack = kind(work, images)
    story = Installations(rack)
    try:
        (work / "user-data").write_text("#cloud-config\nwrite_files:\n- path: /etc/from-user-data\n  content: applied\n")
        rack.in_lab("up", "--machines", "0", "--no-power-on")
        rack.connect()
        rack.start()
        for part in parts:
            print(f"\n== {part}", flush=True)
            getattr(story, "part_" + part.replace("-", "_"))()
        return story.passed, False
    except Exception as failure:  # the closing line must come
        print(f"FAIL {failure}", flush=True)
        rack.tell(sys.stdout)
        return story.passed, True
    finally:
        rack.close()
        if not os.environ.get("KEEP"):
            shutil.rmtree(work, ignore_errors=True)


def end(*_):
    """The lab goes down too where somebody ends this, and be it twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = os.environ.get("CACHE_HOME", os.path.expanduser("~/.cache/hostler"))
    options.add_argument("--images", type=pathlib.Path, default=pathlib.Path(cache) / "state/images")
    options.add_argument("parts", nargs="*", choices=[*PARTS, []])
    chosen = options.parse_args()
    check(os.path.exists(HOSTLER), f"{HOSTLER} is not built: make binaries boot-files image")
    signal.signal(signal.SIGTERM, end)
    passed = failed = 0
    for kind in (RelayedRack, ProxiedRack):
        parts = [part for part in chosen.parts or PARTS if PARTS[part] is kind]
        if parts:
            count, has_failed = tell(kind, parts, chosen.images)
            passed, failed = passed + count, failed + has_failed
    print(f"\n{passed} passed, {failed} failed")
    sys.exit(failed)


main()
