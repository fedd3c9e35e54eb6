"""What metadata-lab.sh runs: two machines with two ports each, installed with each image from each data source. They
carry traffic to one another over a VLAN on a bond, which nothing but cloud-init's own network configuration makes."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Tests/EndToEnd"))
from rack import Failed, Rack, until  # noqa: E402

IMAGES = os.environ.get("IMAGES", "debian-12 debian-13").split()
# Two that start once, then two that start twice: neither waits for the other.
SOURCES = os.environ.get("SOURCES", "nocloud config-drive nocloud-http ec2").split()
# This one has its network from a network-config that was given with the installation, the others from the machine's desired one.
GIVEN = "ec2"
KEEP = os.environ.get("KEEP")
# What cloud-init must say that it came from.
CLASSES = {
    "nocloud": "DataSourceNoCloud [", "nocloud-http": "DataSourceNoCloudNet [", "config-drive": "DataSourceConfigDrive [",
    "ec2": "DataSourceEc2"}
INSTALL_SECONDS, BOOT_SECONDS, CERTIFICATE_SECONDS = 900, 300, 120

# Asked of the installed system by its own Python.
QUESTIONS = r'''
import json, os, subprocess, sys, urllib.request
peer = sys.argv[1]
def text(path):
    try:
        return open(path).read()
    except OSError as error:
        return str(error)
def run(*command):
    done = subprocess.run(command, text=True, capture_output=True)
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr
def fetch(url, method="GET", **headers):
    try:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers), timeout=20).read().decode()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
def identity():
    labels = [label for label in ("CIDATA", "CONFIG-2") if os.path.exists(f"/dev/disk/by-label/{label}")]
    run("mount", "-o", "ro", "-L", *labels, "/mnt")
    key = text("/mnt/hostler/key").strip()
    run("umount", "/mnt")
    return fetch(service + "/hostler/v1/token?audience=trial", X_Hostler_Key=key)
service = "http://169.254.169.254"
token = fetch(service + "/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
print(json.dumps({
    "hostname": run("hostname").strip(), "user-data": text("/srv/said/by").strip(), "result": text("/run/cloud-init/result.json"),
    "bond": text("/proc/net/bonding/bond0"), "addresses": run("ip", "-br", "address"),
    "instance": fetch(service + "/latest/meta-data/instance-id", X_aws_ec2_metadata_token=token),
    "instance6": fetch("http://[fd00:ec2::254]/latest/meta-data/instance-id", X_aws_ec2_metadata_token=token),
    "pings": run("ping", "-c", "3", "-W", "10", "-I", "bond0.40", peer), "peer": fetch(f"http://{peer}:8000/by").strip(),
    "version": run("dpkg-query", "-W", "cloud-init").strip(), "searched": text("/run/cloud-init/cloud.cfg"),
    "identity": identity(),
    "blame": run("cloud-init", "analyze", "blame"), "boot": run("systemd-analyze"), "log": text("/run/cloud-init/ds-identify.log")}))
'''


class Trial:
    def __init__(self, rack):
        self.rack = rack
        self.passed = self.failed = 0
        self.began = time.monotonic()
        self.ids, self.macs, self.runs_a_system = {}, {}, set()

    def check(self, what, holds, detail=""):
        self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
        if holds:
            print(f"ok {self.passed + self.failed} - {what} [{time.monotonic() - self.began:.0f} s]", flush=True)
        else:
            print(f"FAILED {self.passed + self.failed} - {what}: {str(detail).strip()[-1500:]}", flush=True)

    # The rack

    def discover(self, nodes):
        for node in nodes:
            # One processor each: a translated guest with two can take a fault while Debian 13's kernel changes its own code.
            self.rack.in_lab("add", node, "--nics", "2", "--cpus", "1")
            self.rack.power(node, "on")
        for number, node in enumerate(nodes, 1):
            record = until(BOOT_SECONDS, f"{node} is discovered", lambda: self.ready(node))
            self.ids[node], self.macs[node] = record["id"], self.ports(record)
            network = self.rack.work / f"network-{node}.json"
            network.write_text(json.dumps(self.network(number, self.macs[node])))
            self.rack.admin("machine", "set", record["id"], "--network", network, "--tag", "role=web")
        self.check(f"{len(nodes)} machines with two ports are discovered, and their network is set", True)

    def ready(self, node):
        record = self.rack.machine_of(node)
        return record if record and record["state"] == "ready" and len(self.ports(record)) == 2 else None

    @staticmethod
    def ports(record):
        """The MAC addresses of the port that booted, and of those that the agent named."""
        return [port["mac"] for port in record["interfaces"] + record["observed"].get("claimedInterfaces", [])]

    @staticmethod
    def network(number, macs):
        return {
            "ethernets": [{"name": f"port{index}", "mac": mac} for index, mac in enumerate(macs)],
            "bonds": [{"name": "bond0", "mode": "active-backup", "members": ["port0", "port1"],
                       "addressing": {"addresses": [f"{Trial.address(number, None)}/24"]}}],
            "vlans": [{"name": "bond0.40", "id": 40, "link": "bond0", "addressing": {"addresses": [f"10.40.0.2{number}/24"]}}]}

    @staticmethod
    def given(number, macs):
        """The same as people write it themselves for cloud-init, with an address of which Hostler knows nothing.

        The bond has a port's MAC address: systemd-networkd would make one up, by which nobody knows the machine.
        """
        ports = "".join(f"  port{index}: {{match: {{macaddress: '{mac}'}}, set-name: port{index}}}\n" for index, mac in enumerate(macs))
        return f"""---
# ours
version: 2
ethernets:
{ports}bonds:
  bond0:
    interfaces: [port0, port1]
    macaddress: '{macs[0]}'
    parameters: {{mode: active-backup, mii-monitor-interval: 100}}
    addresses: [{Trial.address(number, GIVEN)}/24]
    routes: [{{to: 169.254.169.254/32, via: 10.77.0.1}}]

vlans:
  bond0.40: {{id: 40, link: bond0, addresses: [10.40.0.2{number}/24]}}
"""

    @staticmethod
    def address(number, source):
        return f"10.77.0.{3 if source == GIVEN else 2}{number}"

    # One round: each machine from a data source of its own

    def round(self, image, sources):
        nodes = dict(zip(self.ids, sources))
        operations = {node: self.install(node, image, source) for node, source in nodes.items()}
        for node, operation in operations.items():
            ended = self.rack.ended(operation, INSTALL_SECONDS)
            self.runs_a_system.add(node)
            self.check(f"{image} from {nodes[node]}: installed, and its system has proved that it is up",
                       ended["state"] == "succeeded", ended.get("problem") or ended["state"])
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answers = {node: pool.submit(self.ask, node, number, len(nodes) == 1) for number, node in enumerate(nodes, 1)}
        for number, (node, source) in enumerate(nodes.items(), 1):
            self.judge(image, source, number, sources, operations[node], answers[node].result())

    def install(self, node, image, source):
        number = list(self.ids).index(node) + 1
        user_data = self.rack.work / f"user-data-{node}"
        user_data.write_text(f"""#cloud-config
write_files:
- path: /srv/said/by
  content: {image} from {source}
runcmd:
- [systemd-run, --unit=said, python3, -m, http.server, --directory, /srv/said, --bind, 10.40.0.2{number}, "8000"]
""")
        given = []
        if source == GIVEN:
            (self.rack.work / f"given-{node}").write_text(self.given(number, self.macs[node]))
            given = ["--network-config", self.rack.work / f"given-{node}"]
        done = self.rack.admin(
            "machine", "install", self.ids[node], "--image", image, "--hostname", f"web-{number}", "--datasource", source,
            "--ssh-key", f"{self.rack.state / 'key'}.pub", "--user-data", user_data, *given, "--yes", "--no-wait")
        # One that runs a system goes to the agent by a restart; one that waits in the agent has begun.
        if node in self.runs_a_system:
            self.rack.power(node, "cycle")
        return next(word.strip(".,:") for word in done.stdout.split() if word.startswith("op-"))

    def ask(self, node, number, is_alone):
        """The answers of the system on `node`; none, with what ssh said, where nobody is let in."""
        address = self.rack.machine(self.ids[node])["observed"]["address"]
        # The other machine, or the only one itself.
        peer = f"10.40.0.2{number if is_alone else 3 - number}"
        command = [
            "ssh", "-i", self.rack.state / "key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
            "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", f"debian@{address}",
            "sudo", "python3", "-", peer]
        try:
            done = self.rack.enter(*command, check_status=False, timeout=180, input=QUESTIONS)
            return json.loads(done.stdout) if done.returncode == 0 else {"ssh": f"{address}: {done.stderr}"}
        except (subprocess.TimeoutExpired, ValueError) as error:
            return {"ssh": f"{address}: {error}"}

    def is_known(self, identity):
        """Whether a strict ssh that knows no key of the machine, only the authority, logs in."""
        known = self.rack.work / "authority"
        known.write_text(f"@cert-authority * {self.rack.get('/v1/ssh-ca')['host']}\n")
        address = self.rack.machine(identity)["observed"]["address"]
        return self.rack.enter(
            "ssh", "-i", self.rack.state / "key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o",
            f"UserKnownHostsFile={known}", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20", f"debian@{address}", "true",
            check_status=False, timeout=60).returncode == 0

    def judge(self, image, source, number, sources, operation, answer):
        case = f"{image} from {source}"
        if KEEP:
            pathlib.Path(KEEP).mkdir(parents=True, exist_ok=True)
            (pathlib.Path(KEEP) / f"{image}-{source}.json").write_text(json.dumps(answer, indent=1))
        self.check(f"{case}: the key opens the machine", "hostname" in answer, answer.get("ssh"))
        if "hostname" not in answer:
            return
        self.check(f"{case}: host name", answer["hostname"] == f"web-{number}", answer["hostname"])
        self.check(f"{case}: user-data", answer["user-data"] == case, answer["user-data"])
        result = json.loads(answer["result"])["v1"] if answer["result"].startswith("{") else {"datasource": answer["result"], "errors": []}
        self.check(f"{case}: {answer['version'].replace(chr(9), ' ')} says that it came from there, and of no error",
                   (result["datasource"] or "").startswith(CLASSES[source]) and not result["errors"], result)
        macs = list(self.macs.values())[number - 1]
        self.check(f"{case}: both ports are in the bond", all(f"Permanent HW addr: {mac}" in answer["bond"] for mac in macs), answer["bond"])
        # OpenStack's form says which port it is, and not how it is called.
        if source != "config-drive":
            self.check(f"{case}: and have their names", all(f"Slave Interface: port{port}" in answer["bond"] for port in (0, 1)), answer["bond"])
        bond = [line for line in answer["addresses"].splitlines() if line.startswith("bond0 ")]
        self.check(f"{case}: it has its static address", bond and f"{self.address(number, source)}/24" in bond[0], answer["addresses"])
        vlan = [line for line in answer["addresses"].splitlines() if line.startswith("bond0.40@bond0 ")]
        self.check(f"{case}: the VLAN on it has its static address", vlan and f"10.40.0.2{number}/24" in vlan[0], answer["addresses"])
        self.check(f"{case}: a ping goes over the VLAN and back", " 0% packet loss" in answer["pings"], answer["pings"])
        other = sources[2 - number] if len(sources) > 1 else source
        self.check(f"{case}: HTTP over the VLAN, from the other machine", answer["peer"] == f"{image} from {other}", answer["peer"])
        self.check(f"{case}: it reads its metadata with a token", answer["instance"] == operation, answer["instance"])
        self.check(f"{case}: and by IPv6, with the same token", answer["instance6"] == operation, answer["instance6"])
        self.check(f"{case}: with the key on its seed volume it has an identity", '"audience":"trial"' in answer["identity"], answer["identity"])
        end = time.monotonic() + CERTIFICATE_SECONDS
        while not (known := self.is_known(list(self.ids.values())[number - 1])) and time.monotonic() < end:
            time.sleep(5)
        self.check(f"{case}: ssh that knows the host authority alone lets the machine pass by its certificate", known)


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="hostler-mdlab.", dir="/var/tmp"))
    rack = Rack(work, sys.argv[1])
    trial = Trial(rack)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        rack.in_lab("up", "--machines", "0", "--uefi", "0", "--no-power-on")
        (work / "hostler.yaml").write_text("identity: {hostCertificates: true}\n")
        rack.start("--config", str(work / "hostler.yaml"))
        pairs = [SOURCES[first:first + 2] for first in range(0, len(SOURCES), 2)]
        trial.discover([f"node{number}" for number in range(1, max(map(len, pairs)) + 1)])
        for image in IMAGES:
            for pair in pairs:
                before = trial.failed
                trial.round(image, pair)
                if trial.failed > before:
                    rack.tell(sys.stderr)
    except (Failed, subprocess.SubprocessError, OSError) as error:
        trial.check("the trial goes on to its end", False, error)
        rack.tell(sys.stderr)
    finally:
        if KEEP:
            pathlib.Path(KEEP).mkdir(parents=True, exist_ok=True)
            for path in [rack.state / "serve.log", *rack.labs.glob("*/machines/*/console.log")]:
                if path.exists():
                    shutil.copy(path, pathlib.Path(KEEP) / f"{path.parent.name}-{path.name}")
        rack.close()
        shutil.rmtree(work, ignore_errors=True)
    print(f"{trial.passed} passed, {trial.failed} failed")
    sys.exit(1 if trial.failed else 0)


main()
