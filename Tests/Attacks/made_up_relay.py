#!/usr/bin/env python3
"""A machine behind a DHCP relay is known by its lease, and its frames are its router's. A host on the server's own wire makes up
a relay, takes the router's address by ARP, and asks from the machine's address."""
import json
import os
import secrets
import subprocess
import time

import tcp
import wire
from scene import run
from machine import Host
from metadata_rack import encoded, sh

UPLINK, ROUTER = "10.77.0.254", "10.79.0.1"
ROW = {"prefix": "10.79.0.0/24", "router": ROUTER, "ranges": ["10.79.0.100-10.79.0.120"]}


def router(scene):
    """A namespace that forwards, with dnsmasq as the relay; its bridge `row0` is the other network's."""
    name = scene.netns("router")
    sh("ip", "link", "add", "p-router", "netns", scene.server_ns, "type", "veth", "peer", "name", "up0", "netns", name)
    sh("ip", "-n", scene.server_ns, "link", "set", "p-router", "master", "rack0", "up")
    sh("ip", "-n", name, "addr", "add", f"{UPLINK}/24", "dev", "up0")
    sh("ip", "-n", name, "link", "set", "up0", "up")
    sh("ip", "-n", name, "link", "add", "row0", "address", "02:00:00:00:03:01", "type", "bridge")
    sh("ip", "-n", name, "addr", "add", f"{ROUTER}/24", "dev", "row0")
    sh("ip", "-n", name, "link", "set", "row0", "up")
    sh("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    sh("ip", "-n", scene.server_ns, "route", "add", ROW["prefix"], "via", UPLINK)
    scene.children.append(subprocess.Popen(
        ["ip", "netns", "exec", name, "/usr/sbin/dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--pid-file=",
         f"--dhcp-relay={ROUTER},{scene.ADDRESS}"]))
    return name


class FarHost(Host):
    """An honest machine of the row behind the router."""

    def take(self, address):
        super().take(address)
        sh("ip", "-n", self.ns, "route", "replace", "default", "via", ROUTER)


def made_up_lease(thief, host, address, way):
    """What a relay, or the machine through its router, would send; who sends it is the thief."""
    number = int.from_bytes(os.urandom(4))
    if way == "a renewal":
        messages = [(wire.dhcp(wire.REQUEST, host.mac, number, ciaddr=address, **wire.SYSTEM), address)]
    else:
        messages = [
            (wire.dhcp(wire.DISCOVER, host.mac, number, giaddr=ROUTER, requested=address, **wire.SYSTEM), ROUTER),
            (wire.dhcp(wire.REQUEST, host.mac, number, giaddr=ROUTER, requested=address, server=thief.server, **wire.SYSTEM), ROUTER)]
    for body, source in messages:
        wire.send_dhcp(thief.port, thief.mac, body, source=source, destination=thief.server)
        time.sleep(0.2)


def attack(scene):
    way = router(scene)
    for number, lease in enumerate(("its own lease", "a made-up relay", "a renewal")):
        case(scene, way, number, lease)


def case(scene, way, number, lease):
    host = FarHost(scene, f"v{number}", scene.mac(), wire_name="row0", namespace=way)
    host.boot_into_agent(patience=30)
    canary = "#cloud-config\n# canary-" + secrets.token_hex(8)
    operation = scene.install(host.id, userData=encoded(canary))["id"]
    address, what = host.address, f"behind a router, by {lease}"
    if lease != "its own lease":
        body = wire.dhcp(wire.RELEASE, host.mac, 7, ciaddr=address, server=scene.ADDRESS)
        packet = wire.udp((address, 68), (scene.ADDRESS, 67), body)
        host.port.send(wire.ethernet(host.mac, "02:00:00:00:03:01", wire.IPV4, packet))
        time.sleep(0.3)
    host.cable(False)
    thief = scene.host(f"t{number}")
    thief.lease()
    since = scene.mark()
    if lease != "its own lease":
        made_up_lease(thief, host, address, lease)
        time.sleep(0.3)
    mouth = tcp.Impersonator(wire.Port(thief.space), thief.mac, address, scene.ADDRESS, router=UPLINK)
    status, script = mouth.http("GET", f"/boot/script?mac={host.mac}&platform=bios")
    nonce = host.nonce_in(script.decode("latin-1"))
    scene.check(f"{what}: no nonce", not nonce, script)
    if nonce:
        status, text = mouth.http("POST", "/agent/v1/hello", json.dumps(host.hello_body(nonce)).encode())
        scene.check(f"{what}: no session", status != 200, text[:80])
        session = {"Authorization": "Bearer " + json.loads(text).get("session", "")}
        _, seed = mouth.http("GET", f"/seeds/{operation}", headers=session)
        scene.check(f"{what}: no user-data", canary.encode() not in seed, "its user-data")
    # Its own session, read off the wire.
    status, text = mouth.http("GET", f"/seeds/{operation}", headers={"Authorization": "Bearer " + host.session})
    scene.check(f"{what}: the machine's session is refused from another port", status in (401, 403), (status, text[:80]))
    scene.tells_of(what, since, thief.mac, address)
    # The router speaks again.
    sh("ip", "-n", scene.server_ns, "neigh", "flush", "dev", "rack0")
    host.cable(True)
    try:
        host.boot_into_agent(patience=30)
        task = host.work("install")
        seed = host.write(task)
        host.first_boot(task, seed)
        good, seen = canary in seed and host.record()["state"] == "running", host.record()["state"]
    except Exception as failure:  # noqa: BLE001: whatever the attack broke
        good, seen = False, repr(failure)
    scene.check(f"{what}: the machine itself gets its seed, and runs", good, seen)


if __name__ == "__main__":
    run("relays that are none", attack, subnets=[ROW])
