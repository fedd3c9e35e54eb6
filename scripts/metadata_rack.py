"""A wire with a hostler server and machines on it, all in network namespaces: what metadata-clients.py and
bench/metadata.py share. A machine is a namespace with a port on the server's bridge, a real DHCP client, and an agent
that says over HTTP what hostler-init would."""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import secrets
import shutil
import signal
import struct
import socket
import subprocess
import tempfile
import threading
import time

HOSTLER = os.environ.get("HOSTLER", "out/bin/hostler")
DISK_BYTES = 64 << 20


def sh(*command, check=True, **options):
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, **options)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_for(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise RuntimeError(f"{what}: not within {seconds} s")


def connects(namespace, host, port=80):
    """Whether a connection comes about, be it that nothing is ever said on it."""
    code = f"import socket; socket.create_connection(({host!r}, {port}), 3)"
    return sh("ip", "netns", "exec", namespace, "python3", "-c", code, check=False).returncode == 0


class Watcher:
    """A machine's stream of what is said of itself at `url`, and when each line of it came."""

    def __init__(self, machine, url):
        self.lines = []
        self.reader = subprocess.Popen(
            ["ip", "netns", "exec", machine.ns, "curl", "-sN", f"{url}/hostler/v1/self?watch=true"], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=lambda: [self.lines.append((time.monotonic(), line)) for line in self.reader.stdout], daemon=True).start()

    def __enter__(self):
        self.until("data:")
        return self

    def __exit__(self, *_):
        self.reader.kill()
        self.reader.wait()

    def until(self, words):
        """When they came."""
        return wait_for(f"a watcher hears {words}", lambda: next((at for at, line in self.lines if words in line), None))


class Rack:
    ADDRESS = "10.77.0.1"
    PREFIX = 24
    serve_options = ["--no-tls"]
    hostler = HOSTLER

    def __init__(self, settings=None, **network):
        self.tag = str(os.getpid() % 100000)
        self.server_ns = f"hostler-md{self.tag}"
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="hostler-metadata."))
        self.namespaces, self.children = [], []
        self.port = 20000 + os.getpid() % 20000
        self.state = self.work / "state"
        self.network = {"metadata": settings or {}, **network}

    def __enter__(self):
        self.netns(self.server_ns)
        sh("ip", "-n", self.server_ns, "link", "add", "rack0", "address", "02:00:00:00:00:01", "type", "bridge")
        sh("ip", "-n", self.server_ns, "addr", "add", f"{self.ADDRESS}/{self.PREFIX}", "dev", "rack0")
        sh("ip", "-n", self.server_ns, "link", "set", "rack0", "up")
        self.state.mkdir()
        boot = self.work / "boot"
        boot.mkdir()
        for name in ("vmlinuz", "hostler-initrd.img"):
            (boot / name).write_bytes(b"")
        network = {"name": "md", "interface": "rack0", "address": f"{self.ADDRESS}/{self.PREFIX}", "namespace": self.server_ns,
                   "policy": "discover", **self.network}
        (self.state / "hostler.yaml").write_text(json.dumps({"networks": [network]}, ensure_ascii=False))
        return self

    def __exit__(self, *_):
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        for name in self.namespaces:
            sh("ip", "netns", "del", name, check=False)
        shutil.rmtree(self.work, ignore_errors=True)

    def netns(self, name):
        sh("ip", "netns", "add", name)
        self.namespaces.append(name)
        sh("ip", "-n", name, "link", "set", "lo", "up")

    def add_image(self):
        raw = self.work / "image.raw"
        self.make_image_file(raw)
        sh(HOSTLER, "image", "add", "test", raw, "--state-dir", self.state)

    def make_image_file(self, raw):
        # An MBR with one Linux partition (the table at 446, four entries of 16 bytes) and random contents.
        entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", 2048, 6144)
        # Its boot code is a jump to itself: an image without any starts on no BIOS, and is refused.
        raw.write_bytes(b"\xeb\xfe" + bytes(444) + entry + bytes(48) + b"\x55\xaa" + os.urandom((4 << 20) - 512))

    def start(self):
        log = open(self.state / "serve.log", "ab")
        self.server = subprocess.Popen(
            [HOSTLER, "serve", "--config", self.state / "hostler.yaml", "--state-dir", self.state, "--boot-files", self.work / "boot",
             "--api-port", str(self.port), *self.serve_options], stdout=log, stderr=log)
        self.children.append(self.server)
        def answers():
            if self.server.poll() is not None:
                raise RuntimeError("hostler serve has ended:\n" + (self.state / "serve.log").read_text()[-3000:])
            return (self.state / "admin.json").exists() and self.cli("status", check=False).returncode == 0
        wait_for("hostler serve answers", answers)
        self.token = json.loads((self.state / "admin.json").read_text())["token"]

    def stop(self):
        self.server.send_signal(signal.SIGTERM)
        self.server.wait(20)
        self.children.remove(self.server)

    def cli(self, *arguments, check=True):
        done = sh(HOSTLER, *arguments, "--state-dir", self.state, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"hostler {' '.join(map(str, arguments))}: {done.stderr}")
        return done

    def api_connection(self, seconds=30):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)

    def api(self, method, path, body=None):
        connection = self.api_connection()
        connection.request(method, path, None if body is None else json.dumps(body), {"Authorization": f"Bearer {self.token}"})
        reply = connection.getresponse()
        text = reply.read()
        if reply.status >= 300:
            raise RuntimeError(f"{method} {path}: {reply.status} {text.decode()}")
        return json.loads(text) if text else None

    def order(self, path, body):
        """By somebody who was asked what it destroys, and said yes."""
        confirmation = self.api("POST", path + "?dryRun=true", body).get("confirmation")
        return self.api("POST", path + (f"?confirm={confirmation}" if confirmation else ""), body)

    def machine(self, number, **place):
        return Machine(self, number, **place)

    def events(self, kind):
        return [event for event in self.api("GET", "/v1/events?limit=1000")["items"] if event["kind"] == kind]


class Machine:
    """One machine on the wire. `inside(…)` runs a command where it is."""

    def __init__(self, rack, number, namespace=None, bridge="rack0"):
        """At a bridge of the server's namespace, or of another."""
        namespace = namespace or rack.server_ns
        self.rack, self.number = rack, number
        self.ns = f"hostler-md{rack.tag}-{number}"
        self.mac = f"52:54:00:aa:00:{number:02x}"
        self.session = None
        rack.netns(self.ns)
        peer = f"md{number}"
        sh("ip", "link", "add", peer, "netns", namespace, "type", "veth", "peer", "name", "eth0", "netns", self.ns)
        sh("ip", "-n", namespace, "link", "set", peer, "master", bridge, "up")
        sh("ip", "-n", self.ns, "link", "set", "eth0", "address", self.mac)
        sh("ip", "-n", self.ns, "link", "set", "eth0", "up")

    def inside(self, *command, **options):
        return sh("ip", "netns", "exec", self.ns, *command, **options)

    def dhcp(self):
        """A lease by busybox's client, which takes option 121 over option 3 as RFC 3442 wants."""
        script = self.rack.work / "udhcpc.sh"
        script.write_text("""#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr replace "$ip/$mask" dev "$interface"
set -- $staticroutes
while [ $# -ge 2 ]; do ip route replace "$1" via "$2" dev "$interface"; shift 2; done
[ -n "$staticroutes" ] || for r in $router; do ip route replace default via "$r"; done
""")
        script.chmod(0o755)
        self.inside("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-O", "121", "-s", script)
        found = json.loads(self.inside("ip", "-j", "-4", "addr", "show", "dev", "eth0").stdout)
        self.address = found[0]["addr_info"][0]["local"]
        return self.address

    def curl(self, path, *options, method="GET", host="169.254.169.254"):
        """Status and body."""
        done = self.inside("curl", "-s", "-m", "5", "-X", method, "-w", "\n%{http_code}", *options, f"http://{host}{path}", check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def imds_token(self, path="/latest/api/token"):
        status, token = self.curl(path, "-H", "X-aws-ec2-metadata-token-ttl-seconds: 300", method="PUT")
        return (status, ["-H", f"X-aws-ec2-metadata-token: {token.strip()}"])

    # The agent

    def agent(self, verb, body, raw=False):
        options = ["-H", f"Authorization: Bearer {self.session}"] if self.session else []
        if body is not None:
            options += ["-d", json.dumps(body)]
        done = self.inside("curl", "-sS", "-m", "40", "-w", "\n%{http_code}", *options, f"http://{Rack.ADDRESS}:8080{verb}")
        text, _, status = done.stdout.rpartition("\n")
        if int(status) >= 300:
            raise RuntimeError(f"agent {verb}: {status} {text}")
        return json.loads(text) if text else None

    def boot_nonce(self, mac=None):
        script = self.inside("curl", "-s", f"http://{Rack.ADDRESS}:8080/boot/script?mac={mac or self.mac}&platform=bios").stdout
        return next((word.split("=", 1)[1] for word in script.split() if word.startswith("hostler.nonce=")), None)

    def boot(self):
        self.session = None
        self.nonce = self.boot_nonce()
        hello = self.agent("/agent/v1/hello", {
            "nonce": self.nonce, "sessionKey": secrets.token_hex(32), "mac": self.mac, "macs": [self.mac], "firmware": "bios",
            "version": "test"})
        self.session, self.id = hello["session"], hello["machine"]
        self.agent("/agent/v1/inventory", {
            "system": {"vendor": "Acme", "product": "Rackbox 9"}, "firmware": {"mode": "bios"}, "cpus": [],
            "memory": {"totalBytes": 1 << 30, "dimms": []}, "nics": [{"name": "eth0", "mac": self.mac, "link": True}],
            "disks": [{"name": "vda", "serial": f"D{self.number}", "bytes": DISK_BYTES, "kind": "virtual", "removable": False, "logicalBlockBytes": 512}],
            "pci": [], "installations": []})

    def install(self, **request):
        """Up to the restart into the new system. Returns the operation and the drive that it starts with."""
        operation = self.rack.order(f"/v1/machines/{self.id}/install", {"image": "test", "hostname": f"web-{self.number}", **request})
        task = self.agent("/agent/v1/task", {"generation": 0})
        work = self.work = task["work"]["install"]["_0"]
        drive = self.rack.work / f"{operation['id']}.img"
        self.inside("curl", "-sS", "-f", "-o", drive, "-H", f"Authorization: Bearer {self.session}", f"http://{Rack.ADDRESS}:8080{work['seedPath']}")
        assert "sha256:" + hashlib.sha256(drive.read_bytes()).hexdigest() == work["seedDigest"]
        for step in ("choose-disk", "write-image", "write-seed", "boot-order", "restart"):
            reply = self.agent("/agent/v1/report", {
                "operation": task["operation"], "generation": task["generation"], "step": step, "kind": "succeeded",
                "evidence": {"serial": f"D{self.number}"} if step == "choose-disk" else {}})
            assert reply["goOn"], step
        return operation["id"], drive

    def call_home(self, url):
        self.inside("curl", "-sS", "-f", "-d", f"hostname=x&instance_id={url.split('/')[-2]}", url)
        wait_for("the machine runs", lambda: self.rack.api("GET", f"/v1/machines/{self.id}")["state"] == "running")


def read_drive(drive, path):
    return subprocess.run(["mtype", "-i", str(drive), f"::{path}"], check=True, capture_output=True).stdout


def encoded(text):
    return base64.b64encode(text.encode()).decode()


