"""An honest machine: it boots as firmware, as iPXE, as Hostler's agent and as the installed system do, with a kernel of its
own namespace beneath, and measures how long that takes. A neighbour is a machine whose owner means no good."""
import http.client
import json
import time
import urllib.parse

import paths  # noqa: F401: makes the project's scripts importable
import tcp
import wire
from enclosure import Namespace, until
from metadata_rack import sh
from played_machine import Astray, Machine as Played


class Refused(Exception):
    """An answer other than a 2xx; `status` 0 where the connection was cut off."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:500]!r}")
        self.status, self.body = status, body


class Host(Played):
    """A namespace with a port on a bridge, and a machine played in it."""

    def __init__(self, scene, name, mac, wire_name="rack0", namespace=None, server=None, prefix=None):
        self.scene, self.name = scene, name
        self.server = server or scene.ADDRESS
        self.prefix = prefix or scene.PREFIX
        super().__init__(f"http://{self.server}:8080", mac)
        self.serial = f"DISK-{name}"
        self.ns = scene.netns(name)
        self.plug(namespace or scene.server_ns, wire_name)
        self.space = Namespace(name)
        self.port = wire.Port(self.space)
        self.address = None

    def plug(self, namespace, wire_name):
        peer = f"p-{self.name}"[:15]
        sh("ip", "link", "add", peer, "netns", namespace, "type", "veth", "peer", "name", "eth0", "netns", self.ns, "address", self.mac)
        sh("ip", "-n", namespace, "link", "set", peer, "master", wire_name, "up")
        sh("ip", "-n", self.ns, "link", "set", "eth0", "up")

    # The network

    def lease(self, who=wire.IPXE, **more):
        """An address by DHCP; None: nobody gave one."""
        reply = wire.lease(self.port, self.mac, who, **more)
        if reply:
            self.take(reply.address)
        return reply

    def take(self, address):
        """Has the address, no matter who gave it."""
        if address != self.address:
            sh("ip", "-n", self.ns, "addr", "flush", "dev", "eth0")
            sh("ip", "-n", self.ns, "addr", "add", f"{address}/{self.prefix}", "dev", "eth0")
            sh("ip", "-n", self.ns, "route", "replace", "169.254.169.254/32", "via", self.server, check=False)
        self.address = address
        self.port.send(wire.arp(1, self.mac, address, self.server))

    def become(self, mac):
        """Another MAC address, as anybody gives himself one."""
        sh("ip", "-n", self.ns, "link", "set", "eth0", "address", mac)
        self.mac = mac
        if self.address:
            self.port.send(wire.arp(1, mac, self.address, self.server))

    def cable(self, is_in):
        """Out: nobody answers for its addresses, and it hears nothing."""
        sh("ip", "-n", self.ns, "link", "set", "eth0", "up" if is_in else "down")
        if is_in and self.address:
            until("the link", lambda: "LOWER_UP" in sh("ip", "-n", self.ns, "link", "show", "eth0").stdout)
            self.take(self.address)

    def connection(self, seconds=40, host=None, port=None):
        base = urllib.parse.urlsplit(self.base)
        host, port = host or base.hostname, port or base.port
        line = http.client.HTTPConnection(host, port, timeout=seconds)
        line.sock = self.space.socket()
        line.sock.settimeout(seconds)
        line.sock.connect((host, port))
        return line

    def request(self, method, path, body=None, headers=None, seconds=40, host=None, port=None):
        """Status and body."""
        try:
            line = self.connection(seconds, host, port)
            try:
                line.request(method, path, body, headers or {})
                reply = line.getresponse()
                return reply.status, reply.read()
            finally:
                line.close()
        except (OSError, http.client.HTTPException) as failure:
            return 0, str(failure).encode()

    def ask(self, path, body=None, form=None, session=None, seconds=40):
        data = json.dumps(body).encode() if body is not None else urllib.parse.urlencode(form).encode() if form else None
        token = session or self.session
        headers = {"Authorization": "Bearer " + token} if token else {}
        status, text = self.request("GET" if data is None else "POST", path, data, headers, seconds)
        if not 200 <= status < 300:
            raise Refused(status, text)
        return text

    def patient(self, path, body, times=12):
        """As an agent does: it asks again where it is told that it is too fast."""
        for _ in range(times):
            try:
                return self.ask(path, body)
            except Refused as refusal:
                if refusal.status != 429:
                    raise
                time.sleep(2.5)
        return self.ask(path, body)

    def tries(self, path, body=None, **how):
        """Status and body of what may be refused."""
        try:
            return 200, self.ask(path, body, **how)
        except Refused as refusal:
            return refusal.status, refusal.body

    def metadata(self, path, key=None, method="GET"):
        return self.request(method, (f"/k/{key}" if key else "") + path, host="169.254.169.254", port=80, seconds=5)

    # Boots

    def firmware(self, patience=20):
        """From power-on to the boot script; the script's text."""
        self.session = None
        for who in (wire.FIRMWARE, wire.IPXE):
            if not self.lease(who, seconds=patience):
                raise TimeoutError(f"{self.name}: no address within {patience} s")
        return self.script()

    def load(self):
        """What its script names."""
        return sum(len(self.ask(f"/boot/{name}")) for name in ("vmlinuz", "hostler-initrd.img"))

    def boot_into_agent(self, patience=20, **fields):
        """Up to the inventory; the reply to its hello."""
        reply = self.hello(self.firmware(patience), **fields)
        self.inventory()
        return reply

    def hello(self, script=None, **fields):
        """From its boot script to the session that its agent gets."""
        script = script or self.firmware()
        nonce = self.nonce_in(script)
        if not nonce:
            raise Astray(f"the boot script leads elsewhere: {script}")
        self.load()
        reply = json.loads(self.patient("/agent/v1/hello", self.hello_body(nonce, **fields)))
        self.session, self.id = reply["session"], reply["machine"]
        return reply

    def task(self, seconds=40):
        return json.loads(self.ask("/agent/v1/task", {"generation": 0}, seconds=seconds))

    def work(self, kind, seconds=6):
        """The next work of this kind, as its agent asks for it."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                task = self.task(seconds=left)
            except Refused as refusal:
                if refusal.status:
                    raise
                break
            if kind in task["work"]:
                return task
        raise Astray(f"no {kind} came")

    def is_led_to(self):
        """`agent`, `disk` or `refused`: where a boot from the network leads."""
        script = self.firmware()
        return "agent" if self.nonce_in(script) else "disk" if "local disk" in script else "refused"

    def first_boot(self, task, seed, keys=()):
        """The restart into the system, with firmware that asks the network first."""
        if "local disk" not in self.firmware():
            raise Astray("its restart does not lead to its disk")
        self.call_home(task, seed, keys)

    def become_installed(self, **request):
        """Discovered or not, it is installed, and runs; the operation's id."""
        if not self.session:
            self.boot_into_agent()
        operation = self.scene.install(self.id, **request)
        task = self.work("install")
        seed = self.write(task)
        self.first_boot(task, seed)
        return operation["id"]

    def record(self):
        return self.scene.api("GET", f"/v1/machines/{self.id}")

    def operation(self, name):
        return self.scene.api("GET", f"/v1/operations/{name}")

    def as_neighbour(self, mac, address, says=None):
        """Speaks raw frames from its port with another MAC and IP address; with its own its kernel speaks, see `request`."""
        assert address != self.address
        return tcp.Impersonator(wire.Port(self.space), mac, address, self.server, says)
