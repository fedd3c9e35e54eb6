#!/usr/bin/env python3
"""A system says that it is up, until that is acknowledged. A neighbour says so in its place: with a code of his own, with that of
another installation, with host keys of his own in what he has read on the wire, and with that very message, before and after a
proved wipe."""
import hashlib
import re
import secrets

from scene import run
from metadata_rack import encoded

MINE = "ssh-ed25519 " + "AAAAC3NzaC1lZDI1NTE5AAAAI" + "B" * 43
HIS = "ssh-ed25519 " + "AAAAC3NzaC1lZDI1NTE5AAAAI" + "C" * 43


def code(key, text):
    """As a shell makes it with sha256sum."""
    inner = hashlib.sha256((key + text).encode()).hexdigest()
    return hashlib.sha256((key + inner).encode()).hexdigest()


def message(operation, key, nonce, line=MINE):
    text = f"hostler-call-home 1\noperation {operation}\nnonce {nonce}\ninstance {operation}\nhostname web-1\ncloud-init finished\nkey {line}"
    return f"{text}\ncode {code(key, text)}\n"


def says(host, operation, body):
    """Status and answer."""
    status, text = host.request("POST", f"/call-home/{operation}", body.encode(), {"Content-Type": "text/plain"})
    return status, text.decode("latin-1")


def installing(scene, host):
    """Up to the restart; the operation, and the key that its seed has for it."""
    host.boot_into_agent()
    operation = scene.install(host.id, userData=encoded("#cloud-config\n"))["id"]
    seed = host.write(host.work("install"))
    return operation, re.search(r"^KEY=([0-9a-f]{64})$", seed, re.M)[1]


def wiped(scene, host):
    scene.order(f"/v1/machines/{host.id}/wipe", {})
    host.boot_into_agent()
    task = host.work("wipe")
    for name in ("wipe-disks", "verify-wipe"):
        host.done(task, name)
    host.session = None


def kept(host):
    record = host.record()
    return record["state"], record.get("installed"), record.get("openOperation"), record["generation"]


def attack(scene):
    victim, neighbour = scene.host("victim"), scene.host("neighbour")
    operation, key = installing(scene, victim)
    his, his_key = installing(scene, neighbour)
    victim.firmware()
    neighbour.firmware()
    nonce, before = secrets.token_hex(32), kept(victim)
    good = message(operation, key, nonce)
    forged = {
        "with a code of his own": message(operation, secrets.token_hex(32), nonce, HIS),
        "with the code of his own installation": message(operation, his_key, nonce, HIS),
        "with host keys of his own in what the system said": good.replace(MINE, HIS),
        "with a nonce of his own in what the system said": good.replace(nonce, secrets.token_hex(32)),
        "with an empty key": message(operation, "", nonce, HIS),
        "with the operation's id in another one's message": message(his, his_key, nonce, HIS).replace(his, operation),
    }
    for way, body in scene.random.sample(sorted(forged.items()), len(forged)):
        status, answer = says(neighbour, operation, body)
        scene.check(f"a call home {way} is refused", status == 403 and nonce not in answer and "acknowledged" not in answer, (status, answer[:200]))
    for body in ("", "\n" * 60_000, "x" * 65_000, good[:-30], good * 40, good.replace("hostname web-1", "hostname \x1b[2J")):
        status, _ = says(neighbour, operation, body)
        scene.check("what is no call home is refused, and the server goes on", status in (400, 403, 413), status)
    scene.check("nothing of that has changed the record", kept(victim) == before, kept(victim))
    status, answer = says(victim, operation, good)
    scene.check("the system's own is acknowledged, with a code that only the server can make",
                (status, answer) == (200, f"acknowledged {code(key, f'acknowledged {nonce}')}\n"), (status, answer))
    after = kept(victim)
    scene.check("and its machine runs, with its own host keys", after[0] == "running" and after[1]["hostKeys"] == [MINE], after)
    status, answer = says(neighbour, operation, good)
    scene.check("said again by who has read it, it changes nothing", kept(victim) == after, (status, kept(victim)))
    wiped(scene, victim)
    clean = kept(victim)
    scene.check("after a proved wipe the machine is empty", clean[0] == "ready" and not clean[1], clean)
    for host in (neighbour, victim):
        status, answer = says(host, operation, good)
        scene.check("after a proved wipe the same message brings nothing back", kept(victim) == clean, (status, answer, kept(victim)))
    status, answer = says(neighbour, his, message(his, his_key, nonce, HIS))
    scene.check("an honest machine beside all that is heard", answer.startswith("acknowledged ") and kept(neighbour)[0] == "running", (status, answer))


if __name__ == "__main__":
    run("forged call homes", attack)
