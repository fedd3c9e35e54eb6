#!/usr/bin/env python3
"""What cannot be prevented (docs/threat-model.md): a host that copies both the MAC address and the IP address of a machine without a
TPM is that machine, as far as the wire can show. This shows exactly what it gains, what it does not, and which event tells of it."""
import json
import re
import secrets

from scene import run
from metadata_rack import encoded


def attack(scene):
    copy_of_a_waiting_one(scene)
    copy_of_a_working_one(scene)
    copy_of_a_running_one(scene)
    copy_of_a_second_port(scene)


def thief_like(scene, name, host, address=True):
    """A neighbour with the machine's MAC and IP address."""
    thief = scene.host(name)
    thief.serial = "DISK-of-the-thief"
    thief.become(host.mac)
    if address:
        thief.take(host.address)
    return thief


def traces(scene, since, mac, address):
    """Events with both, routine or not: who reads the log sees when and where the machine seemed to be."""
    return sorted({event["kind"] for event in scene.all_events()
                   if event["id"] > since and mac in json.dumps(event) and address in json.dumps(event)})


def copy_of_a_waiting_one(scene):
    host = scene.host("waits")
    host.boot_into_agent()
    canary = "#cloud-config\n# canary-" + secrets.token_hex(8)
    operation = scene.install(host.id, userData=encoded(canary))["id"]
    host.cable(False)
    thief, since = thief_like(scene, "c1", host), scene.mark()
    script = thief.script()
    nonce = thief.nonce_in(script)
    scene.check("gained: the copy of a machine that is off and waits for its installation gets its nonce", nonce, script)
    if not nonce:
        return
    reply = thief.hello(script)
    thief.inventory()
    seed = thief.write(thief.work("install"))
    scene.check("gained: its session, its task, its seed with the user-data", reply["machine"] == host.id and canary in seed, reply)
    kinds = traces(scene, since, host.mac, host.address)
    scene.check("shown: an event has the port and the address that it came by", kinds, [e["kind"] for e in scene.all_events()[-6:]])
    disks = [disk["serial"] for disk in scene.api("GET", f"/v1/machines/{host.id}")["observed"]["inventory"]["disks"]]
    scene.check("shown: the record shows the disks of the copy", disks == [thief.serial], disks)
    scene.check("not gained: another machine's anything", operation == scene.api("GET", f"/v1/machines/{host.id}")["openOperation"])


def copy_of_a_working_one(scene):
    host = scene.host("works")
    host.boot_into_agent()
    operation = scene.install(host.id, userData=encoded("#cloud-config\n"))["id"]
    task = host.work("install")
    host.done(task, "choose-disk", {"serial": host.serial})
    host.cable(False)
    thief, since = thief_like(scene, "c2", host), scene.mark()
    thief.hello(thief.script())
    thief.cable(False)
    host.cable(True)
    status, _ = host.tries("/agent/v1/log", {"lines": [{"uptimeMilliseconds": 1, "text": "still here"}]})
    scene.check("gained: the session of a machine at work ends when its copy says hello", status == 401, status)
    kinds = [event["kind"] for event in scene.all_events() if event["id"] > since and event.get("machine") == host.id]
    scene.check("shown: that it booted in the middle of a step is an event", "operation.agent-returned" in kinds, kinds)
    host.boot_into_agent()
    task = host.work("install")
    host.first_boot(task, host.write(task))
    scene.check("not gained: the machine boots again, and its installation ends well",
                host.operation(operation)["state"] == "succeeded" and host.record()["state"] == "running", host.operation(operation)["state"])


def copy_of_a_running_one(scene):
    host = scene.host("runs")
    host.boot_into_agent()
    secret = "s3cr3t-" + secrets.token_hex(8)
    scene.install(host.id, userData=encoded("#cloud-config\n# " + secret), dataSource="nocloud")
    task = host.work("install")
    seed = host.write(task)
    host.first_boot(task, seed)
    keys = re.findall(r"m-[0-9a-z]{4,}\.[0-9a-f]{64}", seed)
    scene.check("the machine's own key opens its identity", host.metadata("/hostler/v1/token?audience=x", keys[-1])[0] == 200, keys)
    host.cable(False)
    thief, counted = thief_like(scene, "c3", host), refusals(scene)
    script = thief.script()
    scene.check("not gained: a nonce, while the machine runs its system", thief.nonce_in(script) is None, script)
    answers = {path: thief.metadata(path) for path in ("/hostler/v1/token?audience=x", "/latest/user-data", "/nocloud/user-data", "/nocloud/vendor-data",
                                                       "/hostler/v1/ssh-host-certificates")}
    scene.check("not gained: its identity and its secrets, which need its key", all(
        status in (401, 403, 404) and secret.encode() not in body for status, body in answers.values()), answers)
    status, token = thief.request("PUT", "/latest/api/token", None, {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, host="169.254.169.254", port=80)
    plain = thief.request("GET", "/latest/meta-data/instance-id", None, {"X-aws-ec2-metadata-token": token.decode().strip()}, host="169.254.169.254", port=80)
    scene.check("gained: what every program on the machine may read", (status, plain[0]) == (200, 200), (status, plain))
    scene.check("shown: secrets that were asked for without the key are counted, or an event", refusals(scene) > counted, (counted, refusals(scene)))


def refusals(scene):
    """What the metadata service has refused since its start, by the server's own count."""
    def numbers(value, path=""):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from numbers(inner, f"{path}.{key}")
        elif isinstance(value, int) and "metadata" in path and "refused" in path:
            yield value
    return sum(numbers(scene.api("GET", "/v1/status")))


def copy_of_a_second_port(scene):
    """A port that the machine's agent named and that never booted. A host that boots by it and names the first one shows no more than a
    copy of the first port shows."""
    host, second = scene.host("two"), scene.mac()
    host.boot_into_agent(macs=[host.mac, second])
    scene.install(host.id, userData=encoded("#cloud-config\n"))
    host.session = None
    thief, since = scene.host("c4", second), scene.mark()
    reply = thief.boot_into_agent(macs=[second, host.mac])
    kinds = traces(scene, since, second, thief.address)
    if reply["machine"] == host.id:
        scene.check("gained: by a port that it had named itself the copy is the machine; shown: an event names port and address",
                    "interface.joined" in kinds, kinds)
    else:
        scene.check("not gained: by a port that the machine only named the copy is another machine", kinds, kinds)
    guess = scene.host("c5")
    reply = guess.boot_into_agent(macs=[guess.mac, host.mac, second])
    scene.check("not gained: by a port that the machine never named, anything of it", reply["machine"] != host.id, reply)


if __name__ == "__main__":
    run("a host that copies MAC and IP address", attack)
