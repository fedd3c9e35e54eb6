#!/usr/bin/env python3
"""A machine that nobody knows says of its disks what it likes: that they are empty, that they are full, in any form. It decides
by that about itself and about no other, and a server of somebody's that starts from the network is not kept from its disk."""
import json

from scene import run

GPT = {"partitions": 2, "items": [{"kind": "GPT"}, {"kind": "ext4", "label": "root", "partition": 2}]}
# What is malformed is refused, what is merely absurd is cut; the server stays up.
ABSURD = [
    {"partitions": -1, "items": []}, {"partitions": 1 << 40, "items": [{"kind": "x" * 100_000, "label": "y" * 100_000, "partition": -5}]},
    {"partitions": 0, "items": [{"kind": "", "label": ""}] * 5000}, {"partitions": "many", "items": []}, {"items": [{}]}, [], "GPT", 7,
    {"partitions": 0.5, "items": None},
]


def disk(host, contents, **fields):
    return {**host.inventory_body()["disks"][0], "contents": contents, **fields}


def goes_home(host):
    """Whether the machine is told to go on with its own boot order."""
    script = host.script()
    # The agent's script, too, ends so: for what cannot be loaded.
    return "hostler.nonce=" not in script and script.rstrip().endswith("exit 0")


def attack(scene):
    honest = scene.host("honest")
    honest.boot_into_agent()
    honest.inventory(disks=[disk(honest, {"partitions": 0, "items": []})])
    before = scene.api("GET", f"/v1/machines/{honest.id}")["observed"]["foreignDisks"]
    scene.check("a machine whose disks are empty waits for work", before == [] and not goes_home(honest), before)

    server = scene.host("server")
    since = scene.mark()
    server.boot_into_agent()
    server.inventory(disks=[disk(server, GPT)])
    task = json.loads(server.ask("/agent/v1/task", {"generation": 0}))
    reason = json.dumps(task["work"])
    scene.check("somebody's server is inspected and sent back to its own disk, with the reason", "reboot" in task["work"] and "ext4" in reason, task)
    scene.check("and from then on it goes on with its own boot order", goes_home(server), server.script())
    scene.check("an event says so", scene.events_with(since, server.id, "machine take", kinds=["machine.foreign-contents"]))
    shown = scene.cli("machine", "show", server.id).stdout
    scene.check("a person sees what the disks hold, and the way out", "GPT, 2 partitions" in shown and "machine take" in shown, shown)

    liar = scene.host("liar")
    liar.boot_into_agent()
    for contents in ABSURD:
        status, _ = liar.tries("/agent/v1/inventory", liar.inventory_body(disks=[disk(liar, contents)]))
        scene.check(f"answered: {json.dumps(contents)[:60]}", status in (200, 204, 400), status)
    # Another's disk, by its serial number, is that machine's own business.
    liar.inventory(disks=[disk(liar, GPT, serial=honest.serial)])
    after = scene.api("GET", f"/v1/machines/{honest.id}")["observed"]["foreignDisks"]
    scene.check("that another calls the same disk full changes nothing for the machine that has it", after == [] and not goes_home(honest), after)
    scene.check("the liar has sent itself home", goes_home(liar), liar.script())
    # A marker that this control plane did not make does not make a disk its own.
    marker = {"machine": server.id, "operation": "op-f0rged00", "generation": 1, "image": "i", "digest": "sha256:00", "hostname": "h", "tag": "a" * 64}
    liar.inventory(disks=[disk(liar, GPT)], installations=[{"disk": liar.serial, "record": marker}])
    scene.check("a forged marker does not take a machine", goes_home(liar), liar.script())

    scene.cli("machine", "take", server.id, "--yes")
    scene.check("a person's word takes it", not goes_home(server), server.script())
    silent = scene.host("silent")
    silent.lease()
    scripts = [silent.script() for _ in range(3)]
    scene.check("a machine that never says a word has two tries, and then its own disk",
                ["hostler.nonce=" in script for script in scripts] == [True, True, False], scripts)
    scene.check("whatever it gets, its firmware goes on where that fails", all("retry" not in script and "exit 0" in script for script in scripts), scripts)
    scene.check("of which the first two do not keep it for ever", all("hostler.patience=" in script for script in scripts[:2]), scripts[0])
    try:
        scene.api("POST", "/v1/machines", {"mac": honest.mac})
        scene.check("a port that is a machine's is not added again", False)
    except Exception as refusal:  # noqa: BLE001: whatever it is called, it was refused
        scene.check("a port that is a machine's is not added again", "interface-taken" in str(refusal), refusal)


if __name__ == "__main__":
    run("strangers and their disks", attack, policy="inspect-empty")
