"""A lab and a control plane of the test's own, driven as people drive them: by the command line and the API."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTLER = str(ROOT / "out/bin/hostler")
SERVER = "10.77.0.1"


class Failed(Exception):
    """What the test expected did not hold."""


def check(holds, what):
    if not holds:
        raise Failed(what)


def until(seconds, what, holds, pause=0.5):
    """Asks `holds` until it answers something true, which is returned; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(pause)


class Story:
    """What is done with a rack, and how much of it went well so far."""

    def __init__(self, rack):
        self.rack = rack
        self.passed = 0
        self.began = time.monotonic()

    def ok(self, what):
        self.passed += 1
        print(f"PASS {what} [{time.monotonic() - self.began:.0f} s]", flush=True)


class Rack:
    """A lab, a server for it, and their end."""

    def __init__(self, work, images):
        self.work = pathlib.Path(work)
        self.lab = f"e2e{os.getpid()}"
        self.labs = self.work / "labs"
        self.state = self.work / "state"
        self.namespace = f"hostler-{self.lab}"
        self.port = 20000 + os.getpid() % 20000
        self.address = SERVER
        self.policy = "discover"
        self.process = None
        # Several threads kill and start the server: one at a time.
        self.turn = threading.RLock()
        self.local = threading.local()
        self.labs.mkdir(parents=True)
        (self.state / "images").mkdir(parents=True)
        # Links where they can be had, except for what a test damages: see `own_copy`.
        shutil.copytree(images, self.state / "images", copy_function=self._link, dirs_exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.state / "key")], check=True)

    @staticmethod
    def _link(source, target):
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)

    # The command line

    def hostler(self, *arguments, check_status=True, timeout=120):
        done = subprocess.run(
            [HOSTLER, *map(str, arguments)], text=True, capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL)
        if check_status and done.returncode != 0:
            raise Failed(f"hostler {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def admin(self, *arguments, **options):
        return self.hostler(*arguments, "--state-dir", self.state, **options)

    def in_lab(self, verb, *arguments, **options):
        return self.hostler("lab", verb, "--name", self.lab, "--state-dir", self.labs, *arguments, **options)

    def fault(self, verb, *arguments):
        return self.hostler("lab", "fault", verb, "--name", self.lab, "--state-dir", self.labs, *arguments)

    def power(self, node, action):
        return self.in_lab("power", node, action)

    def enter(self, *command, check_status=True, timeout=120, **options):
        """A program on the rack's network."""
        return subprocess.run(
            ["ip", "netns", "exec", self.namespace, *map(str, command)], check=check_status, text=True,
            capture_output=True, timeout=timeout, **options)

    def status(self):
        """What the lab says of itself, by its control socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.connect(str(self.labs / self.lab / "lab.sock"))
            line.sendall(b'{"verb":"status"}\n')
            text = b""
            while not text.endswith(b"\n"):
                part = line.recv(65536)
                if not part:
                    break
                text += part
        return json.loads(text)

    def disk(self, node):
        return self.labs / self.lab / "machines" / node / "disk0.raw"

    # The server

    def networks(self):
        """The options that say where it serves: on the machines' own wire."""
        return ["--lab", self.lab, "--address", f"{self.address}/24", "--policy", self.policy]

    def start(self, *options):
        with self.turn:
            log = open(self.state / "serve.log", "ab")
            self.process = subprocess.Popen(
                [HOSTLER, "serve", "--state-dir", str(self.state), "--boot-files", str(ROOT / "out/boot"), *self.networks(),
                 "--api-port", str(self.port), *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            log.close()
            until(60, "hostler serve answers", self.answers, pause=0.1)

    def answers(self):
        check(self.process.poll() is None, f"hostler serve has ended with {self.process.returncode}")
        try:
            return self.get("/v1/status") is not None
        except (OSError, http.client.HTTPException, ValueError):
            return False

    def kill(self):
        """kill -9."""
        with self.turn:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        with self.turn:
            if self.process and self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(20)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
                    raise Failed("hostler serve did not end within 20 s of SIGTERM")

    # The API

    def request(self, method, path, body=None):
        login = json.loads((self.state / "admin.json").read_text())
        connection = getattr(self.local, "connection", None)
        if connection is None:
            trust = ssl.create_default_context(cadata=login["ca"])
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=trust, timeout=30)
            self.local.connection = connection
        try:
            connection.request(
                method, path, body=None if body is None else json.dumps(body),
                headers={"Authorization": f"Bearer {login['token']}", "Content-Type": "application/json"})
            reply = connection.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self.local.connection = None
            raise
        return reply.status, json.loads(text) if text else None

    def get(self, path):
        status, value = self.request("GET", path)
        check(status == 200, f"GET {path}: {status} {value}")
        return value

    def patiently(self, path):
        """A GET that outlasts a server that is being killed and started."""
        def ask():
            try:
                return self.get(path)
            except (OSError, http.client.HTTPException, ValueError):
                return None
        return until(120, f"GET {path}", ask, pause=0.05)

    def machines(self):
        return self.patiently("/v1/machines?limit=1000")["items"]

    def machine_of(self, node):
        """The record's machine with the MAC address of a lab machine; None where it has none."""
        mac = self.mac(node)
        return next((m for m in self.machines() if any(port["mac"] == mac for port in m["interfaces"])), None)

    def mac(self, node):
        for line in self.in_lab("status").stdout.splitlines():
            words = line.split()
            if words and words[0] == node:
                return words[2]
        raise Failed(f"the lab has no {node}")

    def machine(self, identity):
        return self.patiently(f"/v1/machines/{identity}")

    def operation(self, identity):
        return self.patiently(f"/v1/operations/{identity}")

    def installs_of(self, machine):
        operations = self.patiently("/v1/operations?limit=1000")["items"]
        return [o for o in operations if o["machine"] == machine and o["kind"] == "install"]

    def install(self, machine, hostname, *more):
        # Nobody kills the server while it is being asked: what the answer would have been is another test's question.
        with self.turn:
            done = self.admin(
                "machine", "install", machine, "--image", "debian-12", "--hostname", hostname, "--ssh-key",
                f"{self.state / 'key'}.pub", "--user-data", self.work / "user-data", "--yes", "--no-wait", *more)
        return next(word.strip(".,:") for word in done.stdout.split() if word.startswith("op-"))

    def ended(self, operation, seconds=900):
        return until(seconds, f"{operation} ends", lambda: (o := self.operation(operation))["state"] not in ("waiting", "running", "undoing") and o)

    # What is installed

    def run(self, machine, *command, timeout=60):
        """The output of a command on an installed machine, over SSH with the key that its user-data names."""
        return self.run_as("debian", self.machine(machine)["observed"]["address"], *command, timeout=timeout)

    def run_as(self, user, address, *command, timeout=60):
        done = self.enter(
            "ssh", "-i", self.state / "key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
            "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", f"{user}@{address}",
            *command, check_status=False, timeout=timeout)
        return done.stdout.strip() if done.returncode == 0 else None

    def until_it_says(self, machine, expected, *command, seconds=240):
        """The system may be busy with its first boot, or on its way up."""
        until(seconds, f"{machine} answers {expected!r} to {' '.join(command)}", lambda: self.run(machine, *command) == expected, pause=2)

    # The end

    def close(self):
        try:
            self.stop()
        finally:
            self.in_lab("down", check_status=False)

    def tell(self, out):
        """What is known, for whoever has to find out why a test failed."""
        for path in [self.state / "serve.log", *sorted(self.labs.glob("*/machines/*/console.log"))]:
            if path.exists():
                text = path.read_bytes()[-4000:].decode(errors="replace")
                print(f"--- {path}\n" + "".join(c for c in text if c == "\n" or c.isprintable()), file=out)
        try:
            print(self.admin("operation", "list", check_status=False, timeout=20).stdout, file=out)
            print(self.admin("event", "list", check_status=False, timeout=20).stdout, file=out)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"the server could not be asked: {error}", file=out)
