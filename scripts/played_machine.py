#!/usr/bin/env python3
"""Plays a machine to a Hostler server, over the wire's own protocol and without a virtual machine:
it takes a boot script, says hello as the agent, reports what it is made of, does the work it is
given (on nothing), and calls home as the installed system. Commands, each done in the end:

  played_machine.py URL MAC inspect
  played_machine.py URL MAC install SECONDS [HOST_KEY.pub…]
"""
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


class Machine:
    def __init__(self, base, mac):
        self.base, self.mac, self.session = base, mac, None

    def ask(self, path, body=None, form=None):
        data = json.dumps(body).encode() if body is not None else urllib.parse.urlencode(form).encode() if form else None
        request = urllib.request.Request(self.base + path, data=data)
        if self.session:
            request.add_header("Authorization", "Bearer " + self.session)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.read()

    def boot(self):
        script = self.ask(f"/boot/script?mac={self.mac}&platform=bios").decode()
        nonce = re.search(r"hostler\.nonce=(\S+)", script)
        if not nonce:
            raise SystemExit(f"the boot script leads elsewhere:\n{script}")
        hello = self.ask("/agent/v1/hello", {
            "nonce": nonce[1], "sessionKey": "ab" * 32, "mac": self.mac, "macs": [self.mac], "firmware": "bios",
            "version": "played"})
        self.session = json.loads(hello)["session"]

    def inventory(self):
        self.ask("/agent/v1/inventory", {
            "system": {}, "firmware": {"mode": "bios"}, "cpus": [], "memory": {"totalBytes": 0, "dimms": []},
            "nics": [{"name": "eth0", "mac": self.mac, "link": True}], "pci": [], "installations": [],
            "disks": [{"name": "sda", "serial": "PLAYED", "bytes": 1 << 30, "kind": "virtual", "removable": False,
                       "logicalBlockBytes": 512}]})

    def work(self, kind, deadline):
        """The next work of this kind; other work, and none, is passed over."""
        while time.time() < deadline:
            task = json.loads(self.ask("/agent/v1/task", {"generation": 0}))
            if kind in task["work"]:
                return task
        raise SystemExit(f"no {kind} came")

    def done(self, task, step, evidence=None):
        self.ask("/agent/v1/report", {
            "operation": task["operation"], "generation": task["generation"], "step": step, "kind": "succeeded",
            "evidence": evidence or {}})

    def install(self, deadline, keys):
        task = self.work("install", deadline)
        seed = self.ask(task["work"]["install"]["_0"]["seedPath"]).decode("latin-1")
        self.done(task, "choose-disk", {"serial": "PLAYED"})
        for step in ["write-image", "write-seed", "boot-order", "restart"]:
            self.done(task, step)
        self.session = None
        home = re.search(r"http://[0-9.:]+(/call-home/\S+)", seed)[1]
        form = {"instance_id": task["operation"], "hostname": "played"}
        for path in keys:
            line = open(path).read()
            form["pub_key_" + {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}.get(line.split()[0], "ecdsa")] = line
        self.ask(home, form=form)


def main():
    base, mac, verb = sys.argv[1:4]
    machine = Machine(base, mac)
    machine.boot()
    machine.inventory()
    if verb == "install":
        machine.install(time.time() + float(sys.argv[4]), sys.argv[5:])


if __name__ == "__main__":
    main()
