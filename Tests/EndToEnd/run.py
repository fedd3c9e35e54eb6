#!/usr/bin/env python3
"""The main job, end to end: real machines (QEMU), real firmware, real Debian, other people's clients.

    run.py [--images DIR] [PART …]

DIR holds an image store with debian-12. Parts, all of them in this order unless some are named (later
ones need the machines that `discovery` brings, and `rescue` and `wipe` running ones): clients, discovery, damage,
kills, again, backup, rescue, wipe, leave. `installs`, only when it is named, is `damage` and `kills` without the damage.
"""
import argparse
import concurrent.futures
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import chaos
from image import Image
from rack import HOSTLER, ROOT, SERVER, Failed, Rack, check, until

NODES = {"node1": "bios", "node2": "uefi"}


class Story:
    def __init__(self, rack, images):
        self.rack = rack
        self.image = Image(images, "debian-12")
        self.ids = {}
        self.passed = 0
        self.began = time.monotonic()

    def ok(self, what):
        self.passed += 1
        print(f"ok {self.passed} - {what} [{time.monotonic() - self.began:.0f} s]", flush=True)

    # Other people's clients

    def clients(self):
        """From a namespace of its own, as a host on the wire: Hostler answers on its interface only."""
        own = f"hostler-client-{os.getpid()}"
        with self.neighbour(own):
            self.fetch(lambda *words, **options: subprocess.run(
                ["ip", "netns", "exec", own, *map(str, words)], text=True, capture_output=True, check=True, timeout=120, **options))
        self.perfdhcp()

    @contextlib.contextmanager
    def neighbour(self, own):
        """A namespace with a port on the lab's bridge, perf0, at 10.77.0.2."""
        rack = self.rack
        ip = lambda *words: rack.enter("ip", *words)  # noqa: E731
        host = lambda *words: subprocess.run(["ip", *words], check=True)  # noqa: E731
        host("netns", "add", own)
        try:
            host("link", "add", "perf0", "netns", own, "type", "veth", "peer", "name", "perf1", "netns", rack.namespace)
            ip("link", "set", "perf1", "master", "rack0")
            ip("link", "set", "perf1", "up")
            host("-n", own, "addr", "add", "10.77.0.2/24", "dev", "perf0")
            host("-n", own, "link", "set", "perf0", "up")
            yield
        finally:
            # A namespace's end takes its ports with it, but only some time later.
            subprocess.run(["ip", "-n", own, "link", "del", "perf0"], check=False)
            host("netns", "del", own)

    def fetch(self, enter):
        work = self.rack.work
        kernel = (ROOT / "out/boot/vmlinuz").read_bytes()
        url = f"http://{SERVER}:8080/boot/vmlinuz"
        enter("curl", "-fsS", "-r", "100-199", "-o", work / "range", url)
        check((work / "range").read_bytes() == kernel[100:200], "curl -r gets the bytes it asked for")
        self.ok("curl -r gets just the range")
        head = enter("curl", "-fsSI", url).stdout
        tag = next(line.split(":", 1)[1].strip() for line in head.splitlines() if line.lower().startswith("etag:"))
        code = enter("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"If-None-Match: {tag}", url).stdout
        check(code == "304", f"an ETag that matches gets 304, not {code}")
        self.ok("an ETag that matches gets 304")
        enter("tftp", "-m", "binary", SERVER, "-c", "get", "undionly.kpxe", cwd=work)
        check((work / "undionly.kpxe").read_bytes() == (ROOT / "out/boot/undionly.kpxe").read_bytes(), "tftp-hpa got the file")
        self.ok("tftp-hpa gets undionly.kpxe")

    def perfdhcp(self):
        """1,000 exchanges a second for 5 s, from a namespace of its own: port 67 is taken in the lab's.

        Ninety clients that nobody knows: their share of the lab's 127 addresses is 96.
        The generator counts as dropped what comes while it is not scheduled itself: the best of three runs.
        """
        own = f"hostler-perf-{os.getpid()}"
        with self.neighbour(own):
            text = ""
            for _ in range(3):
                done = subprocess.run(
                    ["ip", "netns", "exec", own, "perfdhcp", "-4", "-l", "perf0", "-R", "90", "-p", "5", "-r", "1000", "-W",
                     "2000000", SERVER], text=True, capture_output=True)
                text = done.stdout
                drops = [line for line in text.splitlines() if line.startswith("drops: ")]
                sent = [int(line.split(": ")[1]) for line in text.splitlines() if line.startswith("sent packets: ")]
                if len(drops) == 2 and set(drops) == {"drops: 0"} and min(sent) >= 4500:
                    return self.ok(f"perfdhcp gets {sent[1]} leases in 5 s with no drop")
            raise Failed(f"perfdhcp saw drops at 1,000/s:\n{text}")

    # From empty disks on

    def discovery(self):
        rack = self.rack
        for node in NODES:
            rack.power(node, "on")
        for node, firmware in NODES.items():
            found = until(400, f"{node} is discovered and inspected", lambda: (m := rack.machine_of(node)) and m["state"] == "ready" and m)
            inventory = found["observed"]["inventory"]
            check(inventory["firmware"]["mode"] == firmware, f"{node} is known as {firmware}: {inventory['firmware']}")
            check(inventory["disks"] and inventory["disks"][0].get("serial"), f"{node}'s disk is known by its serial")
            check(inventory["memory"]["dimms"] and inventory["pci"] and inventory["cpus"], f"{node}'s inventory is whole")
            self.ids[node] = found["id"]
        self.ok("a BIOS and a UEFI machine with empty disks are discovered with their inventory")

    def installs(self):
        """Both at once and nothing in their way: for the parts that need running machines, without the long ones."""
        rack = self.rack
        operations = {node: rack.install(self.ids[node], name) for node, name in (("node1", "web-1"), ("node2", "web-2"))}
        for node, operation in operations.items():
            ended = rack.ended(operation)
            check(ended["state"] == "succeeded", f"{operation} ended {ended['state']}: {ended.get('problem')}")
        self.ok("both are installed")

    def damage(self):
        """A chunk in the middle of the image is damaged on the server's side."""
        rack, image = self.rack, self.image
        numbers = sorted(image.chunks)
        victim = numbers[len(numbers) // 2]
        blob = rack.state / "images/blobs/sha256" / image.disk.name
        own = blob.with_suffix(".own")
        shutil.copy2(blob, own)
        os.replace(own, blob)
        offset, length, _ = image.chunks[victim]
        sound = image.disk.read_bytes()[offset:offset + length]

        def put(data):
            with open(blob, "r+b") as file:
                file.seek(offset)
                file.write(data)

        put(bytes(byte ^ 0x55 for byte in sound))
        machine = self.ids["node1"]
        operation = rack.install(machine, "damaged")
        ended = rack.ended(operation, 300)
        problem = ended.get("problem") or {}
        check(ended["state"] == "failed" and problem.get("code") == "chunk-digest-mismatch", f"the damage is found: {ended}")
        check(f"Chunk {victim} " in problem["title"], f"the operation names chunk {victim}: {problem['title']}")
        held = rack.machine(machine)
        check([h["problem"]["code"] for h in held["holds"]] == ["chunk-digest-mismatch"], "the machine is held")
        with open(rack.disk("node1"), "rb") as disk:
            check(not disk.read(1 << 20).strip(b"\0"), "the disk has neither partition table nor boot code")
        put(sound)
        rack.admin("machine", "release", machine, held["holds"][0]["id"], "--yes")
        check(rack.request("DELETE", f"/v1/operations/{operation}")[0] in (404, 405), "history is not deleted")
        self.ok(f"a damaged chunk ends the installation, is named ({victim}), and leaves the disk unbootable and the machine held")
        self.damaged = operation

    def kills(self):
        """Both machines at once: the control plane is killed at every step of the one's installation,
        the power of the other is cut at every step that its agent does."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            works = [pool.submit(self.killed_control_plane), pool.submit(self.cut_power)]
            concurrent.futures.wait(works)
        failures = [str(work.exception()) for work in works if work.exception()]
        check(not failures, "\n".join(failures))

    def killed_control_plane(self):
        rack, node = self.rack, "node1"
        machine = self.ids[node]
        # Off before it starts, so that the wait for its agent can be struck too.
        rack.power(node, "cut")
        operation = rack.install(machine, "web-1")
        missed = [] if chaos.kill_at(rack, operation, "boot-agent") else ["boot-agent"]
        rack.power(node, "on")
        missed += [] if chaos.kill_at(rack, operation, "choose-disk") else ["choose-disk"]
        missed += [] if chaos.kill_at(rack, operation, "write-image", 0.15) else ["write-image"]
        chaos.cut_cable_for_a_minute(rack, node, operation)
        print(f"   {node}: the cable was out for a minute in the middle of the write, which went on where it was", flush=True)
        # These take milliseconds: on a slow wire they last long enough to be struck.
        rack.fault("inject", "latency=300", node)
        for step in ("write-seed", "boot-order", "restart"):
            missed += [] if chaos.kill_at(rack, operation, step) else [step]
        rack.fault("clear", "latency=300", "--machine", node)
        chaos.compare_before_first_boot(rack, node, operation, self.image)
        missed += [] if chaos.kill_at(rack, operation, "first-boot") else ["first-boot"]
        ended = rack.ended(operation)
        check(ended["state"] == "succeeded", f"{operation} ended {ended['state']}: {ended.get('problem')}")
        check(rack.machine(machine)["installed"]["operation"] == operation, "its system is this installation's")
        own = [o["id"] for o in rack.installs_of(machine) if o["id"] != getattr(self, "damaged", None)]
        check(own == [operation], f"exactly one installation went through: {own}")
        check(set(missed) <= {"boot-order"}, f"these steps were over before they could be struck: {missed}")
        self.expect_system(node, "web-1")
        self.ok(f"BIOS: kill -9 of the control plane at every step{self.but(missed)}, the cable out for 60 s, and still: "
                "the disk equals the image, one installation, SSH with host name, key and user-data")

    def cut_power(self):
        rack, node = self.rack, "node2"
        machine = self.ids[node]
        # Off before it starts, so that even the agent's own start can be struck.
        rack.power(node, "cut")
        operation = rack.install(machine, "web-2")
        rack.power(node, "on")
        time.sleep(5)
        missed = []
        for step, fraction in [("boot-agent", 0), ("choose-disk", 0), ("write-image", 0.3), ("write-seed", 0), ("boot-order", 0), ("restart", 0)]:
            if not chaos.cut_at(rack, node, operation, step, fraction):
                missed.append(step)
        chaos.compare_before_first_boot(rack, node, operation, self.image)
        chaos.install_was_one(rack, machine, operation)
        check(len(missed) <= 1, f"these steps were over before they could be struck: {missed}")
        self.expect_system(node, "web-2")
        self.ok(f"UEFI: power cut at every step of the agent{self.but(missed)}, and still: the disk equals the image, "
                "one installation, SSH with host name, key and user-data")

    @staticmethod
    def but(missed):
        return f" but {', '.join(missed)}, which was over too soon" if missed else ""

    def expect_system(self, node, hostname):
        rack, machine = self.rack, self.ids[node]
        rack.until_it_says(machine, hostname, "hostname")
        check(rack.run(machine, "cat", "/etc/from-user-data") == "applied", "user-data was applied")
        check(rack.run(machine, "cloud-init", "status", "--wait", timeout=200) is not None, "cloud-init has no error to tell")

    # Later boots

    def boots_again(self, node):
        rack, machine = self.rack, self.ids[node]
        boot = lambda: rack.run(machine, "cat", "/proc/sys/kernel/random/boot_id")  # noqa: E731
        before = boot()
        # Its first boot is seconds old, and this is no test of what a file system loses with its power.
        check(rack.run(machine, "sync") is not None and before, f"{node} answers")
        rack.power(node, "cycle")
        until(400, f"{node} is back on its own disk", lambda: (now := boot()) and now != before, pause=3)

    def again(self):
        rack = self.rack
        counts = {node: len(rack.installs_of(self.ids[node])) for node in NODES}
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(self.boots_again, NODES))
        check(counts == {node: len(rack.installs_of(self.ids[node])) for node in NODES}, "nothing was installed again")
        self.ok("machines that run go to their local disks when they boot from the network again, by BIOS and by UEFI")

    def backup(self):
        """Yesterday's backup knows neither machine."""
        rack = self.rack
        rack.stop()
        rack.admin("restore", rack.work / "yesterday.db", "--yes")
        rack.start()
        check(not rack.machines(), "yesterday's backup knows no machine")
        for node in NODES:
            rack.power(node, "cycle")
        for node, hostname in (("node1", "web-1"), ("node2", "web-2")):
            found = until(500, f"{node} is adopted with the system it has", lambda: (m := rack.machine_of(node)) and m["state"] == "running" and m)
            self.ids[node] = found["id"]
            self.expect_system(node, hostname)
            check(not rack.installs_of(found["id"]), "nothing was installed again")
        self.ok("with yesterday's backup they are adopted, and go to their local disks all the same")

    def rescue(self):
        """A shell on a machine whose system does not matter; and then its system again, untouched."""
        rack, machine = self.rack, self.ids["node2"]
        rack.run(machine, "sh", "-c", "'echo kept > kept; sync'")
        rack.admin("machine", "rescue", machine, "--ssh-key", f"{rack.state / 'key'}.pub", "--yes")
        operation = self.open_operation(machine, "rescue")
        rack.power("node2", "cycle")
        shell = until(300, "the rescue shell is open", lambda: self.step(operation, "rescue-shell").get("evidence"))
        told = until(60, "the shell answers", lambda: rack.run_as("root", shell["address"], "cat /proc/cmdline"))
        check(told and "hostler.nonce=" in told, f"the shell is the agent's: {told}")
        check(self.host_key(shell["address"]) == shell["hostKey"].split()[1], "its host key is the one in the record")
        rack.admin("operation", "cancel", operation)
        check(rack.ended(operation, 120)["state"] == "cancelled", "the rescue is over")
        until(300, "its own system is back", lambda: rack.run(machine, "cat", "kept") == "kept", pause=3)
        check(rack.machine(machine)["state"] == "running", "the record says so")
        self.ok("UEFI: a rescue shell by SSH, its host key in the record; cancelled, the machine runs its own system again")

    def wipe(self):
        """A running machine's disk is emptied, with the proof; then it is installed anew, without its firmware between."""
        rack, node = self.rack, "node1"
        machine = self.ids[node]
        rack.admin("machine", "wipe", machine, "--yes", "--no-wait")
        operation = self.open_operation(machine, "wipe")
        rack.power(node, "cycle")
        ended = rack.ended(operation, 600)
        check(ended["state"] == "succeeded", f"the wipe ended {ended['state']}: {ended.get('problem')}")
        check(self.step(operation, "verify-wipe").get("evidence"), "the proof is in the operation")
        with open(rack.disk(node), "rb") as disk:
            while part := disk.read(1 << 24):
                check(not part.strip(b"\0"), f"the disk is empty before byte {disk.tell()}")
        wiped = rack.machine(machine)
        check(wiped["state"] == "ready" and not wiped.get("installed"), f"the record knows no system of it: {wiped['state']}")
        self.ok("BIOS: a running machine is wiped, with the proof; its disk holds nothing but zeros")
        operation = rack.install(machine, "web-3", "--restart", "kexec")
        ended = rack.ended(operation)
        check(ended["state"] == "succeeded", f"{operation} ended {ended['state']}: {ended.get('problem')}")
        self.expect_system(node, "web-3")
        self.boots_again(node)
        self.ok("BIOS: installed anew, by kexec straight into its kernel; and through its firmware at the next boot")

    def open_operation(self, machine, kind):
        operations = self.rack.patiently("/v1/operations?limit=1000")["items"]
        return next(o["id"] for o in operations if o["machine"] == machine and o["kind"] == kind and o["state"] == "running")

    def step(self, operation, name):
        return next(step for step in self.rack.operation(operation)["steps"] if step["name"] == name)

    def host_key(self, address):
        told = self.rack.enter("ssh-keyscan", "-t", "ed25519", address, check_status=False).stdout
        return next((line.split()[2] for line in told.splitlines() if line.startswith(address)), None)

    def leave(self):
        rack = self.rack
        rack.stop()
        rack.in_lab("down")
        spaces = subprocess.run(["ip", "netns", "list"], text=True, capture_output=True).stdout
        check(rack.namespace not in spaces, "the namespace is gone")
        check(not [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if f"-name\0{rack.namespace}" in self.text(p)], "no machine is left")
        check(not (rack.labs / rack.lab).exists(), "the lab's folder is gone")
        self.ok("hostler lab down removes every trace")

    @staticmethod
    def text(path):
        try:
            return path.read_text(errors="replace")
        except OSError:
            return ""


PARTS = ["clients", "discovery", "damage", "kills", "again", "backup", "rescue", "wipe", "leave"]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=pathlib.Path, required=True)
    options.add_argument("parts", nargs="*", choices=[*PARTS, "installs", []])
    chosen = options.parse_args()
    check(os.path.exists(HOSTLER), f"{HOSTLER} is not built: make binaries boot-files image")
    work = pathlib.Path(tempfile.mkdtemp(prefix="hostler-e2e.", dir="/tmp"))
    rack = Rack(work, chosen.images)
    code = 1
    try:
        (work / "user-data").write_text("#cloud-config\nwrite_files:\n- path: /etc/from-user-data\n  content: applied\n")
        story = Story(rack, chosen.images)
        rack.in_lab("up", "--machines", "2", "--uefi", "1", "--no-power-on")
        rack.start()
        rack.admin("backup", work / "yesterday.db")
        story.ok("the lab and the server are up; a backup is taken")
        for part in chosen.parts or PARTS:
            print(f"\n== {part}", flush=True)
            getattr(story, part)()
        print(f"\n{story.passed} passed, 0 failed", flush=True)
        code = 0
    except Failed as failure:
        print(f"\nFAILED: {failure}", flush=True)
        rack.tell(sys.stdout)
        print("\n0 passed, 1 failed")
    finally:
        rack.close()
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(code)


main()
