"""Figures beside the peers', in one run on one machine: `make bench`, or scripts/bench.sh.

Everything happens between network namespaces and in labs that are made here and removed again. Each part's figures go
into out/bench.json as soon as it is done, so that a part can be measured again by itself (`--only`); the table is made
of that file.
"""
import argparse
import datetime
import json
import pathlib
import signal
import sys
import tempfile
import time

import bmc
import dhcp
import install
import metadata
import peer
import report
import transfer
from wire import ROOT, Wire, say

RESULTS = ROOT / "out/bench.json"
PAGE = ROOT / "docs/benchmarks.md"


def parts(options):
    """In the order of their cost; each takes a function to which it gives what was measured, at the end or as it goes."""
    def on_wire(measure, runs):
        def part(keep):
            with Wire() as wire:
                keep(measure(wire, runs, say))
        return part
    def bmcs(keep):
        with tempfile.TemporaryDirectory(prefix="hostler-bench.") as folder:
            bmc.measure(pathlib.Path(folder), say, keep)
    return {
        "size": lambda keep: keep(report.sizes()),
        "memory": on_wire(transfer.measure_memory, options.runs),
        "http": on_wire(transfer.measure_http, options.runs),
        "tftp": on_wire(transfer.measure_tftp, options.runs),
        "dhcp": on_wire(dhcp.measure, options.runs),
        "metadata": lambda keep: keep(metadata.measure(options.runs, say)),
        "bmc": bmcs,
        "install": lambda keep: install.measure(
            options.installs, options.firmware, options.restart, options.accelerator, say, keep),
        "peer": lambda keep: keep(peer.measure(options.peer_runs, options.peer_limit * 60, options.accelerator, say)),
    }


def saved():
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"parts": {}}


def save(name, part):
    """The other parts stay as they are in the file."""
    results = saved()
    results["host"] = report.host()
    results["parts"][name] = part
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def main():
    names = list(parts(argparse.Namespace(**dict.fromkeys(
        ("runs", "installs", "peer_runs", "peer_limit", "firmware", "restart", "accelerator")))))
    reader = argparse.ArgumentParser(prog="scripts/bench.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--only", default=",".join(names), help=f"parts, with commas between them: {','.join(names)}")
    reader.add_argument("--runs", type=int, default=5, help="runs of the DHCP, metadata, HTTP, TFTP and memory parts")
    reader.add_argument("--installs", type=int, default=10, help="installations, and boots from the disk between them")
    reader.add_argument("--peer-runs", type=int, default=1, help="installations package by package")
    reader.add_argument("--peer-limit", type=int, default=40, help="minutes after which it is broken off and counted as slower")
    reader.add_argument("--firmware", choices=("bios", "uefi"), default="bios", help="of the machines that are installed")
    reader.add_argument("--restart", choices=("reboot", "kexec"), help="how an installed machine starts; else as the server chooses")
    reader.add_argument("--accelerator", choices=("probe", "kvm", "tcg"), default="probe", help="what runs the guests; the lab's own choice unless given")
    reader.add_argument("--report", action="store_true", help="measure nothing: print the table of out/bench.json")
    reader.add_argument("--page", action="store_true", help="put the table into docs/benchmarks.md as well")
    options = reader.parse_args()
    if min(options.runs, options.installs, options.peer_runs) < 1:
        reader.error("runs are counted from 1")
    chosen = [] if options.report else options.only.split(",")
    unknown = set(chosen) - set(names)
    if unknown:
        reader.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(names)}")

    # A termination cleans up like an error.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    command = "scripts/bench.sh" + "".join(f" {word}" for word in sys.argv[1:] if word not in ("--page", "--report"))
    failed = []
    RESULTS.parent.mkdir(exist_ok=True)
    for name, measure in parts(options).items():
        if name not in chosen:
            continue
        others = report.busy_share()
        say(f"{name}: begins; other work takes {others:.0%} of the processors")
        part = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "command": command,
            "commit": report.commit(), "others_before": others}
        began = time.time()

        def keep(figures):
            save(name, {**part, "seconds": round(time.time() - began), "figures": figures})
        try:
            measure(keep)
        except Exception as error:  # one part's failure must not cost the others' figures
            say(f"{name}: FAILED: {error}")
            failed.append(name)
            continue
        save(name, {**saved()["parts"][name], "others_after": report.busy_share()})
    results = saved()
    if not results["parts"]:
        sys.exit("nothing was measured")
    text = report.text(results)
    print("\n" + text)
    if options.page:
        report.put_into(PAGE, text)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


main()
