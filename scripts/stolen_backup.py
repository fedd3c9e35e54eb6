"""The thief and his victim; stolen-backup.sh makes the network and calls it."""
import base64
import hmac
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from played_machine import Machine  # noqa: E402

MAC = "52:54:00:aa:00:01"
BASE = "http://10.78.0.1:8080"


def play(out):
    """In the machine's namespace: boots, is inspected, waits for an installation, does it, and notes all that it was told."""
    machine = Machine(BASE, MAC)
    machine.boot()
    machine.inventory()
    session = machine.session
    task = machine.work("install", time.time() + 60)
    seed = machine.ask(task["work"]["install"]["_0"]["seedPath"]).decode("latin-1")
    pathlib.Path(out).write_text(json.dumps({"session": session, "seed": seed, "operation": task["operation"]}))
    if sys.argv[3:] == ["leave"]:
        return
    machine.done(task, "choose-disk", {"serial": "PLAYED"})
    for step in ["write-image", "write-seed", "boot-order", "restart"]:
        machine.done(task, step)
    machine.session = None
    home = re.search(r"http://[0-9.:]+(/call-home/\S+)", seed)[1]
    machine.ask(home, form={"instance_id": task["operation"], "hostname": "played"})


def ask():
    """In the machine's namespace: one question to the metadata service, its status and its text."""
    method, path, *fields = sys.argv[2:]
    request = urllib.request.Request("http://169.254.169.254" + path, method=method)
    for field in fields:
        request.add_header(*field.split(": ", 1))
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            print(reply.status, reply.read().decode())
    except urllib.error.HTTPError as error:
        print(error.code, "")


if sys.argv[1:2] == ["play"]:
    sys.exit(play(sys.argv[2]))
if sys.argv[1:2] == ["ask"]:
    sys.exit(ask())

HOSTLER, FORMER, SPACE, WORK = (os.environ[name] for name in ["HOSTLER", "FORMER", "SPACE", "WORK"])
WORK = pathlib.Path(WORK)
passed = failed = 0
# The same for each server: the login of the first start names it.
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]


def check(what, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(("ok    " if good else "FAIL  ") + what + ("" if good else f"   {detail}"), flush=True)


def run(*arguments):
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=120)


def wait_for(what, ready, seconds=60):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if ready():
            return
        time.sleep(0.2)
    raise SystemExit(f"{what}: waited {seconds} s")


def in_machine(*arguments):
    return ["ip", "netns", "exec", SPACE + "-m", sys.executable, __file__, *map(str, arguments)]


def metadata(path, *fields, method="GET"):
    status, _, text = run(*in_machine("ask", method, path, *fields)).stdout.partition(" ")
    return int(status or 0), text.strip()


class Server:
    """A server on a state directory."""

    def __init__(self, binary, state):
        self.binary, self.state, self.log = binary, state, WORK / "serve.log"
        self.url = f"https://localhost:{PORT}"
        self.process = subprocess.Popen(
            [binary, "serve", "--config", WORK / "hostler.yaml", "--state-dir", state, "--boot-files", WORK / "boot", "--api-port", str(PORT)],
            stdout=open(self.log, "a"), stderr=subprocess.STDOUT)
        wait_for("the server", self.is_up)

    def is_up(self):
        if self.process.poll() is not None:
            raise SystemExit("the server ended:\n" + self.log.read_text()[-4000:])
        if not (self.state / "admin.json").exists():
            return False
        self.login = json.loads((self.state / "admin.json").read_text())
        self.tls = ssl.create_default_context(cadata=self.login["ca"])
        try:
            self.api("/v1/status")
            return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def api(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", "Bearer " + self.login["token"])
        with urllib.request.urlopen(request, context=self.tls, timeout=30) as reply:
            return json.loads(reply.read() or b"{}")

    def order(self, path, body):
        """By somebody who was asked what it destroys, and said yes. A former server asked nobody."""
        try:
            confirmation = self.api(path + "?dryRun=true", body).get("confirmation")
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            confirmation = None
        return self.api(path + (f"?confirm={confirmation}" if confirmation else ""), body)

    def cli(self, *arguments):
        environment = {**os.environ, "HOSTLER_STATE_DIR": str(self.state)}
        return subprocess.run(
            [self.binary, *map(str, arguments), "--state-dir", str(self.state)], capture_output=True, text=True,
            timeout=120, env=environment)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


def derived(secret, machine, operation):
    """The keys as the former version computed them."""
    code = hmac.digest(secret, b"metadata", "sha256")
    return [hmac.digest(code, f"{kind}|{machine}|{operation}".encode(), "sha256").hex() for kind in ["instance-key", "seed-key"]]


def steal(data, machine, operation, boot, wanted):
    """Every 32 bytes of a file are tried as the secret that everything hangs on. What of `wanted` comes out?"""
    found = set()
    for start in range(len(data) - 31):
        secret = data[start:start + 32]
        if len(set(secret)) <= 12:
            continue
        made = derived(secret, machine, operation) + [hmac.digest(secret, f"session|{machine}|{boot}".encode(), "sha256").hex()]
        found |= set(made) & set(wanted)
    return found


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
state = WORK / "state"
state.mkdir(mode=0o700)
(WORK / "boot").mkdir()
for name in ["vmlinuz", "hostler-initrd.img"]:
    (WORK / "boot" / name).write_bytes(b"played")
(WORK / "hostler.yaml").write_text(f"networks:\n  - interface: rack0\n    address: 10.78.0.1/24\n    mode: proxy\n    discovery: true\n    namespace: {SPACE}\n")
entry = bytes([0, 0, 2, 0, 0x83, 0, 2, 0]) + (2048).to_bytes(4, "little") + (2048).to_bytes(4, "little")
(WORK / "disk.raw").write_bytes((b"\xeb\xfe" + bytes(444) + entry + bytes(48) + b"\x55\xaa").ljust(2 << 20, b"\0"))
added = run(FORMER or HOSTLER, "image", "add", "played", WORK / "disk.raw", "--state-dir", state)
assert added.returncode == 0, added.stderr

server = Server(FORMER or HOSTLER, state)
try:
    def install(text, *how):
        out = WORK / "played.json"
        out.unlink(missing_ok=True)
        player = subprocess.Popen(in_machine("play", out, *how))
        wait_for("the machine", lambda: any(m["state"] in ("ready", "running") and m["observed"].get("agent")
                                            for m in server.api("/v1/machines")["items"]))
        machine = server.api("/v1/machines")["items"][0]["id"]
        data = base64.b64encode(text.encode()).decode()
        server.order(f"/v1/machines/{machine}/install", {"image": "played", "userData": data})
        assert player.wait(60) == 0
        told = json.loads(out.read_text())
        seed = told["seed"]
        secrets = [text.strip().split("# ")[1], data[:-4], told["session"].split(".")[1],
                   re.search(r"/call-home/[^/]+/([0-9a-f]{64})", seed)[1]] + re.findall(r"\bm-[0-9a-z]+\.([0-9a-f]{64})", seed)
        return machine, told, secrets

    # One installation that is cancelled, one that runs; an agent's session; user-data for the next.
    machine, told, plain = install("#!/bin/sh\n# the user-data of the first installation\n", "leave")
    server.api(f"/v1/operations/{told['operation']}/cancel", {}, "POST")
    machine, told, more = install("#!/bin/sh\n# the user-data of the second installation\n")
    plain += more
    wait_for("the system", lambda: server.api(f"/v1/machines/{machine}")["state"] == "running")
    record = server.api(f"/v1/machines/{machine}")
    key = re.search(r"\bm-[0-9a-z]+\.[0-9a-f]{64}", told["seed"])[0]
    stored = "#!/bin/sh\n# the user-data of the next installation\n"
    server.api(f"/v1/machines/{machine}", {"userData": {"content": base64.b64encode(stored.encode()).decode(), "access": "always"}}, "PATCH")
    plain += ["the user-data of the next installation", base64.b64encode(stored.encode()).decode()[:-4]]
    # What the thief may hope for: the keys of the system that runs.
    operation, boot = record["installed"]["operation"], "none"
    wanted = [part.split(".")[1] for part in re.findall(r"\bm-[0-9a-z]+\.[0-9a-f]{64}", told["seed"])]
    check("the system's key opens its metadata", metadata(f"/k/{key}/latest/meta-data/instance-id") == (200, operation))
    token = metadata(f"/k/{key}/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 600", method="PUT")[1]
    use = "X-aws-ec2-metadata-token: " + token
    check("and a token got with it does", metadata("/latest/user-data", use)[0] == 200)

    if FORMER:
        copy = WORK / "former.db"
        assert server.cli("backup", copy).returncode == 0
        data = copy.read_bytes()
        check("in a backup of the former version the thief finds user-data of an installation that has ended", plain[0].encode() in data
              or plain[1].encode() in data)
        check("and makes the key of the system that runs", steal(data, machine, operation, boot, wanted) & {key.split(".")[1]})
        server.stop()
        server = Server(HOSTLER, state)
        check("its store opens", server.api(f"/v1/machines/{machine}")["state"] == "running")
        check("the system's key opens its metadata as before", metadata(f"/k/{key}/latest/meta-data/instance-id") == (200, operation))
        check("and its stored user-data", metadata(f"/k/{key}/latest/user-data")[1] == stored.strip())
        check("a token of before asks for a new one", metadata("/latest/user-data", use)[0] == 401)

    # The thief.
    (WORK / "passphrase").write_text("six words that nobody else has\n")
    backups = {"backup": ["--without-keys"], "backup with keys": ["--passphrase-file", WORK / "passphrase"]}
    for name, more in backups.items():
        taken = server.cli("backup", WORK / f"{name}.db", *more)
        check(f"{name}: taken", taken.returncode == 0, taken.stderr)
        data = (WORK / f"{name}.db").read_bytes()
        check(f"{name}: no secret stands in it ({len(plain)} looked for)", not [text for text in plain if text.encode() in data])
        for file in ["seal.key", "identity.key", "vault.key"]:
            check(f"{name}: nor {file}", (state / file).read_bytes() not in data)
        check(f"{name}: none can be made of it ({len(data)} bytes tried)", not steal(data, machine, operation, boot, wanted))
    server.stop()
    data = b"".join(path.read_bytes() for path in state.glob("hostler.db*"))
    check("the database itself has none readable either", not [text for text in plain if text.encode() in data])
    check("and the keys cannot be made of it", not steal(data, machine, operation, boot, wanted))

    # A start without the key.
    (state / "seal.key").rename(WORK / "seal.key")
    refused = run(HOSTLER, "serve", "--state-dir", state, "--api-port", "1")
    check("without seal.key the server says so and what to do",
          refused.returncode and "seal-key-missing" in refused.stderr and "hostler restore" in refused.stderr, refused.stderr)
    (WORK / "seal.key").rename(state / "seal.key")

    # Restores on hosts that have none of the keys.
    def restore(name, file, *more):
        target = WORK / name
        target.mkdir(mode=0o700)
        (target / "images").symlink_to(state / "images")
        return target, run(HOSTLER, "restore", WORK / file, "--state-dir", target, "--yes", *more)

    (WORK / "wrong").write_text("another passphrase of no use\n")
    other, done = restore("wrong-host", "backup with keys.db", "--passphrase-file", WORK / "wrong")
    check("a wrong passphrase is refused before anything is written", done.returncode and "passphrase-wrong" in done.stderr
          and not list(other.glob("*.db")), done.stderr)
    (WORK / "cut.db").write_bytes((WORK / "backup with keys.db").read_bytes()[:-4096])
    other, done = restore("cut-host", "cut.db", "--passphrase-file", WORK / "passphrase")
    check("a cut backup too", done.returncode and not list(other.glob("*.db")), done.stderr)
    other, done = restore("bare-host", "backup.db", "--passphrase-file", WORK / "passphrase")
    check("a backup without keys says so", done.returncode and "backup-without-keys" in done.stderr, done.stderr)

    new, done = restore("new-host", "backup with keys.db")
    check("without the passphrase it says what does not open and what to do",
          done.returncode == 0 and f"the user-data of {machine}" in done.stdout and "--passphrase-file" in done.stdout
          and "the issuer's keys" in done.stdout, done.stdout + done.stderr)
    server = Server(HOSTLER, new)
    check("the command line of the new host works, by a CA of its own", server.cli("status").returncode == 0
          and (new / "tls/ca.pem").read_bytes() != (state / "tls/ca.pem").read_bytes())
    check("the server starts, and the system's key is known", metadata(f"/k/{key}/latest/meta-data/instance-id") == (200, operation))
    check("its user-data is not there, and an event says so", metadata(f"/k/{key}/latest/user-data")[0] == 404
          and any(e["kind"] == "machine.user-data-lost" for e in server.api("/v1/events?limit=1000")["items"]))
    check("it gets an identity, of new keys", metadata(f"/k/{key}/hostler/v1/token?audience=a")[0] == 200)
    server.stop()

    whole, done = restore("whole-host", "backup with keys.db", "--passphrase-file", WORK / "passphrase")
    check("with it nothing is left out", done.returncode == 0 and "do not open" not in done.stdout, done.stdout + done.stderr)
    check("and the key files are in place", all((whole / file).read_bytes() == (state / file).read_bytes()
                                               and (whole / file).stat().st_mode & 0o777 == 0o600
                                               for file in ["seal.key", "identity.key", "vault.key", "tls/ca.key", "tls/ca.pem"]))
    server = Server(HOSTLER, whole)
    check("the command line of the new host works, and by the old CA", server.cli("status").returncode == 0)
    check("the system's key and its user-data are there", metadata(f"/k/{key}/latest/user-data") == (200, stored.strip()))
    fresh = metadata(f"/k/{key}/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 600", method="PUT")
    check("what it notices is that it needs a new token", metadata("/latest/user-data", use)[0] == 401 and fresh[0] == 200)
finally:
    server.stop()
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
