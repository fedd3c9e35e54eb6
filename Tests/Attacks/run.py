#!/usr/bin/env python3
"""The attack suite: every attack in this folder, one after the other, each in namespaces of its own.

    run.py [--seed N] [--list] [ATTACK …]

As root. `HOSTLER` names the program that is attacked; else out/bin/hostler, else .build/debug/hostler. Each attack has a seed,
which chooses what is attacked, with which message, at which moment; it is printed, and `--seed` sets it. Ends with “N passed,
M failed”. docs/threat-model.md says what each attack is about.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import time

import paths
from enclosure import die_with_parent

HERE = pathlib.Path(__file__).resolve().parent
# Those that take long, or need more than a program: asked for by name only.
BY_NAME = ["install_beside_floods"]
PARTS = sorted(path.stem for path in HERE.glob("*.py") if "\nif __name__" in path.read_text() and path.stem != "run")
SECONDS = 150


def carried_out(name, seed):
    """How many checks passed and failed; a failure at least where it did not come to its end."""
    began = time.monotonic()
    print(f"\n== {name}", flush=True)
    command = [sys.executable, str(HERE / f"{name}.py")] + (["--seed", str(seed)] if seed is not None else [])
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", stdin=subprocess.DEVNULL,
        preexec_fn=die_with_parent)
    passed = failed = None
    try:
        for line in child.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            found = re.fullmatch(r"(\d+) passed, (\d+) failed\n", line)
            if found:
                passed, failed = map(int, found.groups())
        code = child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    print(f"# {name}: {time.monotonic() - began:.0f} s", flush=True)
    if passed is None:
        return 0, 1
    return passed, max(failed, 1 if code else 0)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int)
    options.add_argument("--list", action="store_true", help="the attacks' names")
    options.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="ATTACK")
    chosen = options.parse_args()
    usual = [name for name in PARTS if name not in BY_NAME]
    if chosen.list:
        print("\n".join(usual))
        return 0
    if not os.path.exists(paths.HOSTLER):
        sys.exit(f"there is no {paths.HOSTLER}: make binaries, or set HOSTLER")
    passed = failed = 0
    for name in chosen.parts or usual:
        good, bad = carried_out(name, chosen.seed)
        passed, failed = passed + good, failed + bad
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
