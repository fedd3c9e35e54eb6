#!/usr/bin/env python3
"""Installations under faults at random moments, all of them from a seed.

    storm.py --images DIR [--seed S] [--runs N] [--at-once N] [--longest SECONDS]

DIR holds an image store with debian-12. Each run takes a machine with an empty disk, by turns BIOS and UEFI, has it inspected
and installed, and meanwhile strikes at moments that the seed chooses: the server is killed and away for 0 to `--longest`
seconds, or stands still, or its wall clock is set; the machine's power is cut; its cable is out; the wire falls apart.
`--at-once` runs share a server and what happens to it. When all faults are over, the operation must end, and what it says
must be true: where it says that the system runs, that system answers over SSH, and where it says that the installation
failed, no such system does. Prints each run's schedule; ends with “N passed, M failed”.
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


HOUR_SECONDS, DAY_SECONDS = 3600, 86_400


@dataclasses.dataclass
class Fault:
    """`at`: seconds after the installation was asked for; it lasts for `seconds`. `step`: by how much a clock is set."""
    kind: str
    at: float
    seconds: float
    step: int = 0

    def __str__(self):
        step = f" by {self.step:+} s" if self.step else ""
        return f"{self.kind}{step} at {self.at:.0f} s for {self.seconds:.0f} s"


def in_order(faults):
    return sorted(faults, key=lambda fault: fault.at)


def of_server(chance, longest):
    """What happens to the server: it is away at least once, and its clock is set at least once."""
    faults = [Fault("server away", chance.uniform(0, WINDOW_SECONDS), chance.uniform(0, longest))]
    faults += [
        Fault(chance.choice(["server away", "server stands still"]), chance.uniform(0, WINDOW_SECONDS), chance.uniform(0, 30))
        for _ in range(chance.randrange(3))]
    clock = [
        Fault("clock set", chance.uniform(0, WINDOW_SECONDS), chance.uniform(1, 120),
              chance.choice([-1, 1]) * chance.choice([90, HOUR_SECONDS, DAY_SECONDS, 40 * DAY_SECONDS]))
        for _ in range(chance.randrange(1, 3))]
    return in_order(faults), in_order(clock)


def of_machine(chance):
    lasting = {"power cut": (1, 10), "cable out": (5, 90), "wire parted": (5, 60)}
    return in_order(
        Fault(kind, chance.uniform(0, WINDOW_SECONDS), chance.uniform(*lasting[kind]))
        for kind in chance.choices(list(lasting), k=chance.randrange(3)))


class Wave:
    """Runs that share a server, and so what happens to it."""

    def __init__(self, rack, seed, numbers, longest):
        self.rack = rack
        self.server_faults, self.clock_faults = of_server(random.Random(f"{seed}/server/{numbers[0]}"), longest)
        self.runs = [Run(rack, seed, number) for number in numbers]

    def carry_out(self):
        """Each run's outcome, or its failure, in their order."""
        with concurrent.futures.ThreadPoolExecutor(max_workers=2 * len(self.runs) + 4) as pool:
            try:
                for work in [pool.submit(run.begin) for run in self.runs]:
                    work.result()
                began = time.monotonic()
                works = [pool.submit(strike, faults, began, self.DEEDS, self) for faults in (self.server_faults, self.clock_faults)]
                works += [pool.submit(strike, run.faults, began, run.DEEDS, run) for run in self.runs]
                for work in works:
                    work.result()
                return [self.outcome(work) for work in [pool.submit(run.end, began) for run in self.runs]]
            except Failed as failure:
                return [failure] * len(self.runs)
            finally:
                for run in self.runs:
                    self.rack.power(run.node, "cut")

    @staticmethod
    def outcome(work):
        try:
            return work.result()
        except Failed as failure:
            return failure

    def away(self, fault):
        self.rack.kill()
        time.sleep(fault.seconds)
        start(self.rack)

    def stand_still(self, fault):
        with self.rack.turn:
            self.rack.process.send_signal(signal.SIGSTOP)
            time.sleep(fault.seconds)
            self.rack.process.send_signal(signal.SIGCONT)

    def set_clock(self, fault):
        for error in (fault.step, 0):
            wrong = self.rack.state / "clock-error.new"
            wrong.write_text(f"{error}\n")
            wrong.rename(clock_error(self.rack))
            if error:
                time.sleep(fault.seconds)

    DEEDS = {"server away": away, "server stands still": stand_still, "clock set": set_clock}

    def __str__(self):
        return "; ".join(map(str, in_order(self.server_faults + self.clock_faults)))


def clock_error(rack):
    return rack.state / "clock-error"


def start(rack):
    rack.start("--clock-error", str(clock_error(rack)))


def strike(faults, began, deeds, on):
    """One after the other: a fault that is due while another lasts comes right after it."""
    for fault in faults:
        time.sleep(max(0, began + fault.at - time.monotonic()))
        deeds[fault.kind](on, fault)


class Run:
    def __init__(self, rack, seed, number):
        self.rack, self.number, self.node = rack, number, f"storm{number}"
        self.firmware = ("bios", "uefi")[number % 2]
        self.faults = of_machine(random.Random(f"{seed}/{number}"))

    def begin(self):
        """Until the installation is asked for."""
        rack, node = self.rack, self.node
        rack.in_lab("add", node, "--firmware", self.firmware)
        rack.power(node, "on")
        self.machine = until(
            600, f"{node} is inspected", lambda: (m := rack.machine_of(node)) and m["state"] == "ready" and m)["id"]
        self.operation = rack.install(self.machine, node)

    def end(self, began):
        """Once all faults are over."""
        ended = self.rack.ended(self.operation, PATIENCE_SECONDS)
        took = time.monotonic() - began
        self.judge(self.machine, ended)
        return f"{ended['state']} after {took:.0f} s"

    def cut_power(self, fault):
        self.rack.power(self.node, "cut")
        time.sleep(fault.seconds)
        self.rack.power(self.node, "on")

    def cable_out(self, fault):
        self.rack.fault("inject", "link-down", self.node)
        time.sleep(fault.seconds)
        self.rack.fault("clear", "link-down", "--machine", self.node)

    def wire_parted(self, fault):
        self.rack.fault("inject", "partition")
        time.sleep(fault.seconds)
        self.rack.fault("clear", "partition")

    DEEDS = {"power cut": cut_power, "cable out": cable_out, "wire parted": wire_parted}

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
        return f"run {self.number}, {self.firmware}: " + ("; ".join(map(str, self.faults)) or "nothing of its own")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=pathlib.Path, required=True)
    options.add_argument("--seed", default=str(int.from_bytes(os.urandom(4))))
    options.add_argument("--runs", type=int, default=1)
    options.add_argument("--at-once", type=int, default=1, help="machines that are installed at once")
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
        start(rack)
        end = chosen.first + chosen.runs
        for first in range(chosen.first, end, chosen.at_once):
            wave = Wave(rack, chosen.seed, range(first, min(end, first + chosen.at_once)), chosen.longest)
            print(f"# {wave}", flush=True)
            for run, outcome in zip(wave.runs, wave.carry_out()):
                if isinstance(outcome, Failed):
                    failed += 1
                    print(f"NOT OK {passed + failed} - {run}: {outcome}", flush=True)
                    rack.tell(sys.stdout)
                else:
                    passed += 1
                    print(f"ok {passed + failed} - {run}: {outcome}", flush=True)
    finally:
        rack.close()
        shutil.rmtree(work, ignore_errors=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)


main()
