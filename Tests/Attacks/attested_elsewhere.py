#!/usr/bin/env python3
"""Line 3: a machine of a network that wants attestation asks on the other network of the same server, which wants none: with its own
MAC address, by the other one's address on its own wire, and by a second port that it has there. It proves nothing anywhere."""
import json
import secrets

from machine import Host
from metadata_rack import encoded, sh
from scene import run

PLAIN = {"name": "plain", "interface": "rack1", "address": "10.78.0.1/24"}


def attack(scene):
    plain = Host(scene, "plain", scene.mac(), wire_name="rack1", server="10.78.0.1")
    plain.boot_into_agent()
    plain.become_installed(userData=encoded("#cloud-config\n# its own"))
    scene.check("a machine of the plain network is installed without a proof", plain.record()["state"] == "running", plain.record()["state"])
    for number, way in enumerate(("moved to the other wire", "by the other network's address, on its own wire", "by a second port on the other wire")):
        case(scene, number, way)
    rule(scene)


def machine(scene, name):
    """Known on the network that wants attestation, with an installation that waits for it."""
    host = scene.host(name)
    reply = host.boot_into_agent()
    canary = "#cloud-config\n# canary-" + secrets.token_hex(8)
    return host, reply["machine"], canary


def case(scene, number, way):
    host, name, canary = machine(scene, f"a{number}")
    operation = scene.install(name, userData=encoded(canary))["id"]
    since, what = scene.mark(), f"a machine that must prove its boot, {way}"
    if number == 0:
        host.cable(False)
        other = Host(scene, f"b{number}", host.mac, wire_name="rack1", server="10.78.0.1")
    elif number == 1:
        sh("ip", "-n", host.ns, "route", "add", "10.78.0.1/32", "via", scene.ADDRESS)
        host.base, other = "http://10.78.0.1:8080", host
    else:
        other = Host(scene, f"b{number}", scene.mac(), wire_name="rack1", server="10.78.0.1")
    got, reached = tries(other, host, operation, canary)
    scene.check(f"{what}: no task and no seed", not got, got)
    open_one = scene.api("GET", f"/v1/operations/{operation}")
    moved = [step["name"] for step in open_one["steps"] if step["state"] == "succeeded" and step["name"] != "boot-agent"]
    scene.check(f"{what}: its installation has gone no further", not moved, (open_one["state"], moved))
    found = scene.events_with(since, host.mac) or [event for event in scene.all_events() if event["id"] > since and event.get("machine") == name]
    # Where its kernel was not even answered, there is nobody to record.
    scene.check(f"{what}: an event records it, where anything came through", found or not reached, found)


def tries(other, host, operation, canary):
    """What it gets of its installation, whether it is refused a nonce, a session or a task; and whether anything answered."""
    got, reached = [], other.request("GET", "/", seconds=5)[0] > 0
    macs = [other.mac, host.mac] if other.mac != host.mac else [host.mac]
    try:
        if other is not host:
            other.boot_into_agent(macs=macs)
        else:
            nonce = host.nonce_in(host.script())
            if nonce:
                host.session = json.loads(host.ask("/agent/v1/hello", host.hello_body(nonce)))["session"]
        task = other.task(seconds=3)
        if "install" in task["work"]:
            got.append("the task")
    except Exception as refusal:  # noqa: BLE001: a refusal is what is wanted
        print(f"# {refusal!r}"[:200])
    for asking in {other, host}:
        status, seed = asking.tries(f"/seeds/{operation}", session=other.session or host.session, seconds=3)
        if status == 200:
            got.append("the seed" + (" with its user-data" if canary.encode() in seed else ""))
    return got, reached


def rule(scene):
    """That it must prove itself is a property of the machine, which only a person takes away."""
    host, name, canary = machine(scene, "r")
    elsewhere = Host(scene, "r2", host.mac, wire_name="rack1", server="10.78.0.1")
    host.cable(False)
    try:
        elsewhere.boot_into_agent()
    except Exception as refusal:  # noqa: BLE001
        print(f"# {refusal!r}"[:200])
    record = scene.api("GET", f"/v1/machines/{name}")
    scene.check("a machine that was seen where attestation is wanted must prove itself everywhere", record.get("attestationRule") == "required",
                record.get("attestationRule"))
    viewer = scene.api("POST", "/v1/tokens", {"name": "op", "role": "operator"})["secret"]
    kept, scene.token = scene.token, viewer
    try:
        scene.api("PUT", f"/v1/machines/{name}/attestation/rule", {"rule": "relaxed"})
        relaxed = True
    except RuntimeError as refusal:
        relaxed = "403" not in str(refusal) and str(refusal)
    try:
        scene.api("DELETE", f"/v1/machines/{name}/attestation?dryRun=true")
        forgets = True
    except RuntimeError as refusal:
        forgets = "403" not in str(refusal) and str(refusal)
    scene.token = kept
    scene.check("an operator's token does not relax that", not relaxed, relaxed)
    scene.check("nor does it have the TPM forgotten, so that the next one is believed", not forgets, forgets)


if __name__ == "__main__":
    run("attestation by another network", attack, attestation=True, more=[PLAIN])
