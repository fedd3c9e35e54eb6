#!/usr/bin/env python3
"""Compares the packages that this checkout builds with, and what each of them needs in turn, with the list that was
reviewed: packaging/dependencies.txt, `owner/name version` a line. docs/dependencies.md says how to raise one.

    dependencies.py            resolve and compare
    dependencies.py --write    resolve and write the list
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIST = ROOT / "packaging/dependencies.txt"


def resolved():
    # Package.resolved is made from Package.swift, and stays out of git: its commit ids are those of the mirror that was asked.
    done = subprocess.run(["swift", "package", "resolve"], cwd=ROOT, text=True, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"swift package resolve: {done.stdout}{done.stderr}")
    found = {}
    for pin in json.loads((ROOT / "Package.resolved").read_text())["pins"]:
        name = "/".join(pin["location"].removesuffix("/").removesuffix(".git").split("/")[-2:])
        # A branch or a commit is no version, and is not taken.
        found[name] = pin["state"].get("version") or "no-version"
    return found


def floating():
    """Direct dependencies that may be more than one version."""
    manifest = (ROOT / "Package.swift").read_text()
    return [line.strip() for line in manifest.splitlines() if re.match(r"\s*\.package\(", line) and " exact: " not in line]


def main():
    found = resolved()
    lines = [f"{name} {version}" for name, version in sorted(found.items(), key=lambda item: item[0].lower())]
    if "--write" in sys.argv[1:]:
        LIST.write_text("\n".join(lines) + "\n")
        return
    complaints = [f"Package.swift: not exact: {line}" for line in floating()]
    listed = LIST.read_text().splitlines()
    complaints += [f"packaging/dependencies.txt does not have: {line}" for line in lines if line not in listed]
    complaints += [f"packaging/dependencies.txt has, and the build does not: {line}" for line in listed if line not in lines]
    if listed != sorted(listed, key=lambda line: line.split()[0].lower()):
        complaints.append("packaging/dependencies.txt is not sorted")
    for complaint in complaints:
        print(complaint)
    if complaints:
        print("See docs/dependencies.md.")
    print(f"dependencies: {len(lines)} packages, {len(complaints)} complaints")
    sys.exit(1 if complaints else 0)


main()
