#!/usr/bin/env python3
"""Installations under faults at random moments, all of them from a seed.

    storm.py --images DIR [--seed S] [--runs N] [--longest SECONDS]

DIR holds an image store with debian-12. Each run takes a machine with an empty disk, by turns BIOS and UEFI, has it inspected
and installed, and meanwhile strikes at moments that the seed chooses: the server is killed and away for 0 to `--longest`
seconds, or stands still; the machine's power is cut; its cable is out; the wire falls apart. When all faults are over, the
operation must end, and what it says must be true: where it says that the system runs, that system answers over SSH, and where
it says that the installation failed, no such system does. Prints each run's schedule; ends with “N passed, M failed”.
"""
import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

from rack import HOSTLER, Failed, Rack, check, until

# What an installation takes here when nothing is in its way, about: faults begin within it.
WINDOW_SECONDS = 150
# The longest deadline of a step, and some more.
PATIENCE_SECONDS = 2700


@dataclasses.dataclass
class Fault:
    """`at`: seconds after the installation was asked for; it lasts for `seconds`."""
    kind: str
    at: float
    seconds: float

    def __str__(self):
        return f"{self.kind} at {self.at:.0f} s for {self.seconds:.0f} s"


def schedule(chance, longest):
    """What happens to the server, and what to the machine; each in its order. The server is away at least once."""
    server = [Fault("server away", 0, chance.uniform(0, longest))]
    server += [Fault(chance.choice(["server away", "server stands still"]), 0, chance.uniform(0, 30)) for _ in range(chance.randrange(3))]
    machine = [
        Fault(kind, 0, chance.uniform(*{"power cut": (1, 10), "cable out": (5, 90), "wire parted": (5, 60)}[kind]))
        for kind in chance.choices(["power cut", "cable out", "wire parted"], k=chance.randrange(3))]
    for fault in server + machine:
        fault.at = chance.uniform(0, WINDOW_SECONDS)
    return sorted(server, key=lambda f: f.at), sorted(machine, key=lambda f: f.at)


class Run:
    def __init__(self, rack, seed, number, longest):
        self.rack, self.number, self.node = rack, number, f"storm{number}"
        self.firmware = ("bios", "uefi")[number % 2]
        self.server_faults, self.machine_faults = schedule(random.Random(f"{seed}/{number}"), longest)

    def carry_out(self):
        rack, node = self.rack, self.node
        rack.in_lab("add", node, "--firmware", self.firmware)
        rack.power(node, "on")
        try:
            machine = until(600, f"{node} is inspected", lambda: (m := rack.machine_of(node)) and m["state"] == "ready" and m)["id"]
            self.began = time.monotonic()
            operation = rack.install(machine, node)
            with concurrent.futures.ThreadPoolExecutor() as pool:
                works = [pool.submit(self.strike, faults) for faults in (self.server_faults, self.machine_faults)]
            for work in works:
                work.result()
            ended = rack.ended(operation, PATIENCE_SECONDS)
            self.judge(machine, ended)
            return f"{ended['state']} after {time.monotonic() - self.began:.0f} s"
        finally:
            rack.power(node, "cut")

    def strike(self, faults):
        """One after the other: a fault that is due while another lasts comes right after it."""
        for fault in faults:
            time.sleep(max(0, self.began + fault.at - time.monotonic()))
            self.DEEDS[fault.kind](self, fault.seconds)

    def away(self, seconds):
        self.rack.kill()
        time.sleep(seconds)
        self.rack.start()

    def stand_still(self, seconds):
        with self.rack.turn:
            self.rack.process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            self.rack.process.send_signal(signal.SIGCONT)

    def cut_power(self, seconds):
        self.rack.power(self.node, "cut")
        time.sleep(seconds)
        self.rack.power(self.node, "on")

    def cable_out(self, seconds):
        self.rack.fault("inject", "link-down", self.node)
        time.sleep(seconds)
        self.rack.fault("clear", "link-down", "--machine", self.node)

    def wire_parted(self, seconds):
        self.rack.fault("inject", "partition")
        time.sleep(seconds)
        self.rack.fault("clear", "partition")

    DEEDS = {"server away": away, "server stands still": stand_still, "power cut": cut_power, "cable out": cable_out,
             "wire parted": wire_parted}

    def judge(self, machine, operation):
        rack = self.rack
        check([o["id"] for o in rack.installs_of(machine)] == [operation["id"]], "it is the machine's only installation")
        record = rack.machine(machine)
        if operation["state"] == "succeeded":
            check(record["state"] == "running" and record["installed"]["operation"] == operation["id"],
                  f"the record says that its system runs: {record['state']}, {record.get('installed')}")
            check(not record["holds"], f"nothing holds it: {record['holds']}")
            rack.until_it_says(machine, operation["id"], "cat", "/var/lib/cloud/data/instance-id")
            check(rack.run(machine, "cat", "/etc/from-user-data") == "applied", "user-data was applied")
        else:
            problem = operation.get("problem") or {}
            check(operation["state"] == "failed" and problem.get("title") and problem.get("remedy"),
                  f"it ended {operation['state']}, and says what to do: {problem}")
            check(record["holds"], "the machine is on hold")
            if record["observed"].get("address"):
                found = rack.run(machine, "cat", "/var/lib/cloud/data/instance-id")
                check(found != operation["id"], f"its system runs, though the operation says: {problem['title']}")

    def __str__(self):
        return f"run {self.number}, {self.firmware}: " + "; ".join(map(str, sorted(self.server_faults + self.machine_faults, key=lambda f: f.at)))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=pathlib.Path, required=True)
    options.add_argument("--seed", default=str(int.from_bytes(os.urandom(4))))
    options.add_argument("--runs", type=int, default=1)
    options.add_argument("--first", type=int, default=0, help="the number of the first run")
    options.add_argument("--longest", type=float, default=300, help="seconds that the server is away at most")
    chosen = options.parse_args()
    check(os.path.exists(HOSTLER), f"{HOSTLER} is not built: make binaries boot-files image")
    print(f"# seed {chosen.seed}: make chaos SEED={chosen.seed} RUNS={chosen.runs}", flush=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="hostler-storm.", dir="/tmp"))
    rack = Rack(work, chosen.images)
    passed = failed = 0
    try:
        (work / "user-data").write_text("#cloud-config\nwrite_files:\n- path: /etc/from-user-data\n  content: applied\n")
        rack.in_lab("up", "--machines", "0")
        rack.start()
        for number in range(chosen.first, chosen.first + chosen.runs):
            run = Run(rack, chosen.seed, number, chosen.longest)
            try:
                outcome = run.carry_out()
                passed += 1
                print(f"ok {passed + failed} - {run}: {outcome}", flush=True)
            except Failed as failure:
                failed += 1
                print(f"NOT OK {passed + failed} - {run}: {failure}", flush=True)
                rack.tell(sys.stdout)
    finally:
        rack.close()
        shutil.rmtree(work, ignore_errors=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)


main()
