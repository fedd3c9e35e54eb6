#!/usr/bin/env python3
"""A real installation beside the floods: a virtual machine boots from the network, is installed and calls home, while every flood of
floods.py runs at once. Needs out/bin, out/boot and the built image (`make binaries boot-files image`), and is asked for by
`make attacks-install`."""
import contextlib
import os
import pathlib
import random
import sys
import tempfile
import threading
import time

import paths
import floods
from enclosure import enclosed
from machine import Host
from metadata_rack import sh

sys.path.insert(1, str(paths.ROOT / "Tests/EndToEnd"))
import rack  # noqa: E402: it stands there

SECONDS = 2400
NODE = "honest"
USER_DATA = "#cloud-config\nwrite_files:\n- {path: /etc/flooded, content: no}\n"


class FloodedLab(rack.Rack):
    """The lab's wire, with attackers on it; to them it is what a scene is."""

    ADDRESS, PREFIX = rack.SERVER, 24

    def __init__(self, work, images, seed):
        super().__init__(work, images)
        self.server_ns, self.random, self.taken = self.namespace, random.Random(seed), []

    def netns(self, name):
        sh("ip", "netns", "add", name)
        self.taken.append(name)
        sh("ip", "-n", name, "link", "set", "lo", "up")
        return name

    def mac_of_nobody(self):
        return "52:56:" + ":".join(f"{self.random.randrange(256):02x}" for _ in range(4))

    def host(self, name):
        return Host(self, name, self.mac_of_nobody())

    def memory(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0


def flooding(lab, over, said):
    """Wave after wave, until the installation is over."""
    while not over.is_set():
        wave = floods.begin_all(lab, wave=len(said))
        said.append({name: flood.said() for name, flood in wave.items()})
        for name in lab.taken:
            sh("ip", "netns", "del", name, check=False)
        lab.taken.clear()


def watching(lab, over, most):
    while not over.wait(0.25):
        with contextlib.suppress(OSError):
            most[0] = max(most[0], lab.memory())


def story(images, seed):
    work = pathlib.Path(tempfile.mkdtemp(prefix="i."))
    lab = FloodedLab(work, images, seed)
    passed = failed = 0
    try:
        (work / "user-data").write_text(USER_DATA)
        lab.in_lab("up", "--machines", "0", "--no-power-on")
        lab.start()
        lab.in_lab("add", NODE, "--boot", "network-first", "--cpus", "1")
        lab.power(NODE, "on")
        machine = rack.until(400, "it is discovered", lambda: (m := lab.machine_of(NODE)) and m["state"] == "ready" and m)["id"]
        print(f"ok {(passed := passed + 1)} - without a flood the machine is discovered", flush=True)
        over, said, most = threading.Event(), [], [0.0]
        thread = threading.Thread(target=flooding, args=(lab, over, said), daemon=True)
        thread.start()
        threading.Thread(target=watching, args=(lab, over, most), daemon=True).start()
        time.sleep(5)
        began = time.monotonic()
        operation = lab.install(machine, NODE)
        ended = lab.ended(operation, 1500)
        over.set()
        thread.join(floods.FLOOD_SECONDS + 60)
        rack.check(ended["state"] == "succeeded", f"its installation ends well in the floods: {ended}")
        print(f"ok {(passed := passed + 1)} - in the floods it is installed, and calls home, in {time.monotonic() - began:.0f} s", flush=True)
        rack.check(said and all(wave["MAC addresses"].get("macs", 0) > 1000 for wave in said), f"the floods were what they say: {said}")
        print(f"ok {(passed := passed + 1)} - {len(said)} waves of floods, the last: {said[-1]}", flush=True)
        rack.check(0 < most[0] <= floods.MEMORY_MB, f"memory stays under {floods.MEMORY_MB} MB: {most[0]:.0f} MB")
        print(f"ok {(passed := passed + 1)} - the server's memory stays under {floods.MEMORY_MB} MB ({most[0]:.0f} MB)", flush=True)
    except BaseException as failure:  # noqa: BLE001: the closing line must come
        failed = 1
        print(f"NOT OK {passed + 1} - {failure!r}"[:2000], flush=True)
        lab.tell(sys.stdout)
    finally:
        lab.close()
    print(f"{passed} passed, {failed} failed", flush=True)
    return failed


def main():
    cache = os.environ.get("CACHE_HOME", os.path.expanduser("~/.cache/hostler"))
    images = pathlib.Path(cache) / "state/images"
    if not os.path.exists(rack.HOSTLER) or not images.exists():
        sys.exit(f"{rack.HOSTLER} or {images} is not built: make binaries boot-files image")
    seed = int(os.environ.get("ATTACK_SEED") or (sys.argv[2] if sys.argv[1:2] == ["--seed"] else int.from_bytes(os.urandom(4))))
    print(f"# an installation beside the floods; seed {seed}", flush=True)
    sys.exit(enclosed(lambda: story(images, seed), SECONDS))


if __name__ == "__main__":
    main()
