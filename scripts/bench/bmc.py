"""Hundreds of virtual BMCs at once: a status sweep and an all-power-on, beside loops of sushy calls that do the same.

`hostler lab bmc simulate` plays the BMCs in a process of its own: TLS on loopback, 50 ms from each question to its
answer; some hang. Our side is `bmc-bench`: the control plane with its store, as `hostler serve` has it. The peer is
OpenStack's sushy (PyPI), as an operator's script would call it: one BMC after the other, and from a pool of threads.
The peer is spared those that hang.
"""
import json
import os
import subprocess

from wire import CACHE, ROOT, Processes, sh

BENCH = str(ROOT / "out/bin/bmc-bench")
HOSTLER = str(ROOT / "out/bin/hostler")
LOOP = str(ROOT / "scripts/bench/sushy_loop.py")
SUSHY = "sushy==5.14.0"
COUNT, HUNG, LATENCY_MS = 500, 5, 50
# Spread over the rack, so that a queue with few places would show.
HUNG_NUMBERS = [1 + index * (COUNT // HUNG) for index in range(HUNG)]
SWEEPS = 3
THREADS = 32


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Rack:
    """The process that plays the BMCs."""

    def __init__(self, processes):
        self.processes = processes
        self.child = processes.start(
            [HOSTLER, "lab", "bmc", "simulate", "--count", str(COUNT), "--port", "0", "--fault", f"slow={LATENCY_MS}", "--orders"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"})
        self.lines = []
        while len(self.lines) < COUNT:
            line = self.child.stdout.readline()
            if not line:
                raise RuntimeError(f"simulate ended with {self.child.wait()} after {len(self.lines)} BMCs")
            if line.startswith("http"):
                self.lines.append(line.strip())
        self.resident_empty = resident(self.child.pid)

    def hang(self, numbers):
        for number in numbers:
            self.child.stdin.write(f"{number} hang\n")
        self.child.stdin.flush()

    def end(self):
        self.processes.stop(self.child)


def ours(processes, folder, say):
    rack = Rack(processes)
    say(f"bmc: {COUNT} BMCs are there")
    errors = open(folder / "bmc-bench.log", "w+")
    child = processes.start(
        [BENCH, str(folder), str(SWEEPS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        child.stdin.write("".join(line + "\n" for line in rack.lines) + "\n")
        child.stdin.flush()
        if child.stdout.readline().strip() != "added":
            raise RuntimeError(f"bmc-bench did not add them: {tail(errors)}")
        rack.hang(HUNG_NUMBERS)
        say(f"bmc: all are in the record; {HUNG} of them hang from now on")
        child.stdin.write(" ".join(map(str, HUNG_NUMBERS)) + "\n")
        child.stdin.close()
        out = child.stdout.read()
        if child.wait() != 0:
            raise RuntimeError(f"bmc-bench ended with {child.returncode}: {tail(errors)}")
        figures = json.loads(out.strip().splitlines()[-1])
        figures["rack_resident"] = resident(rack.child.pid)
        figures["rack_resident_empty"] = rack.resident_empty
        return figures
    finally:
        processes.children.remove(child)
        if child.poll() is None:
            child.kill()
        rack.end()


def tail(file):
    file.seek(0)
    return file.read()[-1000:]


def peer(processes, folder, say):
    venv = CACHE / "bench-venv"
    if not (venv / "bin/python").exists() or sh(str(venv / "bin/python"), "-c", "import sushy", check=False).returncode:
        sh("python3", "-m", "venv", str(venv))
        sh(str(venv / "bin/pip"), "install", "--quiet", SUSHY)
    rack = Rack(processes)
    try:
        healthy = [line for number, line in enumerate(rack.lines, 1) if number not in HUNG_NUMBERS]
        listing = folder / "bmcs"
        listing.write_text("\n".join(healthy) + "\n")
        figures = {}
        for name, threads in (("loop", 1), ("threads", THREADS)):
            out = sh(str(venv / "bin/python"), LOOP, str(listing), str(threads), timeout=1800).stdout
            figures[name] = json.loads(out)
            say(f"bmc: sushy, {threads} at a time: {figures[name]}")
        return {**figures, "version": SUSHY.split("==")[1], "thread_count": THREADS}
    finally:
        rack.end()


def measure(folder, say, keep):
    processes = Processes()
    try:
        figures = {"count": COUNT, "hung": HUNG, "latency_ms": LATENCY_MS, "hostler": ours(processes, folder, say)}
        say(f"bmc: {figures['hostler']}")
        keep(figures)
        figures["sushy"] = peer(processes, folder, say)
        keep(figures)
    finally:
        processes.stop_all()
