#!/usr/bin/env python3
"""Line 2: a host that no lease and no neighbour entry speaks for is nobody. Beside another DHCP server (`mode: proxy`) a host
behind a router asks for a known machine's nonce; a host of another wire of the same server asks at the first one's address;
a session is shown from another address, or by another MAC address."""
import json
import secrets

from scene import run
from machine import Host
from metadata_rack import encoded, sh

OTHER = {"name": "other", "interface": "rack1", "address": "10.78.0.1/24"}
ROUTER, FAR = "10.77.0.254", "10.79.0"


def router(scene):
    """A namespace that forwards between the server's wire and another one, whose bridge is `far0`."""
    name = scene.netns("router")
    sh("ip", "link", "add", "p-router", "netns", scene.server_ns, "type", "veth", "peer", "name", "up0", "netns", name)
    sh("ip", "-n", scene.server_ns, "link", "set", "p-router", "master", "rack0", "up")
    sh("ip", "-n", name, "addr", "add", f"{ROUTER}/24", "dev", "up0")
    sh("ip", "-n", name, "link", "set", "up0", "up")
    sh("ip", "-n", name, "link", "add", "far0", "address", "02:00:00:00:02:01", "type", "bridge")
    sh("ip", "-n", name, "addr", "add", f"{FAR}.1/24", "dev", "far0")
    sh("ip", "-n", name, "link", "set", "far0", "up")
    sh("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    sh("ip", "-n", scene.server_ns, "route", "add", f"{FAR}.0/24", "via", ROUTER)
    return name


def victim(scene, name, address):
    """A machine with a static address, known, with an installation that waits for its agent."""
    host = scene.host(name)
    host.take(address)
    boot_static(host)
    canary = "#cloud-config\n# canary-" + secrets.token_hex(8)
    host.session = None
    return host, scene.install(host.id, userData=encoded(canary))["id"], canary


def boot_static(host):
    """As a machine boots whose address another DHCP server gave."""
    host.session = None
    host.boot()
    host.inventory()


def steal(scene, what, attacker, host, operation, canary, base=None):
    """Tries for the machine's nonce, session, task and seed; checks that there is none and that an event records it."""
    before, since = host.record(), scene.mark()
    attacker.session = None
    attacker.base = base or attacker.base
    status, script = attacker.tries(f"/boot/script?mac={host.mac}&platform=bios")
    nonce = attacker.nonce_in(script.decode("latin-1"))
    scene.check(f"{what}: no nonce", nonce is None, script)
    if nonce:
        status, text = attacker.tries("/agent/v1/hello", {**attacker.hello_body(nonce), "mac": host.mac, "macs": [host.mac]})
        got = status == 200
        if got:
            attacker.session = json.loads(text)["session"]
            status, text = attacker.tries("/agent/v1/task", {"generation": 0}, seconds=2)
            status, seed = attacker.tries(f"/seeds/{operation}")
            got = ["a session", text[:80]] + (["its user-data"] if canary.encode() in seed else [])
        scene.check(f"{what}: no session, task or seed", not got, got)
    after = host.record()
    moved = {key: (before[key], after[key]) for key in ("openOperation", "interfaces", "generation", "state") if before.get(key) != after.get(key)}
    moved.update({key: after["observed"].get(key) for key in ("agent", "address") if before["observed"].get(key) != after["observed"].get(key)})
    scene.check(f"{what}: the machine's record is as before", not moved, moved)
    return since


def goes_on(scene, what, host, canary):
    """Where it stands it is served all the while."""
    try:
        boot_static(host)
        task = host.work("install")
        seed = host.write(task)
        led = host.script()
        scene.check(f"{what}: the machine itself gets its seed", canary in seed, seed[-200:])
        host.call_home(task, seed)
        scene.check(f"{what}: and it runs", "local disk" in led and host.record()["state"] == "running", (led, host.record()["state"]))
    except Exception as failure:  # noqa: BLE001: whatever the attack broke
        scene.check(f"{what}: the machine itself gets its seed, and runs", False, repr(failure))


def behind_a_router(scene):
    way = router(scene)
    for number, moment in enumerate(("waits for its agent", "is being written")):
        host, operation, canary = victim(scene, f"v{number}", f"10.77.0.{10 + number}")
        if number:
            boot_static(host)
            task = host.work("install")
            host.done(task, "choose-disk", {"serial": host.serial})
        attacker = Host(scene, f"far{number}", scene.mac(), wire_name="far0", namespace=way)
        attacker.take(f"{FAR}.{scene.random.randrange(20, 250)}")
        sh("ip", "-n", attacker.ns, "route", "add", "default", "via", f"{FAR}.1")
        what = f"behind a router, to one that {moment}"
        since = steal(scene, what, attacker, host, operation, canary)
        scene.tells_of(what, since, None, attacker.address)
        if number:
            status, _ = host.tries("/agent/v1/log", {"lines": [{"uptimeMilliseconds": 1, "text": "still here"}]})
            scene.check(f"{what}: the session of the machine itself goes on", status == 200, status)
        goes_on(scene, what, host, canary)


def other_wire(scene):
    """The kernel takes packets for any of its addresses on any interface (RFC 1122 §3.3.4.2, the weak host model)."""
    host, operation, canary = victim(scene, "w", "10.77.0.30")
    attacker = Host(scene, "next", scene.mac(), wire_name="rack1", server="10.78.0.1")
    attacker.lease()
    sh("ip", "-n", attacker.ns, "route", "add", "10.77.0.1/32", "via", "10.78.0.1")
    what = "from another wire, at the first one's address"
    steal(scene, what, attacker, host, operation, canary, base=f"http://{scene.ADDRESS}:8080")
    what = "from another wire, at its own"
    attacker.base = "http://10.78.0.1:8080"
    since = steal(scene, what, attacker, host, operation, canary)
    scene.tells_of(what, since, attacker.mac, attacker.address)
    attacker.base = "http://10.78.0.1:8080"
    scene.check("a machine of that wire is served there", attacker.boot_into_agent()["machine"] in {m["id"] for m in scene.machines()})
    goes_on(scene, "on its own wire", host, canary)


def stolen_session(scene):
    """A session that was read off the wire, or out of a machine's memory."""
    for number, way in enumerate(("another address", "its address and another MAC address")):
        host, operation, canary = victim(scene, f"s{number}", f"10.77.0.{40 + number}")
        boot_static(host)
        thief = scene.host(f"t{number}")
        thief.take(f"10.77.0.{50 + number}")
        session, what, since = host.session, f"a session shown from {way}", scene.mark()
        if number == 0:
            answers = {path: thief.tries(path, body, session=session, seconds=2)[0] for path, body in requests(host, operation)}
        else:
            # The owner's cable is out, so that nobody speaks against it.
            host.cable(False)
            mouth = thief.as_neighbour(thief.mac, host.address)
            answers = {}
            for path, body in requests(host, operation):
                data = None if body is None else json.dumps(body).encode()
                answers[path] = mouth.http("GET" if body is None else "POST", path, data, {"Authorization": f"Bearer {session}"}, seconds=3)[0]
            host.cable(True)
        scene.check(f"{what}: refused", set(answers.values()) <= {401, 403}, answers)
        scene.tells_of(what, since, thief.mac, thief.address if number == 0 else host.address)
        goes_on(scene, what, host, canary)


def requests(host, operation):
    return [("/agent/v1/inventory", host.inventory_body()), (f"/seeds/{operation}", None),
            ("/agent/v1/log", {"lines": [{"uptimeMilliseconds": 1, "text": "x"}]}), ("/agent/v1/task", {"generation": 0})]


def attack(scene):
    behind_a_router(scene)
    other_wire(scene)
    stolen_session(scene)


if __name__ == "__main__":
    run("hosts that nothing speaks for", attack, mode="proxy", more=[OTHER])
