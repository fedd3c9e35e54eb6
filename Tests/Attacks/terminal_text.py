#!/usr/bin/env python3
"""Line 10: what a machine says reaches an operator's terminal. In every text of every message stands what would drive it: escape
and control sequences, as bytes of one and of two columns, and characters that turn the line around."""
import json
import os
import re

import wire
from machine import Refused
from scene import run
from metadata_rack import encoded

# CSI and OSC by ESC and by C1 (ECMA-48 §5.3), a bell, a carriage return, a backspace, an overriding of the line's direction (UAX 9),
# a line of its own, and a NUL.
DRIVING = ["\x1b]0;owned\x07", "\x1b[2J\x1b[1;1H", "\u009b2J", "\u009d0;owned\u009c", "\x07", "\rroot#", "\b\b\b", "\u202eevil\u202c",
           "\u2066x\u2069", "a\nFORGED-LINE", "\x00", "\u200b\ufeff", "\x7f"]
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def text(scene):
    parts = scene.random.sample(DRIVING, 6)
    return "T" + "z".join(parts) + "T"


def screens(scene, host, operation):
    """What an operator reads, by command."""
    wide = {}
    for command in (["machine", "show", host.id], ["machine", "list"], ["machine", "list", "-o", "wide"], ["operation", "show", operation],
                    ["operation", "list"], ["event", "list", "--last", "1000"], ["event", "list", "-o", "wide"], ["status"],
                    ["event", "list", "-o", "json"], ["machine", "show", host.id, "-o", "json"], ["machine", "show", host.id, "-o", "yaml"],
                    ["operation", "show", operation, "-o", "json"],
                    ["machine", "log", host.id]):
        done = scene.cli(*command, check=False)
        wide[" ".join(command)] = done.stdout + done.stderr
    return wide


def judge(scene, what, host, operation):
    for command, screen in screens(scene, host, operation).items():
        found = FORBIDDEN.search(screen)
        lines = [line for line in screen.splitlines() if line.startswith(("FORGED-LINE", "root#"))]
        seen = screen[max(0, found.start() - 60):found.start() + 60] if found else lines
        scene.check(f"{what}: `hostler {command.replace(host.id, 'ID').replace(operation, 'OP')}` drives no terminal and begins no line",
                    not found and not lines, seen)


def attack(scene):
    host = scene.host("m")
    dirty = lambda: text(scene)  # noqa: E731
    # DHCP: a host name, a vendor class.
    host.lease({**wire.IPXE, "hostname": dirty().encode("utf-8", "replace")[:200]})
    host.boot_into_agent(version=dirty(), serial=dirty(), uuid=dirty())
    disk = {"name": dirty(), "serial": dirty(), "wwn": dirty(), "model": dirty(), "bytes": 1 << 20, "kind": "virtual", "removable": False,
            "logicalBlockBytes": 512, "transport": dirty(), "id": dirty(), "nguid": dirty(), "eui64": dirty(), "place": dirty(),
            "path": dirty(),
            "contents": {"partitions": 3, "items": [{"kind": dirty(), "label": dirty(), "partition": 1}, {"kind": "GPT", "label": dirty()}]}}
    good = host.inventory_body()["disks"][0]
    status, _ = host.tries("/agent/v1/inventory", host.inventory_body(
        system={name: dirty() for name in ("vendor", "product", "version", "serial", "uuid", "sku", "boardVendor", "assetTag")},
        firmware={"mode": "bios", "vendor": dirty(), "version": dirty(), "date": dirty()},
        cpus=[{"model": dirty(), "cores": 1, "threads": 1}],
        memory={"totalBytes": 1 << 30, "dimms": [{"slot": dirty(), "bytes": 1 << 30, "kind": dirty(), "manufacturer": dirty(), "serial": dirty()}]},
        nics=[{"name": dirty(), "mac": host.mac, "link": True, "driver": dirty(), "neighbour": {
            "chassis": dirty(), "port": dirty(), "portDescription": dirty(), "systemName": dirty()}}],
        disks=[good, disk], pci=[{"address": dirty(), "ids": dirty(), "className": dirty(), "name": dirty()}],
        tpm={"version": dirty()}, installations=[]))
    scene.check("the inventory is taken, or refused as malformed", status in (200, 204, 400, 422), status)
    operation = scene.install(host.id, userData=encoded("#cloud-config\n"))["id"]
    task = host.work("install")
    lines = [{"uptimeMilliseconds": number, "text": dirty()} for number in range(5)]
    for path, body in (
            ("/agent/v1/log", {"lines": lines}),
            ("/agent/v1/report", host.report_body(task, "choose-disk", kind="started", evidence={dirty(): dirty(), "serial": dirty()})),
            ("/agent/v1/report", host.report_body(task, "choose-disk", kind="failed", evidence={"why": dirty()}, problem={
                "code": "disk-" + dirty(), "status": 500, "title": dirty(), "detail": dirty() + "\n" + dirty(), "remedy": dirty()}))):
        try:
            host.ask(path, body)
        except Refused as refusal:
            scene.check(f"{path} with such a text is refused as malformed", refusal.status in (400, 422), refusal)
    judge(scene, "said by an agent", host, operation)
    # A call home, with a host name, an instance and a key that drive.
    other = scene.host("n")
    other.boot_into_agent()
    operation = scene.install(other.id, userData=encoded("#cloud-config\n"))["id"]
    task = other.work("install")
    seed = other.write(task)
    other.firmware()
    home = re.search(r"http://[0-9.:]+(/call-home/\S+)", seed)[1]
    key = "ssh-ed25519 AAAA" + dirty()
    other.ask(home, form={"instance_id": operation, "hostname": dirty(), "pub_key_ed25519": key})
    judge(scene, "said by a system that calls home", other, operation)
    state = other.record()["state"]
    scene.check("and its machine runs", state == "running", state)
    # What asks without any session: names in a path and in a query.
    for path in (f"/boot/{dirty()}", f"/boot/script?mac={dirty()}", f"/agent/v1/{dirty()}", f"/images/blobs/{dirty()}"):
        other.request("GET", "".join(c if 32 < ord(c) < 127 else "".join(f"%{b:02X}" for b in c.encode()) for c in path))
    judge(scene, "said in a request", other, operation)
    log = (scene.state / "serve.log").read_text(errors="replace")
    found = FORBIDDEN.search(log)
    scene.check("the server's log drives no terminal", not found, log[max(0, found.start() - 80):found.start() + 80] if found else "")
    raw = json.dumps(scene.machines()) + json.dumps(scene.all_events())
    scene.check("there was something to clean: the texts are in the record", raw.count("T") > 50 and os.path.exists(scene.state), len(raw))


if __name__ == "__main__":
    run("texts that drive a terminal", attack)
