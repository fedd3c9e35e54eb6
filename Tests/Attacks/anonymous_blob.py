#!/usr/bin/env python3
"""Line 8: the bytes of an image go to a machine that is to install it, and to nobody else: without a capability, with that of
another machine, with that of another image, before and after the installation, on a network that wants attestation too."""
import os
import re
import secrets

from scene import run
from machine import Host
from metadata_rack import encoded, sh

ATTESTED = {"name": "attested", "interface": "rack1", "address": "10.78.0.1/24", "attestation": True}


def blobs(scene):
    """Every blob of the store, by digest."""
    return sorted(path.name for path in (scene.state / "images/blobs/sha256").iterdir() if re.fullmatch("[0-9a-f]{64}", path.name))


def second_image(scene):
    """Another image, of other bytes; the blobs that came with it."""
    before = set(blobs(scene))
    raw = scene.work / "image.raw"
    data = bytearray(raw.read_bytes())
    data[2048 * 512:] = os.urandom(len(data) - 2048 * 512)
    raw.write_bytes(data)
    scene.cli("image", "add", "other", raw)
    return sorted(set(blobs(scene)) - before)


def refused(scene, what, asking, digests, session=None):
    """Every way to ask for every blob."""
    got = {}
    headers = {"Authorization": f"Bearer {session}"} if session else {}
    for digest in digests:
        for method, more in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-99"}), ("GET", {"If-None-Match": "*"})):
            status, body = asking.request(method, f"/images/blobs/sha256:{digest}", headers={**headers, **more}, seconds=5)
            if 0 < status < 400 or len(body) > 2000:
                got[f"{method} {more} {digest[:8]}"] = (status, len(body))
    scene.check(f"{what}: no image's bytes", not got, got)


def attack(scene):
    others = second_image(scene)
    first = [digest for digest in blobs(scene) if digest not in others]
    scene.check("there are blobs to ask for", len(first) > 1 and len(others) > 1, (first, others))
    stranger = scene.host("stranger")
    stranger.lease()
    since = scene.mark()
    refused(scene, "a host without a session", stranger, first + others)
    refused(scene, "a host with a session that it made up", stranger, first[:2], f"m-{'0' * 6}.{secrets.token_hex(32)}")
    scene.tells_of("images asked for without a capability", since, stranger.mac, stranger.address)

    idle = scene.host("idle")
    idle.boot_into_agent()
    refused(scene, "a known machine without an installation", idle, first + others, idle.session)

    victim = scene.host("victim")
    victim.boot_into_agent()
    scene.install(victim.id, userData=encoded("#cloud-config\n"))
    task = victim.work("install")
    work = task["work"]["install"]["_0"]
    for name in ("indexPath", "blobPath"):
        data = victim.ask(work[name])
        scene.check(f"the machine that installs it gets its {name}", len(data) > 100, len(data))
        status, part = victim.request("GET", work[name], headers={"Authorization": f"Bearer {victim.session}", "Range": "bytes=10-19"})
        scene.check(f"and a part of it by range ({name})", (status, part) == (206, data[10:20]), (status, part))
    own = {digest for digest in first if digest in work["indexPath"] + work["blobPath"]}
    swapped = {}
    for digest in own:
        for other in others:
            path = next(work[name] for name in ("indexPath", "blobPath") if digest in work[name]).replace(digest, other)
            status, body = victim.tries(path)
            if 0 < status < 400:
                swapped[path] = status
    scene.check("with the capability for one image, no other image's bytes", not swapped, swapped)
    # The documented row: who reads the path off the wire, reads the image's bytes off it as well.
    status, _ = stranger.request("GET", work["blobPath"])
    print(f"# the task's path, read off the wire by another host: {status}")
    for name in ("indexPath", "blobPath"):
        cut = work[name].rsplit("/", 1)
        forged = [cut[0], cut[0] + "/", cut[0] + "/" + "0" * len(cut[1]), work[name][:-1] + ("0" if work[name][-1] != "0" else "1")]
        got = {path: status for path in forged if 0 < (status := stranger.request("GET", path)[0]) < 400}
        scene.check(f"without its capability, or with one byte of it changed, the {name} opens nothing", not got, got)
    seed = victim.write(task)
    victim.first_boot(task, seed)
    status, _ = victim.request("GET", work["blobPath"])
    scene.check("when the installation is over, the path opens nothing", status in (401, 403, 404), status)
    scene.check("the machine runs", victim.record()["state"] == "running", victim.record()["state"])

    guest = Host(scene, "guest", scene.mac(), wire_name="rack1", server="10.78.0.1")
    guest.lease()
    refused(scene, "on a network that wants attestation", guest, first + others)
    guest.boot_into_agent()
    refused(scene, "on a network that wants attestation, with the session of a machine that proved nothing", guest, first + others, guest.session)
    # The same wire's address, asked for from the other one.
    sh("ip", "-n", stranger.ns, "route", "add", "10.78.0.1/32", "via", scene.ADDRESS)
    stranger.base = "http://10.78.0.1:8080"
    refused(scene, "from the other wire, at the attested network's address", stranger, first[:2])


if __name__ == "__main__":
    run("images for everybody", attack, more=[ATTESTED])
