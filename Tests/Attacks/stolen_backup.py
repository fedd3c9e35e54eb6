#!/usr/bin/env python3
"""Line 5: one backup is stolen, or the disk with the record. Nothing that opens a machine's session, secrets or identity may be in it,
nor what was deleted; what the code of b044adb derived from `/secrets/boot` must open nothing."""
import base64
import hashlib
import hmac
import json
import re
import secrets
import sqlite3
import time

from scene import run
from machine import Refused
from metadata_rack import encoded
from played_machine import Astray


def forms(text):
    """As it may stand in a file: plain, in base64 at any offset, in hex."""
    data = text.encode()
    found = {data, data.hex().encode(), data.hex().upper().encode()}
    for pad in range(3):
        coded = base64.b64encode(bytes(pad) + data)
        found.add(coded[4 if pad else 0:len(coded) - 4])
    return found


def contains(blob, text):
    return any(form in blob for form in forms(text))


def values(path):
    """Every value of every version in an SQLite file, by key; of secrets the sealed ones, which rest in pages of their own."""
    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as database:
        rows = database.execute("SELECT key, value FROM versions WHERE value IS NOT NULL").fetchall()
        secrets_of = "SELECT e.key, s.first_page, s.byte_count FROM entries e JOIN secrets s ON s.id = e.id"
        for key, first, size in database.execute(secrets_of).fetchall():
            pages = database.execute("SELECT bytes FROM secret_pages WHERE id >= ? ORDER BY id LIMIT ?", (first, max(1, -(-size // 4000))))
            rows.append((key, b"".join(page for page, in pages)[:size]))
    return [(key, bytes(value) if not isinstance(value, bytes) else value) for key, value in rows]


def attack(scene):
    canaries, keys = {}, {}
    ended = scene.host("ended")
    ended.boot_into_agent()
    canaries["user-data of an installation that ended well"] = install(scene, ended, keys)
    cancelled = scene.host("cancelled")
    cancelled.boot_into_agent()
    canaries["user-data of an installation that was cancelled"] = canary = "canary-" + secrets.token_hex(12)
    operation = scene.install(cancelled.id, userData=encoded("#cloud-config\n# " + canary))["id"]
    scene.api("POST", f"/v1/operations/{operation}/cancel", {})
    working = scene.host("working")
    working.boot_into_agent()
    canaries["user-data of an installation under way"] = canary = "canary-" + secrets.token_hex(12)
    under_way = scene.install(working.id, userData=encoded("#cloud-config\n# " + canary))["id"]
    working.work("install")
    session = working.session
    looping = scene.host("looping")
    canaries["user-data of an installation that ended by a boot loop"] = loop(scene, looping)
    made = scene.api("POST", "/v1/tokens", {"name": "t", "role": "viewer"})["secret"]
    canaries.update({"an agent's session": session, "an API token": made, "the admin's token": scene.token})
    canaries.update(keys)

    backup = scene.work / "stolen.backup"
    scene.cli("backup", backup)
    stolen = backup.read_bytes()
    scene.check("the backup is one: it names the machines", all(host.id.encode() in stolen for host in (ended, working)), len(stolen))
    for what, text in canaries.items():
        scene.check(f"in the backup there is no {what}", not contains(stolen, text), text[:12])
    resting = b"".join(path.read_bytes() for path in sorted(scene.state.glob("hostler.db*")))
    for what, text in canaries.items():
        if "under way" not in what:
            scene.check(f"nor in the record and its log on the disk: {what}", not contains(resting, text), text[:12])
    forge(scene, backup, working, under_way, ended)
    working.boot_into_agent()
    task = working.work("install")
    seed = working.write(task)
    working.first_boot(task, seed)
    scene.check("the machine that is at work runs at the end", working.record()["state"] == "running", working.record()["state"])


def install(scene, host, keys):
    canary = "canary-" + secrets.token_hex(12)
    scene.install(host.id, userData=encoded("#cloud-config\n# " + canary))
    task = host.work("install")
    seed = host.write(task)
    scene.check("the seed has the user-data, and keys", canary in seed and re.search(r"m-[0-9a-z]{4,}\.[0-9a-f]{64}", seed), seed[-100:])
    for number, key in enumerate(sorted(set(re.findall(r"m-[0-9a-z]{4,}\.[0-9a-f]{64}", seed)))):
        keys[f"key {number} of a running system"] = key.split(".")[1]
        host.key = key
    keys["proof of a call home"] = re.search(r"/call-home/op-[0-9a-z]+/([0-9a-zA-Z]+)", seed)[1]
    host.first_boot(task, seed)
    return canary


def loop(scene, host):
    """Boots into the agent in the middle of its installation until the control plane has seen enough."""
    host.boot_into_agent()
    canary = "canary-" + secrets.token_hex(12)
    operation = scene.install(host.id, userData=encoded("#cloud-config\n# " + canary))["id"]
    host.work("install")
    for _ in range(40):
        if scene.api("GET", f"/v1/operations/{operation}")["state"] != "running":
            break
        try:
            host.hello(host.script())
        except Astray:
            break
        except Refused as refusal:
            # It boots faster than its agent may say hello.
            if refusal.status != 429:
                raise
            time.sleep(3)
    state = scene.api("GET", f"/v1/operations/{operation}")["state"]
    scene.check("a machine that boots for ever ends its installation", state == "failed", state)
    return canary


def forge(scene, backup, working, under_way, ended):
    """What can be made of every secret in the backup, as b044adb made it."""
    found = [value for key, value in values(backup) if key.startswith("/secrets/") or key.startswith("/control/")]
    # A thief would try what is sealed as it is, and without what stands before it.
    found += [value[start:start + 32] for value in found for start in (12, 24) if len(value) > 56]
    scene.check("there are secrets in the backup, and they are sealed", len(found) > 4 and any(value[:3] == b"HSS" for value in found))
    scene.check("the backup's values can be read", len(values(backup)) > 10, len(values(backup)))
    record = scene.api("GET", f"/v1/machines/{working.id}")
    boot = record["observed"]["agent"]["boot"]
    thief = scene.host("thief")
    thief.lease()
    opened = []
    operation = ended.record()["installed"]["operation"]
    for secret in found + [hashlib.sha256(value).digest() for value in found]:
        code = hmac.new(secret, f"session|{working.id}|{boot}".encode(), hashlib.sha256).hexdigest()
        status, _ = working.request("GET", f"/seeds/{under_way}", headers={"Authorization": f"Bearer {working.id}.{code}"})
        if status == 200:
            opened.append("the seed of the installation under way, by a forged session")
        nonce_expiry = format(2_000_000_000_000, "x")
        tag = hmac.new(secret, f"nonce|{nonce_expiry}|00|{thief.mac}".encode(), hashlib.sha256).hexdigest()
        status, _ = thief.tries("/agent/v1/hello", thief.hello_body(f"{nonce_expiry}.00.{tag}"))
        if status == 200:
            opened.append("a session, by a forged nonce")
        derived = hmac.new(secret, b"metadata", hashlib.sha256).digest()
        key = hmac.new(derived, f"instance-key|{ended.id}|{operation}".encode(), hashlib.sha256).hexdigest()
        if ended.metadata("/hostler/v1/token?audience=x", f"{ended.id}.{key}")[0] == 200:
            opened.append("the identity of a running system, by its key")
    scene.check("of the secrets in the backup nothing is made that opens anything", not opened, opened)
    honest = ended.metadata("/hostler/v1/token?audience=x", ended.key)
    other = [status for status in (ended.metadata("/hostler/v1/self", ended.key)[0],) if status == 200]
    scene.check("the running system's own key opens what it did", honest[0] == 200 or other, (honest[0], json.dumps(other)))


if __name__ == "__main__":
    run("a stolen backup", attack)
