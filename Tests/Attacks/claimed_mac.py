#!/usr/bin/env python3
"""Line 1: a host boots honestly by its own MAC address and names another machine's: in `hello.macs`, in `inventory.nics`, in
`hello.mac`. It must not become that machine, get its seed, key or task, nor move the MAC address to itself."""
import itertools
import json
import secrets

from scene import run  # noqa: I001: it finds what stands below
from metadata_rack import encoded

USER_DATA = "#cloud-config\n# canary-"
MOMENTS = ("ready", "waits for its agent", "is being written", "runs")
WAYS = ("hello.macs", "inventory.nics")


class Victim:
    """An honest machine at one moment of its life, with what must be so again after the attack."""

    def __init__(self, scene, name, moment):
        self.scene, self.moment = scene, moment
        self.host = scene.host(name)
        self.canary = USER_DATA + secrets.token_hex(8)
        self.host.boot_into_agent()
        self.operation = self.seed = self.task = None
        if moment == "runs":
            self.operation = self.host.become_installed(userData=encoded(self.canary))
            self.host.session = None
        elif moment != "ready":
            if moment == "waits for its agent":
                # Its agent is gone: it was switched off after it had been found.
                self.host.session = None
            self.operation = scene.install(self.host.id, userData=encoded(self.canary))["id"]
        if moment == "is being written":
            self.task = self.host.work("install")
            self.seed = self.host.ask(self.task["work"]["install"]["_0"]["seedPath"]).decode("latin-1")
            self.host.done(self.task, "choose-disk", {"serial": self.host.serial})
        self.before = self.account()

    def account(self):
        """What an attack must not change."""
        record = self.host.record()
        said = {"interfaces": sorted(port["mac"] for port in record["interfaces"]), "state": record["state"],
                "open": record.get("openOperation"), "generation": record["generation"], "installed": record.get("installed"),
                "agent": (record["observed"].get("agent") or {}).get("boot"), "address": record["observed"].get("address"),
                "holds": record["holds"], "disks": [disk["serial"] for disk in record["observed"]["inventory"]["disks"]]}
        if self.operation:
            operation = self.host.operation(self.operation)
            said["operation"] = (operation["state"], [(step["name"], step["state"]) for step in operation["steps"]])
        return said

    def goes_on(self):
        """It ends what it had begun, as if nothing had been; returns where that led."""
        host = self.host
        if self.moment == "runs":
            return host.is_led_to() == "disk"
        if self.moment == "ready":
            before = host.id
            return host.boot_into_agent()["machine"] == before and host.record()["state"] == "ready"
        if self.moment == "waits for its agent":
            host.boot_into_agent()
            self.task = host.work("install")
        else:
            for step in ("write-image", "write-seed", "boot-order", "restart"):
                if not host.done(self.task, step)["goOn"]:
                    return False
            host.session = None
        seed = self.seed or host.write(self.task)
        host.first_boot(self.task, seed)
        return host.record()["state"] == "running" and self.canary in seed


def strike(attacker, victim, way, is_known):
    """Boots honestly and names the victim's MAC address; what it was answered."""
    if is_known:
        attacker.boot_into_agent()
    named = {"macs": [attacker.mac, victim.host.mac]} if way == "hello.macs" else {}
    reply = attacker.boot_into_agent(**named)
    if way == "inventory.nics":
        attacker.inventory(nics=[{"name": f"eth{number}", "mac": mac, "link": True}
                                 for number, mac in enumerate((attacker.mac, victim.host.mac))])
    return reply


def loot(scene, attacker, victim):
    """What the attacker gets with its session of what is the victim's."""
    got = []
    status, text = attacker.tries("/agent/v1/task", {"generation": 0}, seconds=1)
    task = json.loads(text) if status == 200 else {}
    if task.get("operation"):
        got.append(f"task {task['operation']}: {list(task['work'])}")
    if victim.operation:
        status, text = attacker.tries(f"/seeds/{victim.operation}")
        if status == 200:
            got.append(f"seed of {victim.operation}" + (" with its user-data" if victim.canary.encode() in text else ""))
        for step in ("choose-disk", "write-image"):
            generation = victim.before["generation"]
            status, text = attacker.tries("/agent/v1/report", {
                "operation": victim.operation, "generation": generation, "step": step, "kind": "failed", "evidence": {},
                "problem": {"code": "no-disk", "status": 500, "title": "forged"}})
            if status == 200 and json.loads(text).get("goOn"):
                got.append(f"reported {step} of {victim.operation}")
    return got


def claims(scene):
    cases = list(itertools.product(MOMENTS, WAYS, (False, True)))
    scene.random.shuffle(cases)
    for number, (moment, way, is_known) in enumerate(cases):
        victim = Victim(scene, f"v{number}", moment)
        attacker = scene.host(f"a{number}")
        who = "a known machine" if is_known else "a stranger"
        what = f"{who} names in {way} the MAC address of one that {moment}"
        since = scene.mark()
        reply = strike(attacker, victim, way, is_known)
        scene.check(f"{what}: it is not taken for it", reply["machine"] != victim.host.id, reply)
        got = loot(scene, attacker, victim)
        scene.check(f"{what}: no task, seed or report of it", not got, got)
        after = victim.account()
        scene.check(f"{what}: its record and operation are as before", after == victim.before, differences(victim.before, after))
        owners = scene.owners(victim.host.mac)
        scene.check(f"{what}: the MAC address is its alone", owners == [victim.host.id], owners)
        if reply["machine"] != victim.host.id:
            named = scene.claims(reply["machine"])
            scene.check(f"{what}: what was named is shown as a claim", victim.host.mac in named, named)
        scene.tells_of(what, since, attacker.mac, attacker.address)
        try:
            good, seen = victim.goes_on(), ""
        except Exception as failure:  # noqa: BLE001: whatever the attack broke
            good, seen = False, repr(failure)
        scene.check(f"{what}: the one named goes on to its end", good, seen or victim.account())


def differences(before, after):
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


def wipe_by_proxy(scene):
    """After the attacker's own record is wiped, the victim's next boot must not be handed that wipe."""
    victim = Victim(scene, "wv", "runs")
    attacker = scene.host("wa")
    strike(attacker, victim, "hello.macs", True)
    scene.order(f"/v1/machines/{attacker.id}/wipe", {})
    led = victim.host.is_led_to()
    scene.check("the attacker's record is being wiped: the machine that it named goes to its disk", led == "disk", led)
    task = attacker.task()
    scene.check("and the attacker's own machine gets its wipe", "wipe" in task["work"], task)


def unborn(scene):
    """A MAC address is named before its machine has ever booted."""
    attacker, victim = scene.host("ua"), scene.host("uv")
    way = scene.random.choice(WAYS)
    if way == "hello.macs":
        attacker.boot_into_agent(macs=[victim.mac, attacker.mac])
    else:
        attacker.boot_into_agent()
        attacker.inventory(nics=[{"name": "a", "mac": victim.mac, "link": True}, {"name": "b", "mac": attacker.mac, "link": True}])
    scene.check(f"a MAC address that {way} names owns nothing before its own boot", scene.owners(victim.mac) == [], scene.owners(victim.mac))
    reply = victim.boot_into_agent()
    scene.check("the machine that has it gets a record of its own", reply["machine"] != attacker.id, reply)
    scene.check("and the MAC address is that record's", scene.owners(victim.mac) == [reply["machine"]], scene.owners(victim.mac))
    status, _ = attacker.tries("/agent/v1/inventory", attacker.inventory_body())
    scene.check("the session of the one that named it goes on", status == 200, status)


def foreign_hello(scene):
    """A nonce of its own, and `hello.mac` of another; the other's nonce, asked for from its own address."""
    victim = Victim(scene, "fv", "waits for its agent")
    attacker = scene.host("fa")
    since = scene.mark()
    nonce = attacker.nonce_in(attacker.firmware())
    body = {**attacker.hello_body(nonce), "mac": victim.host.mac, "macs": [victim.host.mac]}
    status, text = attacker.tries("/agent/v1/hello", body)
    scene.check("a nonce of its own with hello.mac of another: no session", status in (401, 403) and b"session\"" not in text, (status, text))
    body["macs"].append(attacker.mac)
    status, text = attacker.tries("/agent/v1/hello", body)
    scene.check("nor with its own beside it in hello.macs", status in (401, 403) and b"session\"" not in text, (status, text))
    script = attacker.script(victim.host.mac)
    scene.check("another's nonce is not given to its address", attacker.nonce_in(script) is None, script)
    scene.tells_of("another's nonce, asked for", since, attacker.mac, attacker.address)
    scene.check("the machine that was meant is as before", victim.account() == victim.before, differences(victim.before, victim.account()))
    scene.check("and goes on to its end", victim.goes_on(), victim.account())


def duplicate(scene):
    """Boards have been sold with one MAC address on all of them: two honest machines name the same one beside their own."""
    shared, (one, two) = scene.mac(), (scene.host("d1"), scene.host("d2"))
    since = scene.mark()
    for host in (one, two):
        host.boot_into_agent(macs=[host.mac, shared])
    scene.check("a MAC address that two machines name is neither's", scene.owners(shared) == [], scene.owners(shared))
    scene.tells_of("a MAC address that two machines name", since, two.mac, two.address, kinds={"interface.duplicate"})
    states = {host.record()["state"] for host in (one, two)}
    scene.check("both are ready all the same", states == {"ready"}, states)


def attack(scene):
    claims(scene)
    wipe_by_proxy(scene)
    unborn(scene)
    foreign_hello(scene)
    duplicate(scene)


if __name__ == "__main__":
    run("claimed MAC addresses", attack)
