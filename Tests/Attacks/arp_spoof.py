#!/usr/bin/env python3
"""Line 12: the kernel's neighbour table has what ARP says, not who sent the frame. A host whose frames carry its own MAC address
says by ARP that a machine's address is at that machine's MAC address, or that the machine's address is at its own."""
import json
import secrets

import tcp
import wire
from scene import run
from metadata_rack import encoded


def attack(scene):
    for number, says in enumerate(("the machine's MAC address", "its own MAC address")):
        spoof(scene, number, says)
    beside_a_live_one(scene)


def spoof(scene, number, says):
    """The machine is off, so nobody speaks against it, and the switch sends its frames to every port."""
    host, thief = scene.host(f"v{number}"), scene.host(f"a{number}")
    host.boot_into_agent()
    canary = "#cloud-config\n# canary-" + secrets.token_hex(8)
    host.session = None
    operation = scene.install(host.id, userData=encoded(canary))["id"]
    thief.lease()
    before = host.record()
    host.cable(False)
    since, what = scene.mark(), f"ARP says that its address is at {says}"
    mouth = thief.as_neighbour(thief.mac, host.address, says=host.mac if number == 0 else thief.mac)
    status, script = mouth.http("GET", f"/boot/script?mac={host.mac}&platform=bios")
    nonce = host.nonce_in(script.decode("latin-1"))
    scene.check(f"{what}: no nonce", nonce is None, script)
    got = loot(host, mouth, nonce, operation, canary) if nonce else []
    scene.check(f"{what}: no session, task or seed", not got, got)
    scene.tells_of(what, since, thief.mac, host.address)
    same = {key: (before.get(key), after) for key, after in host.record().items()
            if key in ("interfaces", "state", "openOperation", "generation") and before.get(key) != after}
    scene.check(f"{what}: the machine's record is as before", not same, same)
    host.cable(True)
    try:
        host.boot_into_agent()
        task = host.work("install")
        seed = host.write(task)
        host.first_boot(task, seed)
        scene.check(f"{what}: the machine itself, back on the wire, gets its seed and runs",
                    canary in seed and host.record()["state"] == "running", host.record()["state"])
    except Exception as failure:  # noqa: BLE001: whatever the attack broke
        scene.check(f"{what}: the machine itself, back on the wire, gets its seed and runs", False, repr(failure))


def loot(host, mouth, nonce, operation, canary):
    body = json.dumps(host.hello_body(nonce)).encode()
    status, text = mouth.http("POST", "/agent/v1/hello", body)
    if status != 200:
        return []
    session = {"Authorization": "Bearer " + json.loads(text)["session"]}
    mouth.http("POST", "/agent/v1/task", b'{"generation":0}', session)
    _, seed = mouth.http("GET", f"/seeds/{operation}", headers=session)
    return ["a session"] + (["the seed with its user-data"] if canary.encode() in seed else [])


def beside_a_live_one(scene):
    """The machine is at work while a neighbour says again and again that its address is elsewhere. It may be slowed down, as every
    host of an Ethernet without protection may; what is done for it must be the same."""
    host, thief = scene.host("live"), scene.host("poisoner")
    thief.lease()
    host.boot_into_agent()
    scene.install(host.id, userData=encoded("#cloud-config\n"))
    task = host.work("install")
    resolved = tcp.Impersonator(wire.Port(thief.space), thief.mac, thief.address, scene.ADDRESS).resolve()
    server = wire.mac_text(wire.mac_bytes(resolved))
    since = scene.mark()
    for _ in range(20):
        thief.port.send(wire.arp(2, thief.mac, host.address, scene.ADDRESS, server, destination=server))
        thief.port.send(wire.arp(1, thief.mac, host.address, scene.ADDRESS))
    host.port.send(wire.arp(1, host.mac, host.address, scene.ADDRESS))
    script = thief.as_neighbour(thief.mac, host.address).http("GET", f"/boot/script?mac={host.mac}&platform=bios", seconds=3)[1]
    scene.check("while the machine is at work, its address at another's MAC address gets no nonce", b"nonce=" not in script, script)
    scene.tells_of("that somebody has taken its address", since, thief.mac, host.address)
    host.take(host.address)
    seed = host.write(task)
    host.first_boot(task, seed)
    scene.check("the machine runs", host.record()["state"] == "running", host.record()["state"])


if __name__ == "__main__":
    run("addresses taken by ARP", attack)
