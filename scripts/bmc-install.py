#!/usr/bin/env python3
"""Machines that are off, unseen and boot from their empty disk alone are installed by nothing but their BMC.

    bmc-install.py [--images DIR] [PART …]

Parts, all unless some are named: redfish (UEFI HTTP boot), ipmi (a BIOS machine, PXE), ipmi-efi (a UEFI machine, PXE),
hand (a BMC that hangs, and a finger on the power button). As root, with what `make deps` installs. In a lab of its own;
only `hand` ever uses the lab's own power switch. Ends with “N passed, M failed”.
"""
import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests/EndToEnd"))
sys.dont_write_bytecode = True
from rack import HOSTLER, SERVER, Failed, Rack, Story, check, until  # noqa: E402

PATIENCE = float(os.environ.get("PATIENCE", "1"))


class Installations(Story):
    # What the BMC says, asked past Hostler

    def bmc(self, node):
        for line in self.rack.in_lab("bmc").stdout.splitlines():
            name, url, user, password, _ = line.split()[:5]
            if name == node:
                return {"address": url.removeprefix("https://"), "user": user, "password": password}
        raise Failed(f"{node} has no BMC")

    def redfish(self, bmc, path):
        text = self.rack.enter(
            "curl", "-sk", "-m", "30", "-u", f"{bmc['user']}:{bmc['password']}", f"https://{bmc['address']}/redfish/v1/{path}").stdout
        return json.loads(text)

    def ipmitool(self, bmc, suite, *words):
        os.environ["IPMI_PASSWORD"] = bmc["password"]
        return self.rack.enter(
            "ipmitool", "-I", "lanplus", "-C", suite, "-H", bmc["address"], "-U", bmc["user"], "-E", *words).stdout

    def boot_at(self, bmc):
        return self.redfish(bmc, "Systems/1")["Boot"]

    def log_of(self, bmc):
        return [entry["Message"] for entry in self.redfish(bmc, "Systems/1/LogServices/SEL/Entries")["Members"]]

    # The parts

    def add(self, node, firmware, *ipmi, boot="disk-only"):
        """A machine in the lab, off, whose own boot order knows only its disk; its BMC given to Hostler.

        With options of IPMI it is spoken to by that alone, and its ports must be told."""
        rack = self.rack
        rack.in_lab("add", node, "--firmware", firmware, "--boot", boot, "--cpus", "2")
        bmc = self.bmc(node)
        check(self.redfish(bmc, "Systems/1")["PowerState"] == "Off", f"{node} is off")
        os.environ["HOSTLER_BMC_PASSWORD"] = bmc["password"]
        options = []
        if ipmi:
            for suite in ("3", "17"):
                said = self.ipmitool(bmc, suite, "chassis", "status")
                check("System Power         : off" in said, f"ipmitool, cipher suite {suite}: {said}")
            self.ok(f"{node}: ipmitool speaks to its BMC by cipher suites 3 and 17")
            options = ["--kind", "ipmi", "--mac", rack.mac(node)] + [word for option in ipmi for word in ("--option", option)]
        done = rack.admin("bmc", "add", bmc["address"], "--user", bmc["user"], "--new-machine", *options, "-o", "json")
        added = json.loads(done.stdout)
        check(added["machine"] and added["observed"]["power"]["state"] == "off", f"its BMC is added: {added}")
        machine = rack.machine(added["machine"])
        check([port["mac"] for port in machine["interfaces"]] == [rack.mac(node)], "its ports are known before it ever ran")
        check(machine["state"] == "new" and not machine["observed"].get("inventory"), "and nothing else")
        self.ok(f"{node}: a machine that nobody has seen is in the record by its BMC, {added['kind']}")
        return bmc, machine["id"], added["id"]

    def installed(self, node, bmc, machine, record, override, used):
        """From the one command to SSH; `override` is what Hostler says that it set, `used` the BMC's word for it."""
        rack = self.rack
        operation = rack.install(machine, node)
        step = lambda name: next(s for s in rack.operation(operation)["steps"] if s["name"] == name)  # noqa: E731
        until(120 * PATIENCE, f"{node}'s power is proved", lambda: "powerAttempt" in step("boot-agent")["evidence"])
        evidence = step("boot-agent")["evidence"]
        check(evidence["powerBefore"] == "off" and evidence["power"] == "on: proved, it reads on", f"power and its proof: {evidence}")
        check("read: off" in evidence["powerSeen"] and "asked: on" in evidence["powerSeen"], f"what was seen of it: {evidence}")
        check(evidence["bootOverride"] == f"{override}, read back: {override}", f"the override and its proof: {evidence}")
        check(self.redfish(bmc, "Systems/1")["PowerState"] == "On", "the BMC says the same")
        self.ok(f"{node}: the boot override was set and read back ({override}), then the power switched on and read back")
        until(400 * PATIENCE, f"{node}'s agent arrives", lambda: step("boot-agent")["state"] == "succeeded" or
              rack.operation(operation)["state"] != "running")
        check(step("boot-agent")["state"] == "succeeded", f"the agent is there: {rack.operation(operation)}")
        check(any(f"started from the boot override {used}" in line for line in self.log_of(bmc)), f"the BMC's log: {self.log_of(bmc)}")
        after = until(60, "the override is proved gone", lambda: step("boot-agent")["evidence"].get("bootOverrideAfter"))
        check(after.endswith("read back: no override"), after)
        boot = self.boot_at(bmc)
        check(boot["BootSourceOverrideEnabled"] == "Disabled", f"the BMC has no override: {boot}")
        check("heldOverride" not in json.loads(rack.admin("bmc", "show", record, "-o", "json").stdout), "Hostler holds none")
        self.ok(f"{node}: started from {used}; the override is gone, by Hostler's record and by the BMC's own")
        ended = rack.ended(operation, 900 * PATIENCE)
        check(ended["state"] == "succeeded", f"the installation ends well: {ended}")
        call = next(s for s in ended["steps"] if s["name"] == "first-boot")["evidence"]
        check(call.get("call-home") == rack.machine(machine)["observed"]["address"], f"it called home itself: {call}")
        rack.until_it_says(machine, node, "hostname", seconds=240 * PATIENCE)
        check("bookworm" in (rack.run(machine, "cat", "/etc/os-release") or ""), "it runs Debian 12")
        check(rack.machine(machine)["state"] == "running", "and the record says so")
        kinds = [event["kind"] for event in rack.get("/v1/events?limit=1000")["items"] if event.get("machine") == machine]
        check(kinds.count("power.on") == 1, f"its power was switched once: {kinds}")
        self.ok(f"{node}: Debian called home and answers by SSH; nobody but its BMC touched its power")
        said = rack.admin("machine", "console", machine, "--log").stdout
        for words in ("hostler: console connected", "iPXE", "Linux version", "login:"):
            check(words in said, f"the console is on record from the firmware to the login: no “{words}” in:\n{said[-3000:]}")
        self.ok(f"{node}: its serial console is on record by its BMC, from the firmware to the login ({len(said):,} characters)")
        return operation

    def ended_by_bmc(self, node, bmc, machine):
        """Its power goes by its BMC again, so that the next one has the host's cores."""
        self.rack.admin("machine", "power", "off", machine, "--yes", timeout=180)
        check(self.redfish(bmc, "Systems/1")["PowerState"] == "Off", f"{node} is off again")
        self.ok(f"{node}: switched off by its BMC, proved")

    def part_redfish(self):
        bmc, machine, record = self.add("red", "uefi")
        uri = f"http://{SERVER}:8080/boot/ipxe.efi"
        self.installed("red", bmc, machine, record, f"http {uri} once", "UefiHttp")
        self.ended_by_bmc("red", bmc, machine)

    def part_ipmi(self):
        bmc, machine, record = self.add("old", "bios", "efi=false", "cipher=3")
        self.installed("old", bmc, machine, record, "pxe once", "Pxe")
        flags = self.ipmitool(bmc, "3", "chassis", "bootparam", "get", "5")
        check("0000000000" in flags, f"by ipmitool the boot flags are void: {flags}")
        self.ended_by_bmc("old", bmc, machine)

    def part_ipmi_efi(self):
        bmc, machine, record = self.add("efi", "uefi", "efi=true", "cipher=17")
        self.installed("efi", bmc, machine, record, "pxe once", "Pxe")
        self.ended_by_bmc("efi", bmc, machine)

    def part_hand(self):
        rack = self.rack
        bmc, machine, record = self.add("stuck", "bios", boot="network-first")
        rack.fault("inject", "bmc-hang", "stuck")
        operation = rack.install(machine, "stuck")
        step = lambda: rack.operation(operation)["steps"][0]  # noqa: E731
        problem = until(180 * PATIENCE, "the operation says what its BMC does", lambda: step().get("problem"))
        check(problem["code"] == "bmc-silent" and bmc["address"] in problem["title"], f"what is told: {problem}")
        check("switch the machine on by hand" in problem["remedy"], f"and what to do: {problem}")
        self.ok(f"stuck: a BMC that hangs is told of in the operation: {problem['title']}")
        rack.power("stuck", "on")
        until(400 * PATIENCE, "the agent arrives", lambda: step()["state"] == "succeeded")
        check("power" not in step()["evidence"] and not step().get("problem"), f"nobody claims to have done it: {step()}")
        self.ok("stuck: switched on by hand, its agent arrives and the operation goes on")
        rack.admin("operation", "cancel", operation)
        rack.fault("clear", "--machine", "stuck")


PARTS = ["redfish", "ipmi", "ipmi-efi", "hand"]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = os.environ.get("CACHE_HOME", os.path.expanduser("~/.cache/hostler"))
    options.add_argument("--images", type=pathlib.Path, default=pathlib.Path(cache) / "state/images")
    options.add_argument("parts", nargs="*", choices=[*PARTS, []])
    chosen = options.parse_args()
    check(os.path.exists(HOSTLER), f"{HOSTLER} is not built: make binaries boot-files image")
    work = pathlib.Path(tempfile.mkdtemp(prefix="hostler-bmc.", dir="/tmp"))
    rack = Rack(work, chosen.images)
    rack.lab = f"bmc{os.getpid()}"
    rack.namespace = f"hostler-{rack.lab}"
    story = Installations(rack)
    failed = 0
    try:
        (work / "user-data").write_text("#cloud-config\nwrite_files:\n- path: /etc/from-user-data\n  content: applied\n")
        rack.in_lab("up", "--machines", "0", "--no-power-on")
        rack.start()
        for part in chosen.parts or PARTS:
            print(f"\n== {part}", flush=True)
            getattr(story, "part_" + part.replace("-", "_"))()
    except Exception as failure:  # the closing line must come
        failed = 1
        print(f"FAIL {failure}", flush=True)
        rack.tell(sys.stdout)
    finally:
        rack.close()
        if not os.environ.get("KEEP"):
            shutil.rmtree(work, ignore_errors=True)
    print(f"\n{story.passed} passed, {failed} failed")
    sys.exit(failed)


main()
