#!/usr/bin/env python3
"""Where the seconds of a machine went, from power-on to proof: seconds.py STATE MACHINE POWERED-ON

POWERED-ON is in seconds since 1970. Takes the newest inspection and installation of the machine in the record."""
import datetime
import json
import subprocess
import sys


def hostler(state, *words):
    out = subprocess.run(["out/bin/hostler", *words, "--output", "json", "--state-dir", state], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def newest(operations, kind):
    found = [o for o in operations if o["kind"] == kind and o["state"] == "succeeded"]
    return max(found, key=lambda o: o["createdAt"])


def main(state, machine, powered_on):
    listed = hostler(state, "operation", "list", "--machine", machine)
    listed = listed.get("items", listed) if isinstance(listed, dict) else listed
    operations = [hostler(state, "operation", "show", o["id"]) for o in listed if o["machine"] == machine]
    steps = {kind: {s["name"]: s for s in newest(operations, kind)["steps"]} for kind in ("inspect", "install")}

    def took(kind, name):
        step = steps[kind][name]
        return seconds(step["finishedAt"]) - seconds(step["startedAt"])

    agent = steps["inspect"]["boot-agent"]["evidence"]
    system = steps["install"]["first-boot"]["evidence"]
    rows = [
        ("firmware, to its first DHCP question", seconds(agent["bootAskedAt"]) - float(powered_on)),
        ("DHCP, iPXE, boot script", agent["dhcpSeconds"]),
        ("kernel, ramdisk and agent, to its hello", agent["loadSeconds"]),
        ("inventory", took("inspect", "inventory")),
        None,
        ("the disk is chosen", took("install", "choose-disk")),
        ("the image is written and verified", took("install", "write-image")),
        ("seed, boot order", took("install", "write-seed") + took("install", "boot-order") + took("install", "restart")),
        ("restart and firmware", system["firmwareSeconds"]),
        ("DHCP, iPXE, boot script", system["dhcpSeconds"]),
        ("the system's kernel and services, to its network", system["systemSeconds"]),
        ("cloud-init, to its call home", system["cloudInitSeconds"]),
    ]
    total = 0.0
    for row in rows:
        if row is None:
            print(f"  {'(discovered; it waits for the call)':<52}")
            continue
        total += float(row[1])
        print(f"  {row[0]:<52}{float(row[1]):7.1f} s")
    print(f"  {'power-on to proof':<52}{total:7.1f} s")


main(*sys.argv[1:])
