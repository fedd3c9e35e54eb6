#!/usr/bin/env python3
"""Line 4: an agent says what is on its disks. A marker that was made up, or kept from before a proved wipe, must not bring a
system or an identity back, nor move the machine's generation."""
import json
import re
import secrets

from scene import run
from metadata_rack import encoded

GREATEST = (1 << 32) - 1


def marker(host, operation, generation, machine=None):
    record = {"machine": machine or host.id, "operation": operation, "generation": generation, "image": "of-the-attacker",
              "digest": "sha256:" + secrets.token_hex(32), "hostname": "forged"}
    return [{"disk": "sda", "record": record}]


def identity(host, key):
    return {path: host.metadata(path, key)[0] for path in ("/hostler/v1/token?audience=x", "/latest/user-data", "/hostler/v1/self")}


def installed(scene, host):
    """It runs; the operation and every key that its seed has."""
    host.boot_into_agent()
    operation = scene.install(host.id, userData=encoded("#cloud-config\n# s3cr3t\n"), dataSource="nocloud")["id"]
    task = host.work("install")
    seed = host.write(task)
    host.first_boot(task, seed)
    host.kept = task["work"]["install"]["_0"]["record"]
    return operation, sorted(set(re.findall(r"m-[0-9a-z]{4,}\.[0-9a-f]{64}", seed)))


def wiped(scene, host):
    operation = scene.order(f"/v1/machines/{host.id}/wipe", {})["id"]
    host.boot_into_agent()
    task = host.work("wipe")
    for name in ("wipe-disks", "verify-wipe"):
        host.done(task, name)
    return operation


def claims(host, **fields):
    return host.tries("/agent/v1/inventory", host.inventory_body(**fields))


def attack(scene):
    for number, way in enumerate(("the very marker that was on it", "that marker with a new generation", "its own old marker", "its own, of the greatest generation", "its own, of the operation that wiped it",
                                  "another machine's", "one that nobody knows")):
        case(scene, number, way)
    stranger(scene)


def case(scene, number, way):
    host = scene.host(f"w{number}")
    first, keys = installed(scene, host)
    before = {key: identity(host, key) for key in keys}
    opened = [path for paths in before.values() for path, status in paths.items() if status == 200]
    scene.check("while its system runs, its keys open what is its own", "/hostler/v1/token?audience=x" in opened, before)
    wipe = wiped(scene, host)
    clean = host.record()
    scene.check("after a proved wipe it is empty and ready", clean["state"] == "ready" and not clean.get("installed"), clean["state"])
    since = scene.mark()
    found = {
        "the very marker that was on it": lambda: [{"disk": "sda", "record": host.kept}],
        "that marker with a new generation": lambda: [{"disk": "sda", "record": {**host.kept, "generation": clean["generation"] + 1}}],
        "its own old marker": lambda: marker(host, first, clean["generation"]),
        "its own, of the greatest generation": lambda: marker(host, first, GREATEST),
        "its own, of the operation that wiped it": lambda: marker(host, wipe, clean["generation"] + 1),
        "another machine's": lambda: marker(host, first, clean["generation"] + 7, machine="m-zzzzzz"),
        "one that nobody knows": lambda: marker(host, "op-" + "".join(scene.random.choices("0123456789abcdefgh", k=8)), clean["generation"] + 1),
    }[way]()
    what = f"after a proved wipe the agent shows {way}"
    if scene.random.random() < 0.5:
        host.boot_into_agent()
    status, _ = claims(host, installations=found)
    after = host.record()
    scene.tells_of(what, since, host.mac, host.address)
    scene.check(f"{what}: it is not taken as running", after["state"] == "ready" and not after.get("installed"),
                (status, after["state"], after.get("installed")))
    scene.check(f"{what}: its generation is what it was", after["generation"] == clean["generation"], after["generation"])
    got = {key: identity(host, key) for key in keys}
    scene.check(f"{what}: the keys from before open nothing", all(status != 200 for paths in got.values() for status in paths.values()), got)
    try:
        host.become_installed()
        good, seen = host.record()["state"] == "running", host.record()["state"]
    except Exception as failure:  # noqa: BLE001: whatever the attack broke
        good, seen = False, repr(failure)
    scene.check(f"{what}: it can be installed again", good, seen)


def stranger(scene):
    """A host that nobody knows calls itself installed in its first inventory."""
    host = scene.host("new")
    since = scene.mark()
    reply = host.hello()
    status, _ = claims(host, installations=marker(host, "op-" + secrets.token_hex(4), 5))
    record = host.record()
    scene.check("a new host that shows a marker is not taken as running", record["state"] != "running" and not record.get("installed"),
                (status, record["state"], record.get("installed")))
    scene.tells_of("a new host that shows a marker", since, host.mac, host.address)
    scene.check("it is discovered all the same", reply["machine"] == host.id and record["observed"].get("inventory"), json.dumps(record)[:300])


if __name__ == "__main__":
    run("forged markers on disks", attack)
