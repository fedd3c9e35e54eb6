#!/usr/bin/env python3
"""That nobody's system is lost: strangers, second disks, other sectors, a server that is away or has moved. In QEMU.

    safety.py --images DIR [PART …]

DIR holds an image store with debian-12. Each part has machines of its own; ends with “N passed, M failed”.
"""
import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import chaos
from image import Image
from rack import HOSTLER, Failed, Rack, check, until

GIB = 1 << 30
MOVED_TO = "10.77.0.9"
# The image's own phone_home gives up after twenty tries, some two minutes.
LONGER_THAN_PHONE_HOME_SECONDS = 150


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Parts:
    def __init__(self, rack, images):
        self.rack, self.image = rack, Image(images, "debian-12")
        self.began = time.monotonic()
        self.passed = 0

    def ok(self, what):
        self.passed += 1
        print(f"ok {self.passed} - {what} [{time.monotonic() - self.began:.0f} s]", flush=True)

    # What the parts are made of

    def add(self, node, firmware, *disks):
        self.rack.in_lab("add", node, "--firmware", firmware, *(word for disk in disks for word in ("--disk", disk)))

    def path(self, node, number):
        return self.rack.disk(node).with_name(f"disk{number}.raw")

    def console(self, node):
        return (self.rack.labs / self.rack.lab / "machines" / node / "console.log").read_text(errors="replace")

    def inspected(self, node, seconds=400):
        return until(seconds, f"{node} is inspected", lambda: (
            m := self.rack.machine_of(node)) and m["state"] == "ready" and m["observed"].get("inventory") and m)

    def serial(self, machine, number):
        return self.rack.machine(machine)["observed"]["inventory"]["disks"][number]["serial"]

    def succeeds(self, operation, seconds=900):
        ended = self.rack.ended(operation, seconds)
        check(ended["state"] == "succeeded", f"{operation} ended {ended['state']}: {ended.get('problem')}")
        return ended

    def off(self, *nodes):
        for node in nodes:
            self.rack.power(node, "cut")

    def served_at(self, address, policy="discover"):
        """The server goes, and comes back with this address and this policy."""
        rack = self.rack
        with rack.turn:
            rack.stop()
            if address != rack.address:
                # With its first address an interface loses the others of that network, too.
                rack.enter("ip", "addr", "del", f"{rack.address}/24", "dev", "rack0")
                rack.enter("ip", "addr", "add", f"{address}/24", "dev", "rack0")
            rack.address, rack.policy = address, policy
            rack.start()

    # The parts

    def stranger(self):
        """Somebody's server, which nobody has told us of, starts from the network first."""
        rack = self.rack
        self.served_at(rack.address, "inspect-empty")
        nodes = {"alien1": "bios", "alien2": "uefi"}
        before = {}
        for node, firmware in nodes.items():
            self.add(node, firmware, "virtio:8", "virtio:1")
            self.image.write(self.path(node, 0))
            data = self.path(node, 1)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "papers", data], check=True)
            before[node] = digest(data)
        for node in nodes:
            rack.power(node, "on")
        for node, firmware in nodes.items():
            until(600, f"{node} ({firmware}) starts its own system", lambda: " login:" in self.console(node), pause=2)
            machine = rack.machine_of(node)
            check(machine["state"] == "ready" and not machine["holds"], f"{node} is {machine['state']}, {machine['holds']}")
            check(len(machine["observed"].get("foreignDisks") or []) == 2, f"the record says what was found on {node}: {machine}")
            check("boots its own disk" in rack.admin("machine", "list").stdout, "machine list says so")
            check("Nothing was written" in rack.admin("event", "list", "--last", "500").stdout, "an event says so")
            check(digest(self.path(node, 1)) == before[node], f"{node}'s second disk is as it was, bit for bit")
            self.ok(f"{firmware}: an unknown server with a system is inspected once, goes to its own disk, and nothing is written")
        for node, firmware in nodes.items():
            seen = self.console(node).count(" login:")
            rack.power(node, "cycle")
            until(400, f"{node} ({firmware}) starts its own system again", lambda: self.console(node).count(" login:") > seen, pause=2)
            check(not rack.installs_of(rack.machine_of(node)["id"]), "nobody installed anything")
        self.ok("both start their own systems again after a power cycle")
        self.off(*nodes)
        self.served_at(rack.address)

    def second_disk(self):
        """Installed on one disk, then on the other: the operation's own disk starts, whatever the firmware's order is."""
        rack = self.rack
        nodes = {"two1": "bios", "two2": "uefi"}
        for node, firmware in nodes.items():
            self.add(node, firmware, "virtio:8", "virtio:8")
            rack.power(node, "on")
        machines = {node: self.inspected(node)["id"] for node in nodes}
        for number in (0, 1):
            operations = {
                node: rack.install(machine, node, "--disk", self.serial(machine, number)) for node, machine in machines.items()}
            if number:
                # Nothing else brings a running machine without a BMC into the agent.
                for node in nodes:
                    rack.power(node, "cycle")
            for node, operation in operations.items():
                self.succeeds(operation)
                rack.until_it_says(machines[node], operation, "cat", "/var/lib/cloud/data/instance-id")
            self.ok(f"BIOS and UEFI machines with two disks run what was installed on disk {number}")
        for node in nodes:
            rack.power(node, "cycle")
        for node, machine in machines.items():
            rack.until_it_says(machine, operations[node], "cat", "/var/lib/cloud/data/instance-id")
        self.ok("both run it after a power cycle, too, though the other disk held a system first")
        self.off(*nodes)

    def sectors(self):
        """A disk with sectors of 4096 bytes, and an image for 512."""
        rack, node = self.rack, "wide1"
        self.add(node, "uefi", "virtio:8:4k")
        rack.power(node, "on")
        machine = self.inspected(node)["id"]
        done = rack.admin(
            "machine", "install", machine, "--image", "debian-12", "--ssh-key", f"{rack.state / 'key'}.pub", "--yes", "--no-wait",
            check_status=False)
        check(done.returncode != 0 and "4096" in done.stdout + done.stderr and "remedy:" in done.stdout + done.stderr,
              f"it is refused, with both sizes and a way out: {done.stdout}{done.stderr}")
        check(not rack.installs_of(machine), "no operation was opened")
        check(os.stat(rack.disk(node)).st_blocks == 0, "no byte of the disk was written")
        self.ok("an image for 512-byte sectors is refused for a 4Kn disk before anything is written")
        self.off(node)

    def silent_server(self):
        """The server is away from the restart of the machine until long after the image's own phone_home has given up."""
        rack, node = self.rack, "home1"
        self.add(node, "bios", "virtio:8")
        rack.power(node, "on")
        machine = self.inspected(node)["id"]
        operation = rack.install(machine, node)
        chaos.reached(rack, operation, "first-boot")
        # It still has to get its address.
        until(120, f"{node} asks to boot from its disk", lambda: "first boot" in self.log())
        time.sleep(10)
        rack.kill()
        until(600, f"{node} has started", lambda: " login:" in self.console(node), pause=2)
        time.sleep(LONGER_THAN_PHONE_HOME_SECONDS)
        rack.start()
        self.succeeds(operation, 700)
        record = rack.machine(machine)
        check(record["state"] == "running" and not record["holds"], f"{record['state']}, {record['holds']}")
        self.ok("an installation succeeds though the server was away while the system started, and two minutes more")
        self.off(node)

    def moved_server(self):
        """The server comes back at another address: an agent finds it, and so does an installed system that has not yet called home."""
        rack = self.rack
        for node, firmware in {"move1": "uefi", "move2": "bios"}.items():
            self.add(node, firmware, "virtio:8")
            rack.power(node, "on")
        waits, starts = (self.inspected(node)["id"] for node in ("move1", "move2"))
        operation = rack.install(starts, "move2")
        chaos.reached(rack, operation, "first-boot")
        self.served_at(MOVED_TO)
        ended = self.succeeds(operation, 1800)
        self.ok(f"a system whose server moved while it started proves itself at the new address ({ended['id']})")
        operation = rack.install(waits, "move1")
        self.succeeds(operation, 1800)
        rack.until_it_says(waits, operation, "cat", "/var/lib/cloud/data/instance-id")
        self.ok("an agent that waited for work follows its server to the new address, and installs")
        self.off("move1", "move2")

    def log(self):
        return (self.rack.state / "serve.log").read_text(errors="replace")


PARTS = ["stranger", "second_disk", "sectors", "silent_server", "moved_server"]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=pathlib.Path, required=True)
    options.add_argument("parts", nargs="*", choices=[*PARTS, []])
    chosen = options.parse_args()
    check(os.path.exists(HOSTLER), f"{HOSTLER} is not built: make binaries boot-files image")
    work = pathlib.Path(tempfile.mkdtemp(prefix="hostler-safety.", dir="/tmp"))
    rack = Rack(work, chosen.images)
    failed = 0
    parts = Parts(rack, chosen.images)
    try:
        (work / "user-data").write_text("#cloud-config\nwrite_files:\n- path: /etc/from-user-data\n  content: applied\n")
        rack.in_lab("up", "--machines", "0")
        rack.start()
        for part in chosen.parts or PARTS:
            print(f"\n== {part}", flush=True)
            try:
                getattr(parts, part)()
            except Failed as failure:
                failed += 1
                print(f"NOT OK {part}: {failure}", flush=True)
                rack.tell(sys.stdout)
                for machine in rack.status()["status"]["machines"]:
                    parts.off(machine["spec"]["name"])
    finally:
        rack.close()
        shutil.rmtree(work, ignore_errors=True)
    print(f"\n{parts.passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not parts.passed else 0)


main()
