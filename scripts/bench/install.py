"""Power-on to SSH: installations by Hostler, and the same machine booting the same Debian from its disk.

Installation: a machine that nobody has seen, with an empty disk, is switched on; it boots from the network, is
discovered and inspected, gets the one API call as soon as the record says that it is ready, is written, restarts, and
ends when a login by SSH on the installed system is answered.

Floor: that very machine (processors, memory, disk, firmware, MAC address) with the disk just written, shut down in
good order, its firmware set to boot from nothing but the disk; from power-on to the same login. It is a later boot:
cloud-init has done its first-boot work before. Nothing could bring this Debian up sooner on this machine.

The two take turns, so that noise of the host hits both.
"""
import http.client
import json
import os
import shutil
import ssl
import statistics
import subprocess
import time
import urllib.parse

from dhcp import percentile
from lab import Lab
from wire import CACHE, HOSTLER, ROOT

LIMIT_SECONDS = 900


class Server:
    """`hostler serve` for a lab, with the image that `make image` made."""

    def __init__(self, lab):
        self.lab = lab
        self.state = lab.folder / "state"
        shutil.copytree(CACHE / "state/images", self.state / "images", copy_function=link_or_copy)
        self.log = lab.folder / "serve.log"
        self.child = lab.processes.start([
            HOSTLER, "serve", "--state-dir", str(self.state), "--boot-files", str(ROOT / "out/boot"), "--lab", lab.name,
            "--api-port", str(20_000 + os.getpid() % 20_000), "--address", lab.prefix], stderr=open(self.log, "w"))
        for _ in range(300):
            if (self.state / "admin.json").exists() and subprocess.run(
                    [HOSTLER, "status", "--state-dir", str(self.state)], capture_output=True).returncode == 0:
                self.login()
                return
            if self.child.poll() is not None:
                break
            time.sleep(0.2)
        raise RuntimeError(f"hostler serve does not answer\n{self.log.read_text()[-3000:]}")

    def login(self):
        """The admin's, once the server has written it."""
        saved = json.loads((self.state / "admin.json").read_text())
        server = urllib.parse.urlsplit(saved["server"])
        trust = ssl.create_default_context(cadata=saved["ca"])
        self.connection = http.client.HTTPSConnection(server.hostname, server.port, timeout=30, context=trust)
        self.headers = {"Authorization": f"Bearer {saved['token']}", "Content-Type": "application/json"}

    def ask(self, method, path, body=None):
        """By the API and on one connection: asking must not take the processors from the machine."""
        for attempt in (1, 2):
            try:
                self.connection.request(method, path, body and json.dumps(body), self.headers)
                response = self.connection.getresponse()
                text = response.read().decode()
                break
            except (http.client.HTTPException, OSError):
                # An idle connection that the server has closed.
                self.connection.close()
                if attempt == 2:
                    raise
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {text}")
        return json.loads(text)

    def list(self, path):
        answer = self.ask("GET", path)
        return answer.get("items", answer) if isinstance(answer, dict) else answer

    def machine_with(self, mac):
        return next((one for one in self.list("/v1/machines") if any(port["mac"] == mac for port in one["interfaces"])), None)


def link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def wait_until(condition, seconds, what, pause=0.25):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(pause)
    raise RuntimeError(f"{what}: not within {seconds} s")


def install(server, name, restart):
    """Seconds to the call, to the login, of the processors; the address; the operation."""
    lab = server.lab
    mac = lab.spec(name)["nics"][0]["mac"]
    began = time.monotonic()
    lab.power(name, "on")

    def ready():
        lab.must_run(name)
        machine = server.machine_with(mac)
        return machine if machine and machine["state"] == "ready" else None
    machine = wait_until(ready, LIMIT_SECONDS, f"{name} is discovered")
    called = time.monotonic() - began
    request = {"image": "debian-12", "hostname": name, "sshKeys": [lab.key.with_suffix(".pub").read_text().strip()]}
    server.ask("POST", f"/v1/machines/{machine['id']}/install", {**request, **({"restart": restart} if restart else {})})
    machine = server.ask("GET", f"/v1/machines/{machine['id']}")
    address = machine["observed"]["address"]
    seconds = lab.wait_for_login(name, "debian", address, began + LIMIT_SECONDS, began)
    if seconds is None:
        raise RuntimeError(f"{name} does not answer at {address}\n{lab.console_tail(name)}")
    used = lab.processor_seconds(name)
    found = lab.answers("debian", address, "hostname")
    if (found or "").strip() != name:
        raise RuntimeError(f"{name} calls itself {found}")

    def ended():
        operations = [one for one in server.list("/v1/operations") if one["machine"] == machine["id"] and one["kind"] == "install"]
        return operations[0] if operations and operations[0]["state"] != "running" else None
    operation = wait_until(ended, 120, f"{name}'s installation ends", pause=1)
    if operation["state"] != "succeeded":
        raise RuntimeError(f"{name}'s installation {operation['state']}")
    return called, seconds, used, address, operation


def steps(operation):
    """Seconds of each step that took any."""
    took = {}
    for step in operation["steps"]:
        try:
            took[step["name"]] = (instant(step["finishedAt"]) - instant(step["startedAt"]))
        except (KeyError, TypeError, ValueError):
            continue
    return took


def instant(value):
    if isinstance(value, (int, float)):
        return value / 1000
    from datetime import datetime
    return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()


def shut_down(lab, name):
    """By the power button, so that the next boot has no journal to replay."""
    lab.power(name, "button")
    try:
        wait_until(lambda: lab.is_off(name), 120, f"{name} shuts down", pause=0.5)
    except RuntimeError:
        lab.power(name, "cut")
        return False
    lab.power(name, "off")
    return True


def boot_told(lab, address):
    """What systemd and cloud-init say of where this boot's seconds went."""
    return lab.answers(
        "debian", address, "systemctl is-system-running --wait; systemd-analyze; systemd-analyze critical-chain ssh.service;"
        " systemd-analyze blame | head -25; cloud-init analyze blame | head -25", seconds=120)


def one_round(server, name, firmware, restart, explain, say):
    """An installation and its floor; with `explain` also where the boots' seconds went, asked after the clock stopped."""
    lab = server.lab
    lab.command("add", name, "--firmware", firmware)
    called, seconds, used, address, operation = install(server, name, restart)
    say(f"{name}: installed and up in {seconds:.1f} s (called at {called:.1f} s)")
    told = {"first_boot": boot_told(lab, address)} if explain else {}
    clean = shut_down(lab, name)
    lab.switch_to_disk_only(name)
    began = time.monotonic()
    lab.power(name, "on")
    floor = lab.wait_for_login(name, "debian", address, began + LIMIT_SECONDS, began)
    if floor is None:
        raise RuntimeError(f"{name} does not come up from its disk\n{lab.console_tail(name)}")
    floor_used = lab.processor_seconds(name)
    say(f"{name}: up from its disk in {floor:.1f} s")
    if explain:
        told["later_boot"] = boot_told(lab, address)
    return {
        **told, "install": seconds, "called": called, "floor": floor, "install_processor": used, "floor_processor": floor_used,
        "shut_down_cleanly": clean, "steps": steps(operation),
        "load": os.getloadavg()[0]}


def measure(installs, firmware, restart, accelerator, say, keep):
    """`keep` is given the figures after each round, so that a run that is broken off is worth something."""
    rounds, failures = [], []
    with Lab("bi", "10.77.0.1/24", accelerator) as lab:
        server = Server(lab)
        for number in range(1, installs + 1):
            name = f"bench{number}"
            try:
                rounds.append(one_round(server, name, firmware, restart, not rounds, say))
            except RuntimeError as error:
                # It is told beside the figures; the others' are still worth something.
                say(f"{name}: FAILED: {error}")
                failures.append(str(error))
            try:
                lab.ask("remove", machine=name)
            except RuntimeError:
                pass
            if rounds:
                keep({"unit": "s", "accelerator": lab.accelerator(), "firmware": firmware, "restart": restart or "default",
                      **summary(rounds, failures)})
    if not rounds:
        raise RuntimeError(f"none of {installs} installations can be measured: {failures[0]}")


def summary(rounds, failures):
    result = {"installs": len(rounds) + len(failures), "failures": failures, "rounds": rounds}
    for what in ("install", "floor", "called", "install_processor", "floor_processor"):
        values = sorted(one[what] for one in rounds)
        result[what] = {"p50": statistics.median(values), "p99": percentile(values, 99), "least": values[0]}
    result["ratio"] = {p: result["install"][p] / result["floor"][p] for p in ("p50", "p99")}
    result["processor_ratio"] = result["install_processor"]["p50"] / result["floor_processor"]["p50"]
    return result
