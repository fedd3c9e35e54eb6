#!/usr/bin/env python3
"""Plays a machine to a Hostler server, over the wire's own protocol and without a virtual machine:
it takes a boot script, says hello as the agent, reports what it is made of, does the work it is
given (on nothing), and calls home as the installed system. Commands, each done in the end:

  played_machine.py URL MAC inspect
  played_machine.py URL MAC install SECONDS [HOST_KEY.pub…]
"""
import json
import re
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

INSTALL_STEPS = ["choose-disk", "write-image", "write-seed", "boot-order", "restart"]


class Astray(Exception):
    """The server led the machine elsewhere than it was to go."""


class Machine:
    serial = "PLAYED"

    def __init__(self, base, mac):
        self.base, self.mac, self.session = base, mac, None

    def ask(self, path, body=None, form=None):
        data = json.dumps(body).encode() if body is not None else urllib.parse.urlencode(form).encode() if form else None
        request = urllib.request.Request(self.base + path, data=data)
        if self.session:
            request.add_header("Authorization", "Bearer " + self.session)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.read()

    def script(self, mac=None):
        return self.ask(f"/boot/script?mac={mac or self.mac}&platform=bios").decode()

    @staticmethod
    def nonce_in(script):
        """None where the script leads elsewhere than to the agent."""
        found = re.search(r"hostler\.nonce=(\S+)", script)
        return found and found[1]

    def hello_body(self, nonce, **fields):
        return {"nonce": nonce, "sessionKey": secrets.token_hex(32), "mac": self.mac, "macs": [self.mac], "firmware": "bios",
                "version": "played", **fields}

    def boot(self, **fields):
        script = self.script()
        nonce = self.nonce_in(script)
        if not nonce:
            raise Astray(f"the boot script leads elsewhere:\n{script}")
        reply = json.loads(self.ask("/agent/v1/hello", self.hello_body(nonce, **fields)))
        self.session, self.id = reply["session"], reply["machine"]
        return reply

    def inventory_body(self, **fields):
        return {
            "system": {}, "firmware": {"mode": "bios"}, "cpus": [], "memory": {"totalBytes": 0, "dimms": []},
            "nics": [{"name": "eth0", "mac": self.mac, "link": True}], "pci": [], "installations": [],
            "disks": [{"name": "sda", "serial": self.serial, "bytes": 1 << 30, "kind": "virtual", "removable": False,
                       "logicalBlockBytes": 512}], **fields}

    def inventory(self, **fields):
        self.ask("/agent/v1/inventory", self.inventory_body(**fields))

    def work(self, kind, deadline):
        """The next work of this kind; other work, and none, is passed over."""
        while time.time() < deadline:
            task = json.loads(self.ask("/agent/v1/task", {"generation": 0}))
            if kind in task["work"]:
                return task
        raise Astray(f"no {kind} came")

    def report_body(self, task, step, **fields):
        return {"operation": task["operation"], "generation": task["generation"], "step": step, "kind": "succeeded", "evidence": {}, **fields}

    def done(self, task, step, evidence=None):
        return json.loads(self.ask("/agent/v1/report", self.report_body(task, step, evidence=evidence or {})))

    def write(self, task):
        """Does what an installation wants up to the restart; the seed, as text."""
        seed = self.ask(task["work"]["install"]["_0"]["seedPath"]).decode("latin-1")
        for step in INSTALL_STEPS:
            self.done(task, step, {"serial": self.serial} if step == "choose-disk" else {})
        self.session = None
        return seed

    def call_home(self, task, seed, keys=()):
        home = re.search(r"http://[0-9.:]+(/call-home/\S+)", seed)[1]
        form = {"instance_id": task["operation"], "hostname": "played"}
        for line in keys:
            form["pub_key_" + {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}.get(line.split()[0], "ecdsa")] = line
        self.ask(home, form=form)

    def install(self, deadline, keys=()):
        task = self.work("install", deadline)
        self.call_home(task, self.write(task), keys)


def main():
    base, mac, verb = sys.argv[1:4]
    machine = Machine(base, mac)
    machine.boot()
    machine.inventory()
    if verb == "install":
        machine.install(time.time() + float(sys.argv[4]), [open(path).read() for path in sys.argv[5:]])


if __name__ == "__main__":
    try:
        main()
    except Astray as failure:
        sys.exit(str(failure))
