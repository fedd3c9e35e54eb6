#!/usr/bin/env python3
"""Line 12: what a neighbour asks in a machine's name must not be taken for the machine's own boot. A power cycle that brings a
machine into the agent is spared one that is booting already: a forged boot would leave it running what it ran."""
import os
import subprocess
import threading
import time

import wire
from enclosure import until
from scene import run
from metadata_rack import encoded

# Takes its time, as a BMC does: a second in which somebody else can act. Each call is noted down.
PROGRAM = """#!/bin/sh
state=$HOSTLER_OPTION_STATE
[ "$1" = status ] && { sleep 1; cat "$state"; exit 0; }
echo "$1" >>"$state.calls"
case $1 in on|restart) echo on >"$state";; off|shutdown) echo off >"$state";; esac
"""


def power_program(scene):
    """Programs are run from one folder of the host only; what is laid over it is this test's alone."""
    upper = scene.work / "etc"
    upper.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", upper], check=True)
    for name in ("upper", "work"):
        (upper / name).mkdir()
    options = f"lowerdir=/etc,upperdir={upper}/upper,workdir={upper}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, "/etc"], check=True)
    os.makedirs("/etc/hostler/power.d")
    with open("/etc/hostler/power.d/plug", "w") as file:
        file.write(PROGRAM)
    os.chmod("/etc/hostler/power.d/plug", 0o755)


def with_power(scene, name):
    """A machine that runs its system, and whose power the program switches."""
    host = scene.host(name)
    host.become_installed(userData=encoded("#cloud-config\n"))
    host.state = scene.work / f"power-{name}"
    host.state.write_text("on\n")
    scene.api("POST", "/v1/bmcs", {"kind": "exec", "address": "plug", "machine": host.id, "options": {"state": str(host.state)}})
    return host


def calls(host):
    path = host.state.with_name(host.state.name + ".calls")
    return path.read_text().split() if path.exists() else []


def forge(thief, host, way, stop):
    """Asks in the machine's name until it is stopped."""
    while not stop.is_set():
        if way == "DHCP and its boot script":
            for who in (wire.FIRMWARE, wire.IPXE):
                wire.send_dhcp(thief.port, thief.mac, wire.dhcp(wire.DISCOVER, host.mac, int.from_bytes(os.urandom(4)), **who))
        thief.request("GET", f"/boot/script?mac={host.mac}&platform=bios", seconds=1)
        time.sleep(0.05)


def attack(scene):
    power_program(scene)
    for number, way in enumerate((None, "its boot script", "DHCP and its boot script")):
        host, thief = with_power(scene, f"v{number}"), scene.host(f"a{number}")
        thief.lease()
        what = f"a neighbour asks for {way}" if way else "nobody interferes"
        since, stop = scene.mark(), threading.Event()
        forging = threading.Thread(target=forge, args=(thief, host, way, stop), daemon=True)
        if way:
            forging.start()
        operation = scene.order(f"/v1/machines/{host.id}/wipe", {})["id"]

        def decided():
            step = host.operation(operation)["steps"][0]
            return step["evidence"].get("powerAttempt") and step["evidence"]
        try:
            evidence = until("the power is seen to", decided, 30)
        except TimeoutError as late:
            evidence = {"late": late}
        stop.set()
        if way:
            forging.join(10)
        scene.check(f"{what}: the machine is switched off and on for its wipe", {"off", "on"} <= set(calls(host)) or "restart" in calls(host),
                    (calls(host), evidence))
        if way:
            scene.tells_of(what, since, thief.mac, thief.address)
        host.firmware()
        time.sleep(0.5)
        host.boot_into_agent()
        step = host.operation(operation)["steps"][0]
        scene.check(f"{what}: the machine itself arrives in the agent", step["state"] == "succeeded", step)
        task = host.work("wipe")
        scene.check(f"{what}: and gets its wipe", task["operation"] == operation, task)
        for name in ("wipe-disks", "verify-wipe"):
            host.done(task, name)
    seconds(scene)


def seconds(scene):
    """The times of a boot, which people look at: of the machine's own questions, not of a neighbour's."""
    host, thief = scene.host("slow"), scene.host("quick")
    thief.lease()
    host.boot_into_agent()
    operation = scene.install(host.id)["id"]
    host.session = None
    host.lease(wire.FIRMWARE)
    thief.request("GET", f"/boot/script?mac={host.mac}&platform=bios")
    time.sleep(1.5)
    host.hello(host.script())
    evidence = host.operation(operation)["steps"][0]["evidence"]
    scene.check("a boot's times are those of the machine's own script", float(evidence.get("dhcpSeconds", "0")) >= 1.4, evidence)


if __name__ == "__main__":
    run("boots that others pretend", attack)
