#!/usr/bin/env python3
"""The server with what packaging/hostler.service leaves it, on a wire with machines, in network namespaces of its own:
DHCP, TFTP, HTTP boot, an agent, metadata, a BMC by ipmitool with its console, an operator's own program, a qcow2 image.
Then started by hand as root, which gives up the same. Needs root; HOSTLER names the program (.build/debug/hostler).
"""
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import sys
import threading
import time

os.environ.setdefault("HOSTLER", ".build/debug/hostler")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import metadata_rack  # noqa: E402
from metadata_rack import sh, wait_for  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
UNIT = ROOT / "packaging/hostler.service"
HOSTLER = pathlib.Path(os.environ["HOSTLER"]).resolve()
# No user of this host; files that the server made are told by it.
UID = 61213
KEPT = 1 << 10 | 1 << 12 | 1 << 13
SYS_ADMIN = 1 << 21
passed = 0


def check(what, holds, detail=""):
    global passed
    if not holds:
        raise SystemExit(f"not ok - {what}\n{detail}")
    passed += 1
    print(f"ok {passed} - {what}", flush=True)


class Contained(metadata_rack.Rack):
    """The wire of the metadata tests, with a server that is in the namespace as a whole and started another way."""

    def __enter__(self):
        super().__enter__()
        network = {"name": "md", "interface": "rack0", "address": f"{self.ADDRESS}/24", "policy": "discover"}
        self.etc = self.work / "etc"
        (self.etc / "power.d").mkdir(parents=True)
        (self.etc / "hostler.yaml").write_text(json.dumps({"api": {"port": self.port, "tls": False}, "networks": [network]}))
        plug = self.etc / "power.d/plug"
        plug.write_text("#!/bin/sh\n[ \"$1\" = status ] && grep CapEff /proc/self/status >&2 && echo on\nexit 0\n")
        for path in (self.work, self.etc, self.etc / "power.d", plug, self.work / "boot"):
            path.chmod(0o755)
        # Names, and an authority, that the image server's are.
        (self.work / "hosts").write_text("127.0.0.1 localhost\n127.0.0.1 mirror.test\n127.0.0.1 other.test\n")
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=mirror.test",
           "-addext", "subjectAltName=DNS:mirror.test", "-keyout", self.work / "tls.key", "-out", self.work / "tls.pem")
        (self.state / "hostler.yaml").unlink()
        (self.work / "boot/undionly.kpxe").write_bytes(os.urandom(70_000))
        # The state directory as systemd hands it over.
        os.chown(self.state, UID, UID)
        self.state.chmod(0o700)
        return self

    def spawn(self, *command):
        log = open(self.work / "serve.log", "ab")
        self.server = subprocess.Popen(["ip", "netns", "exec", self.server_ns, *map(str, command)], stdout=log, stderr=log)
        self.children.append(self.server)

    def start(self, *command):
        self.spawn(*command)

        def answers():
            if self.server.poll() is not None:
                raise SystemExit("hostler serve has ended:\n" + (self.work / "serve.log").read_text()[-3000:])
            return (self.state / "admin.json").exists() and self.cli("status", check=False).returncode == 0

        wait_for("hostler serve answers", answers)
        self.token = json.loads((self.state / "admin.json").read_text())["token"]

    def start_as_unit(self, *drop_ins):
        places = {HOSTLER: "/usr/bin/hostler", self.etc: "/etc/hostler", self.work / "boot": "/usr/share/hostler/boot", self.state: "/var/lib/hostler",
                  self.work / "hosts": "/etc/hosts", self.work / "tls.pem": "/etc/ssl/certs/ca-certificates.crt"}
        self.start(sys.executable, ROOT / "scripts/as_unit.py", UNIT, UID, *[f"--place={source}={target}" for source, target in places.items()],
                   *[f"--drop-in={path}" for path in drop_ins])

    def inside(self, *command, **options):
        return sh("ip", "netns", "exec", self.server_ns, *command, **options)

    def cli(self, *arguments, check=True):
        done = self.inside(HOSTLER, *arguments, "--state-dir", self.state, check=False, env={**os.environ, "HOSTLER_BMC_PASSWORD": "hostler-lab"})
        if check and done.returncode != 0:
            raise SystemExit(f"hostler {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}\n{(self.work / 'serve.log').read_text()[-3000:]}")
        return done

    def api(self, method, path, body=None):
        options = [] if body is None else ["-d", json.dumps(body)]
        text = self.inside("curl", "-sS", "-m", "30", "-X", method, "-H", f"Authorization: Bearer {self.token}", "-w", "\n%{http_code}", *options,
                           f"http://127.0.0.1:{self.port}{path}").stdout
        text, _, status = text.rpartition("\n")
        if int(status) >= 300:
            raise RuntimeError(f"{method} {path}: {status} {text}")
        return json.loads(text) if text else None


def powers(pid):
    """What each thread of a process has; one line where all have the same."""
    names = ("Uid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
    found = set()
    for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        found.add(tuple(int(fields[name].split()[0], 16 if name.startswith("Cap") else 10) for name in names))
    return [dict(zip(names, values)) for values in found]


def expect_powers(what, pid, uid, kept, ambient=0):
    wanted = {"Uid": uid, "CapInh": kept, "CapPrm": kept, "CapEff": kept & ~ambient, "CapBnd": kept, "CapAmb": ambient, "NoNewPrivs": 1}
    found = powers(pid)
    check(what, found == [wanted], f"wanted {wanted}\nfound {found}")


def wire(rack):
    machine = rack.machine(1)
    check("DHCP gives a lease", machine.dhcp().startswith("10.77.0."))
    machine.inside("curl", "-sS", "-f", "-o", rack.work / "by-tftp", f"tftp://{rack.ADDRESS}/undionly.kpxe")
    check("TFTP gives the boot program", (rack.work / "by-tftp").read_bytes() == (rack.work / "boot/undionly.kpxe").read_bytes())
    machine.boot()
    found = rack.api("GET", f"/v1/machines/{machine.id}")
    check("a boot script, a hello and an inventory bring the machine into the record", found["state"] == "ready", json.dumps(found))
    status, text = machine.curl("/hostler/v1/self", "-H", "Metadata: true")
    check("the metadata service has its address on the interface", status in (200, 401, 403), f"{status} {text}")
    return machine


def bmcs(rack, machine):
    out = rack.work / "bmc.log"
    bmc = subprocess.Popen(["ip", "netns", "exec", rack.server_ns, str(HOSTLER), "lab", "bmc", "simulate", "--port", "0", "--plain", "--ipmi-port", "623"],
                           stdout=open(out, "w"), stderr=subprocess.STDOUT)
    rack.children.append(bmc)
    wait_for("a virtual BMC", lambda: "ipmi " in out.read_text())
    rack.cli("bmc", "add", "127.0.0.1", "--kind", "ipmi", "--user", "admin", "--machine", machine.id)
    rack.cli("machine", "power", "on", machine.id)
    check("a BMC is switched by ipmitool", "on" in rack.cli("machine", "power", "status", machine.id).stdout)
    console = lambda: rack.cli("machine", "console", machine.id, "--log", check=False).stdout  # noqa: E731
    wait_for("a console", lambda: "console connected" in console())
    check("its serial console is held at a terminal of its own", True)
    other = rack.machine(2)
    other.dhcp()
    other.boot()
    rack.cli("bmc", "add", "plug", "--kind", "exec", "--machine", other.id)
    check("an operator's own program is run", "on" in rack.cli("machine", "power", "status", other.id).stdout)
    tools = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if comm(pid) == "ipmitool" and owner(pid) == UID]
    check("ipmitool runs as the server's user", bool(tools))
    found = [{key: each[key] for key in ("CapPrm", "CapEff", "CapAmb", "NoNewPrivs")} for each in powers(tools[0])]
    check("and has no capability", found == [{"CapPrm": 0, "CapEff": 0, "CapAmb": 0, "NoNewPrivs": 1}], str(found))


def comm(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def owner(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def image(rack):
    served = rack.work / "served"
    served.mkdir()
    raw = rack.work / "image.raw"
    rack.make_image_file(raw)
    sh("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, served / "image.qcow2")
    sh("qemu-img", "create", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", served / "thief.qcow2")
    web = subprocess.Popen(["ip", "netns", "exec", rack.server_ns, sys.executable, __file__, "serve-images", str(served), str(rack.work)],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rack.children.append(web)
    wait_for("a web server", lambda: rack.inside("curl", "-skf", "-o", "/dev/null", "https://127.0.0.1:8098/image.qcow2", check=False).returncode == 0)
    plain, secure = "http://mirror.test:8099", "https://mirror.test:8098"
    for number, (url, code, what) in enumerate([
            (f"{plain}/image.qcow2", None, "taken"),
            (f"{plain}/thief.qcow2", "image-refused", "refused, where it stands on another file"),
            (f"{plain}/to/{secure}/image.qcow2", None, "taken from where its host leads, by TLS and by name"),
            (f"{secure}/to/{plain}/image.qcow2", "download-redirect-refused", "not fetched, where https leads to http"),
            (f"{secure}/to/https://other.test:8098/image.qcow2", "download-redirect-refused", "not fetched from another host that is an inner one"),
            ("https://other.test:8098/image.qcow2", "download-failed", "not fetched from a server whose certificate is another's")]):
        rack.api("POST", "/v1/images", {"name": f"image-{number}", "url": url})
        reply = wait_for("the import ends", lambda: (found := rack.api("GET", f"/v1/images/image-{number}"))["state"] != "importing" and found, 30)
        check(f"a qcow2 image by URL is {what}", reply.get("problem", {}).get("code") == code and (code or reply["state"] == "ready"), json.dumps(reply))


def serve_images(folder, keys):
    """The image server: by HTTP and by TLS. /to/URL leads to that URL."""
    os.chdir(folder)

    class Answers(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if not self.path.startswith("/to/"):
                return super().do_GET()
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.send_header("Content-Length", "0")
            self.end_headers()

    secure = http.server.ThreadingHTTPServer(("127.0.0.1", 8098), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{keys}/tls.pem", f"{keys}/tls.key")
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    threading.Thread(target=secure.serve_forever, daemon=True).start()
    http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Answers).serve_forever()


def main():
    if os.geteuid() != 0:
        raise SystemExit("contained.py needs root")
    began = time.monotonic()
    with Contained() as rack:
        rack.start_as_unit()
        pid = rack.server.pid
        expect_powers("under the unit, every thread has three capabilities and no way to more", pid, UID, KEPT)
        machine = wire(rack)
        bmcs(rack, machine)
        image(rack)
        strangers = [path for path in rack.state.rglob("*") if path.lstat().st_uid != UID]
        check("all that it wrote is its own", not strangers, str(strangers))
        readable = [path for path in rack.state.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]
        check("and nobody else may read it", not readable, str(readable))
        check("root reads the admin's login on this host", rack.cli("status").returncode == 0)
        rack.stop()
        # By hand, as root, on the same state: it becomes the user that the state belongs to.
        rack.start(HOSTLER, "serve", "--config", rack.etc / "hostler.yaml", "--state-dir", rack.state, "--boot-files", rack.work / "boot")
        expect_powers("started by hand as root, it runs as the owner of its state, with the same", rack.server.pid, UID, KEPT)
        check("and serves as before", rack.machine(3).dhcp().startswith("10.77.0."))
        raw = rack.work / "image.raw"
        raw.chmod(0o644)
        rack.cli("image", "add", "by-root", raw)
        strangers = [path for path in rack.state.rglob("*") if path.lstat().st_uid != UID]
        check("an image that root adds belongs to the server", not strangers, str(strangers))
        rack.stop()
        # On a state that is root's, it stays root in name only. With a namespace it keeps what entering one takes.
        for path in [rack.state, *rack.state.rglob("*")]:
            os.lchown(path, 0, 0)
        rack.start(HOSTLER, "serve", "--config", rack.etc / "hostler.yaml", "--state-dir", rack.state, "--boot-files", rack.work / "boot")
        expect_powers("with a state that belongs to root, it has the same, and user 0 is a user like others", rack.server.pid, 0, KEPT)
        rack.stop()
        (rack.etc / "hostler.yaml").write_text(json.dumps({
            "api": {"port": rack.port, "tls": False}, "bmcNamespace": rack.server_ns,
            "networks": [{"name": "md", "interface": "rack0", "address": f"{rack.ADDRESS}/24", "namespace": rack.server_ns, "policy": "discover"}]}))
        rack.start(HOSTLER, "serve", "--config", rack.etc / "hostler.yaml", "--state-dir", rack.state, "--boot-files", rack.work / "boot")
        expect_powers("with a namespace it keeps CAP_SYS_ADMIN, in effect for no thread", rack.server.pid, 0, KEPT | SYS_ADMIN, SYS_ADMIN)
        check("and serves the machines there", rack.machine(4).dhcp().startswith("10.77.0."))
        check("and its BMCs by ipmitool", "on" in rack.cli("machine", "power", "status", machine.id).stdout)
        rack.stop()
        # The same under the unit, with the lines that docs/security-hardening.md gives for it.
        lines = (ROOT / "docs/security-hardening.md").read_text().split("```ini\n")[1].split("```")[0]
        (rack.work / "namespace.conf").write_text(lines)
        for path in [rack.state, *rack.state.rglob("*")]:
            os.lchown(path, UID, UID)
        rack.start_as_unit(rack.work / "namespace.conf")
        expect_powers("under the unit with the drop-in for a namespace, the same", rack.server.pid, UID, KEPT | SYS_ADMIN, SYS_ADMIN)
        check("machines are served there", rack.machine(5).dhcp().startswith("10.77.0."))
        check("and BMCs, by ipmitool", "on" in rack.cli("machine", "power", "status", machine.id).stdout)
        rack.stop()
    print(f"{passed} passed in {time.monotonic() - began:.0f} s")


if sys.argv[1:2] == ["serve-images"]:
    serve_images(*sys.argv[2:])
else:
    main()
