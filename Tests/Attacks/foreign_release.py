#!/usr/bin/env python3
"""Line 12: DHCP messages that a neighbour sends in a machine's name: RELEASE and DECLINE of its lease."""
import os
import secrets
import time

import wire
from scene import run
from metadata_rack import encoded


def forged(kind, host, thief, way):
    """As a frame of the thief's port. `way`: which IP source, and through which checks it would slip."""
    body = wire.dhcp(
        kind, host.mac, int.from_bytes(os.urandom(4)), ciaddr=host.address if kind == wire.RELEASE else "0.0.0.0", server=thief.server,
        requested=host.address if kind == wire.DECLINE else None)
    source = {"its own address": thief.address, "the machine's address": host.address, "no address": "0.0.0.0"}[way]
    return body, source


def attack(scene):
    for number, (kind, name, way) in enumerate([
            (wire.RELEASE, "RELEASE", "its own address"), (wire.RELEASE, "RELEASE", "the machine's address"),
            (wire.RELEASE, "RELEASE", "no address"), (wire.DECLINE, "DECLINE", "its own address"), (wire.DECLINE, "DECLINE", "no address")]):
        case(scene, number, kind, name, way)
    honest(scene)


def case(scene, number, kind, name, way):
    host, thief = scene.host(f"v{number}"), scene.host(f"a{number}")
    host.boot_into_agent()
    canary = "#cloud-config\n# canary-" + secrets.token_hex(8)
    scene.install(host.id, userData=encoded(canary))
    thief.lease()
    since, what = scene.mark(), f"a {name} of another's lease, from {way}"
    body, source = forged(kind, host, thief, way)
    for _ in range(3):
        wire.send_dhcp(thief.port, thief.mac, body, source=source, destination=scene.ADDRESS if source != "0.0.0.0" else "255.255.255.255")
    time.sleep(0.3)
    # What the lease is for: who may have the machine's nonce, and who has the address.
    greedy = scene.host(f"g{number}")
    reply = ask_for(greedy, host.address)
    scene.check(f"{what}: the address is given to nobody else", reply is None or reply != host.address, reply)
    script = host.script()
    scene.check(f"{what}: the machine is known at its address all the while", host.nonce_in(script), script)
    scene.tells_of(what, since, thief.mac, None if source == "0.0.0.0" else source)
    try:
        task = host.work("install")
        seed = host.write(task)
        host.first_boot(task, seed)
        good, seen = canary in seed and host.record()["state"] == "running", host.record()["state"]
    except Exception as failure:  # noqa: BLE001: whatever the attack broke
        good, seen = False, repr(failure)
    scene.check(f"{what}: the machine goes on, and runs", good, seen)


def ask_for(greedy, address):
    """The address that a new host gets which asks for this one (option 50)."""
    reply = wire.lease(greedy.port, greedy.mac, wire.SYSTEM, seconds=4, wants=address)
    return reply and reply.address


def honest(scene):
    """A machine gives its own lease back: that goes as before."""
    host, next_one = scene.host("own"), scene.host("next")
    host.lease(wire.SYSTEM)
    address = host.address
    body = wire.dhcp(wire.RELEASE, host.mac, 7, ciaddr=address, server=scene.ADDRESS)
    wire.send_dhcp(host.port, host.mac, body, source=address, destination=scene.ADDRESS)
    time.sleep(0.3)
    got = ask_for(next_one, address)
    scene.check("a lease that its own machine gives back is free for another", got == address, (got, address))


if __name__ == "__main__":
    run("leases given back by others", attack)
