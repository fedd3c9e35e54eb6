#!/usr/bin/env python3
"""The attack suite: every attack in this folder, each in namespaces of its own.

    run.py [--seed N] [--jobs N] [--list] [ATTACK …]

As root. `HOSTLER` names the program that is attacked; else out/bin/hostler, else .build/debug/hostler. Each attack has a seed,
which chooses what is attacked, with which message, at which moment; it is printed, and `--seed` sets it. Two attacks run at once,
but for the one that measures times. Ends with “N passed, M failed”. docs/threat-model.md says what each attack is about.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import paths
from enclosure import die_with_parent

HERE = pathlib.Path(__file__).resolve().parent
# Those that take long, or need more than a program: asked for by name only.
BY_NAME = ["install_beside_floods"]
ALONE = ["floods", "install_beside_floods"]
LONGEST_FIRST = ["api_floods", "extremes", "foreign_trace", "claimed_mac"]
running, ended = set(), []
PARTS = sorted(path.stem for path in HERE.glob("*.py") if "\nif __name__" in path.read_text() and path.stem != "run")


def carried_out(name, seed):
    """What it printed, and how many checks passed and failed: one at least where it did not come to its end."""
    began = time.monotonic()
    command = [sys.executable, str(HERE / f"{name}.py")] + (["--seed", str(seed)] if seed is not None else [])
    if ended:
        return 0, 1
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", stdin=subprocess.DEVNULL,
        preexec_fn=die_with_parent)
    running.add(child)
    printed, _ = child.communicate()
    running.discard(child)
    found = re.findall(r"^(\d+) passed, (\d+) failed$", printed, re.M)
    passed, failed = map(int, found[-1]) if found else (0, 1)
    print(f"\n== {name}\n{printed}# {name}: {time.monotonic() - began:.0f} s", flush=True)
    return passed, max(failed, 1 if child.returncode else 0)


def end(number, _):
    """Each attack is ended, and cleans up after itself; no other is begun."""
    ended.append(number)
    for child in list(running):
        child.send_signal(signal.SIGTERM)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int)
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--list", action="store_true", help="the attacks' names")
    options.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="ATTACK")
    chosen = options.parse_args()
    usual = [name for name in PARTS if name not in BY_NAME]
    if chosen.list:
        print("\n".join(usual))
        return 0
    if not os.path.exists(paths.HOSTLER):
        sys.exit(f"there is no {paths.HOSTLER}: make binaries, or set HOSTLER")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    parts = chosen.parts or usual
    results = [carried_out(name, chosen.seed) for name in parts if name in ALONE]
    together = [name for name in parts if name not in ALONE]
    together.sort(key=lambda name: LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST))
    with concurrent.futures.ThreadPoolExecutor(max(1, chosen.jobs)) as pool:
        results += pool.map(lambda name: carried_out(name, chosen.seed), together)
    passed, failed = (sum(numbers) for numbers in zip(*results))
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
