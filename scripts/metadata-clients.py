#!/usr/bin/env python3
"""Run by metadata-clients.sh: other people's clients against the metadata service, and an attacker beside them."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import yaml

from metadata_bad_input import bad_input, by_ipv6, replay
from metadata_relay import ROW, behind_a_relay
from metadata_stock_clients import ec2, ignition
from metadata_rack import Rack, Watcher, connects, encoded, read_drive, sh, wait_for

CACHE = pathlib.Path(sys.argv[1])
PYTHON = CACHE / "venv/bin/python"
SUITES = {"bookworm": "cloud-init of Debian 12", "trixie": "cloud-init of Debian 13"}
SECRET = "#cloud-config\n# s3cr3t-of-one-machine\nwrite_files: []\n"
passed, failed = 0, 0


def check(what, good, seen=""):
    global passed, failed
    if good:
        passed += 1
        print(f"ok {passed} - {what}", flush=True)
    else:
        failed += 1
        print(f"NOT OK - {what}: {str(seen)[-1500:]}", flush=True)


def run_in(machine, code, *arguments, suite=None):
    """Runs Python inside the machine, with a cloud-init where one is named; it prints JSON."""
    environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent"]
    if suite:
        environment.append(f"PYTHONPATH={CACHE}/cloud-init-{suite}/usr/lib/python3/dist-packages")
    done = machine.inside(*environment, PYTHON, "-c", code, *arguments, check=False)
    try:
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": done.stderr[-1500:], "output": done.stdout[-500:]}


BOTO = """
import json, botocore.session
from botocore.utils import IMDSFetcher, IMDSRegionProvider, InstanceMetadataFetcher
session = botocore.session.get_session()
fetcher = IMDSFetcher(timeout=5, num_attempts=1)
token = fetcher._fetch_metadata_token()
document = fetcher._get_request("latest/dynamic/instance-identity/document", lambda reply: False, token=token).text
print(json.dumps({"region": IMDSRegionProvider(session).provide(), "document": json.loads(document),
    "credentials": InstanceMetadataFetcher(timeout=5, num_attempts=1).retrieve_iam_role_credentials()}))
"""

# Debian's own data sources, as cloud-init makes them; only the folders are others.
SOURCE = """
import importlib, json, os, sys, tempfile
from cloudinit import distros, helpers, util
module, name, config, seed = sys.argv[1:5]
top = tempfile.mkdtemp()
paths = helpers.Paths({"cloud_dir": top, "run_dir": top + "/run"})
if seed:
    os.makedirs(paths.seed_dir, exist_ok=True)
    os.symlink(seed, os.path.join(paths.seed_dir, "nocloud"))
    os.symlink(seed, os.path.join(paths.seed_dir, "nocloud-net"))
distro = distros.fetch("debian")("debian", {}, paths)
source = getattr(importlib.import_module("cloudinit.sources." + module), name)(json.loads(config), distro, paths)
source.ds_cfg = util.get_cfg_by_path(json.loads(config), ("datasource", source.dsname), {}) or {}
# Newer ones ask themselves first whether they are meant at all.
found = getattr(source, "ds_detect", lambda: True)() and source._get_data()
text = lambda value: value.decode() if isinstance(value, bytes) else value
network = None
try: network = source.network_config if name.startswith("DataSourceNoCloud") else None
except Exception as error: network = repr(error)
host = source.get_hostname()
print(json.dumps({"found": found, "id": source.get_instance_id() if found else None, "host": getattr(host, "hostname", host),
    "keys": source.get_public_ssh_keys() if found else None, "user": text(source.userdata_raw), "vendor": text(source.vendordata_raw),
    "zone": source.availability_zone if found else None, "network": network, "meta": source.metadata if found else None}, default=str))
"""

NETWORK = """
import json, sys, tempfile, pathlib, os
from cloudinit import util
from cloudinit.net import network_state, networkd, netplan
from cloudinit.sources.helpers import openstack
kind, path, macs = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
data = util.load_yaml(open(path).read(), default={}) if kind == "netplan" else openstack.convert_net_json(json.load(open(path)), known_macs=macs)
state = network_state.parse_net_config_data(data)
out = {}
for renderer in (networkd.Renderer(), netplan.Renderer({"netplan_path": "etc/netplan/50.yaml"})):
    top = tempfile.mkdtemp()
    renderer.render_network_state(state, target=top)
    for file in pathlib.Path(top).rglob("*"):
        if file.is_file(): out[file.name] = file.read_text()
print(json.dumps(out))
"""

NETWORK_CONFIG = {
    "ethernets": [{"name": "eth0"}, {"name": "eth1", "mac": "52:54:00:bb:00:01"}],
    "bonds": [{"name": "bond0", "mode": "active-backup", "members": ["eth0", "eth1"],
               "addressing": {"addresses": ["10.77.0.40/24"], "nameservers": ["10.77.0.1"], "searchDomains": ["rack.example"]}}],
    "vlans": [{"name": "bond0.40", "id": 40, "link": "bond0",
               "addressing": {"addresses": ["10.40.0.40/24"], "routes": [{"to": "0.0.0.0/0", "via": "10.40.0.1"}]}}],
}


def clients(rack, one):
    result = run_in(one, BOTO)
    check("botocore's IMDSRegionProvider gets the region", result.get("region") == "z-ufc-rich-u1f384", result)
    check("botocore's IMDSFetcher gets the identity document", result.get("document", {}).get("privateIp") == one.address, result)
    check("botocore's InstanceMetadataFetcher finds no credentials, and no error", result.get("credentials") == {}, result)
    status, token = one.imds_token()
    check("curl gets a token", status == 200, token)
    check("curl gets its instance id", one.curl("/latest/meta-data/instance-id", *token)[0] == 200)
    check("curl without a token gets 401", one.curl("/latest/meta-data/instance-id")[0] == 401)


def drives(rack, one):
    """Each data source: install, look at the drive as cloud-init does, and what it asks for over the network."""
    network = json.loads(json.dumps(NETWORK_CONFIG))
    network["ethernets"][0]["mac"] = one.mac
    # The second port is known once the machine has told of it.
    inventory_macs = {one.mac: "eth0", "52:54:00:bb:00:01": "eth1"}
    network_file = rack.work / "network.json"
    network_file.write_text(json.dumps(network))
    one.agent("/agent/v1/inventory", {
        "system": {}, "firmware": {"mode": "bios"}, "cpus": [], "memory": {"totalBytes": 1, "dimms": []},
        "nics": [{"name": name, "mac": mac, "link": True} for mac, name in inventory_macs.items()],
        "disks": [{"name": "vda", "serial": "D1", "bytes": 64 << 20, "kind": "virtual", "removable": False, "logicalBlockBytes": 512}],
        "pci": [], "installations": []})
    rack.cli("machine", "set", one.id, "--network", network_file, "--tag", "role=web")
    for source in ("nocloud", "nocloud-http", "config-drive", "ec2"):
        operation, drive = one.install(dataSource=source, sshKeys=[KEY], userData=encoded(SECRET))
        seed = rack.work / f"seed-{source}"
        seed.mkdir()
        subprocess.run(["mcopy", "-s", "-i", drive, "::*", seed], check=True, capture_output=True)
        # FAT is one thing, the wire another: what is only on the wire is not on the disk.
        on_disk = SECRET.encode() in drive.read_bytes()
        check(f"{source}: user-data is on the disk only where it must be", on_disk == (source in ("nocloud", "config-drive")), on_disk)
        for suite, title in SUITES.items():
            judge(rack, one, source, suite, title, operation, seed, inventory_macs)
        call_home(rack, one, source, seed)
        if source == "ec2":
            return
        # Back to an empty machine: the next source starts from the beginning.
        wipe(rack, one)


def identify(rack, suite, label=None, config=None):
    """What ds-identify, which runs before cloud-init, makes of a machine with such a volume and configuration."""
    cloud = CACHE / f"cloud-init-{suite}"
    root = pathlib.Path(tempfile.mkdtemp(dir=rack.work))
    shutil.copytree(cloud / "etc/cloud", root / "etc/cloud")
    tools = root / "tools"
    for folder in (tools, root / "run", root / "proc", root / "sys/class/block", root / "dev/disk/by-label"):
        folder.mkdir(parents=True, exist_ok=True)
    (root / "proc/cmdline").write_text("root=/dev/vda1 ro\n")
    (root / "proc/uptime").write_text("1.0 1.0\n")
    if config:
        (root / "etc/cloud/cloud.cfg.d/95_hostler.cfg").write_text(config)
    volume = f"\nDEVNAME=/dev/vda2\nLABEL={label}\nTYPE=vfat\n" if label else ""
    (tools / "blkid").write_text(f"#!/bin/sh\ncat <<END\nDEVNAME=/dev/vda1\nUUID=1\nTYPE=ext4\n{volume}END\n")
    (tools / "systemd-detect-virt").write_text("#!/bin/sh\necho none\nexit 1\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    sh("env", "-i", f"PATH={tools}:/usr/sbin:/usr/bin:/sbin:/bin", f"PATH_ROOT={root}", "sh", cloud / "usr/lib/cloud-init/ds-identify", "--force", check=False)
    found = root / "run/cloud-init/cloud.cfg"
    return found.read_text() if found.exists() else "nothing"


def judge(rack, one, source, suite, title, operation, seed, macs):
    def ask(module, name, config=None, folder=""):
        return run_in(one, SOURCE, module, name, json.dumps(config or {}), str(folder), suite=suite)
    # These two start twice, and are told by the first start what the second is to use.
    script = read_user_data_script(seed)["/etc/cloud/cloud.cfg.d/95_hostler.cfg"] if source in ("nocloud-http", "ec2") else None
    if source == "nocloud":
        seen = ask("DataSourceNoCloud", "DataSourceNoCloud", folder=seed)
        network = seed / "network-config"
    elif script:
        config = yaml.safe_load(script)
        wanted = "Ec2" if source == "ec2" else "NoCloud"
        seen = ask("DataSourceEc2", "DataSourceEc2", config) if source == "ec2" else ask("DataSourceNoCloud", "DataSourceNoCloudNet", config)
        check(f"{source}, {title}: only {wanted}'s data source is left", config["datasource_list"] == [wanted], config)
        network = rack.work / "network-of-configuration"
        network.write_text(json.dumps(config["network"]))
    else:
        seen = run_in(one, CONFIG_DRIVE, str(seed), suite=suite)
        network = seed / "openstack/latest/network_data.json"
        live = run_in(one, OPENSTACK, metadata_url(rack, one, operation), suite=suite)
        check(f"openstack over HTTP, {title}: id, user-data, network", live.get("id") == operation and live.get("user") == SECRET and
              live.get("links") == 4, live)
    label = "CONFIG-2" if source == "config-drive" else "CIDATA"
    wanted = {"config-drive": "ConfigDrive", "ec2": "Ec2"}.get(source, "NoCloud")
    identified = identify(rack, suite, label, script)
    check(f"{source}, {title}: ds-identify finds {wanted}", identified.strip() in (f"datasource_list: [ {wanted}, None ]", f"datasource_list: [ {wanted} ]"), identified)
    if script:
        identified = identify(rack, suite, label)
        check(f"{source}, {title}: and NoCloud at the first start", "datasource_list: [ NoCloud, None ]" in identified, identified)
    check(f"{source}, {title}: finds itself", seen.get("found") and seen.get("id") == operation, seen)
    check(f"{source}, {title}: host name and key", seen.get("host") == "web-1" and KEY in (seen.get("keys") or []), seen)
    check(f"{source}, {title}: user-data", seen.get("user") == SECRET, seen)
    kind = "openstack" if source == "config-drive" else "netplan"
    files = run_in(one, NETWORK, kind, str(network), json.dumps(macs), suite=suite)
    text = "\n".join(files.values()) if "error" not in files else str(files)
    check(f"{source}, {title}: a bond with a VLAN and static addresses", all(
        word in text for word in ("active-backup", "10.77.0.40/24", "10.40.0.40/24", "id: 40", "10.40.0.1")), text)
    check(f"{source}, {title}: a way to the metadata service", "169.254.169.254" in text, text)
    if source != "ec2":
        if source == "config-drive":
            document = json.loads((seed / "openstack/latest/vendor_data.json").read_text())["cloud-init"]
        else:
            document = seen.get("vendor") or (seed / "vendor-data").read_text()
        file = rack.work / "vendor.yaml"
        file.write_text(document)
        done = one.inside("env", f"PYTHONPATH={CACHE}/cloud-init-{suite}/usr/lib/python3/dist-packages", PYTHON, "-m", "cloudinit.cmd.main",
                          "schema", "--config-file", file, check=False)
        check(f"{source}, {title}: vendor-data is of cloud-init's schema", "Valid" in done.stdout, done.stdout + done.stderr)


CONFIG_DRIVE = """
import json, sys
from cloudinit.sources.helpers import openstack
read = openstack.ConfigDriveReader(sys.argv[1]).read_v2()
meta = read["metadata"]
print(json.dumps({"found": True, "id": meta["uuid"], "host": meta["local-hostname"], "keys": list(meta["public_keys"].values()),
    "user": read["userdata"].decode(), "vendor": read["vendordata"]}))
"""
OPENSTACK = """
import json, sys
from cloudinit.sources.helpers import openstack
read = openstack.MetadataReader(sys.argv[1]).read_v2()
print(json.dumps({"id": read["metadata"]["uuid"], "user": read["userdata"].decode(), "links": len(read["networkdata"]["links"])}))
"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHoyvYMdWsXKNFJIMZDJi9SbC0fFJ0oKs1bJGhYjVuNq ada"


def read_user_data_script(seed):
    """What the first start of the EC2 drive writes, by path."""
    import base64
    command = yaml.safe_load((seed / "user-data").read_text())["bootcmd"][0][2]
    return {part.split("> ")[1]: base64.b64decode(part.split()[1]).decode() for part in command.split(" && ") if part.startswith("echo ")}


def metadata_url(rack, one, operation):
    """The URL with the key that root finds on the installation's drive, whatever its data source."""
    key = read_drive(rack.work / f"{operation}.img", "hostler/key").decode().strip()
    assert key.startswith(f"{one.id}."), key
    return f"http://169.254.169.254/k/{key}"


def call_home(rack, one, source, seed):
    if source == "ec2":
        url = yaml.safe_load(read_user_data_script(seed)["/etc/cloud/cloud.cfg.d/95_hostler.cfg"])["phone_home"]["url"]
    elif source == "config-drive":
        text = json.loads((seed / "openstack/latest/vendor_data.json").read_text())["cloud-init"]
        url = next(word for word in text.split() if word.startswith("http://"))
    elif source == "nocloud":
        url = next(word for word in (seed / "vendor-data").read_text().split() if word.startswith("http://"))
    else:
        config = yaml.safe_load(read_user_data_script(seed)["/etc/cloud/cloud.cfg.d/95_hostler.cfg"])
        text = one.inside("curl", "-sf", config["datasource"]["NoCloud"]["seedfrom"] + "vendor-data").stdout
        check(f"{source}: the seed key does not open the call home", "call-home" not in text, text)
        url = config["phone_home"]["url"]
    one.call_home(url)
    check(f"{source}: the system calls home with what it was given", True)


def wipe(rack, one):
    operation = rack.order(f"/v1/machines/{one.id}/wipe", {})
    one.boot()
    task = one.agent("/agent/v1/task", {"generation": 0})
    for step in ("wipe-disks", "verify-wipe"):
        one.agent("/agent/v1/report", {
            "operation": task["operation"], "generation": task["generation"], "step": step, "kind": "succeeded", "evidence": {}})
    wait_for("the wipe ends", lambda: rack.api("GET", f"/v1/operations/{operation['id']}")["state"] == "succeeded")


def watching(rack, one, key):
    """A change of a tag reaches the machine within a second."""
    with Watcher(one, key) as watcher:
        rack.cli("machine", "set", one.id, "--tag", "canary=yes")
        began = time.monotonic()
        found = watcher.until('"canary":"yes"')
        check("hostler machine set --tag reaches a watcher within a second", found - began < 1, found - began)
        key_file = rack.work / "other.pub"
        key_file.write_text(KEY + "-2\n")
        rack.cli("machine", "set", one.id, "--ssh-key", key_file)
        watcher.until("ada-2")
        check("hostler machine set --ssh-key reaches it too", True)


def attack(rack, one, two, key):
    """A second machine on the wire wants the first one's secrets."""
    data = rack.work / "secret"
    data.write_text(SECRET)
    rack.cli("machine", "set", one.id, "--user-data", data, "--user-data-access", "always")
    check("the machine reads its user-data with its key", one.curl(key.removeprefix("http://169.254.169.254") + "/latest/user-data")[1] == SECRET)
    secrets = ["/latest/user-data", "/nocloud/user-data", "/nocloud/vendor-data", "/openstack/latest/user_data",
               "/openstack/latest/vendor_data.json", "/hostler/v1/user-data", "/hostler/v1/token?audience=x"]

    def gets_nothing(what, who, *options, **more):
        status, token = who.imds_token()
        answers = [who.curl(path, *token, *options, **more) for path in secrets] + [who.curl(path, *options, **more) for path in secrets]
        check(what, not any("s3cr3t" in body or "call-home" in body for _, body in answers) and all(code in (0, 401, 403, 404) for code, _ in answers), answers)
        return status

    _, token = one.imds_token()
    sh("ip", "-n", two.ns, "addr", "add", "10.77.0.66/24", "dev", "eth0")
    sh("ip", "-n", two.ns, "route", "add", "169.254.169.254/32", "via", Rack.ADDRESS)
    check("a stranger gets 403", gets_nothing("a stranger with an address of its own gets no secret", two) == 403)
    sh("ip", "-n", two.ns, "addr", "flush", "dev", "eth0")
    two.dhcp()
    two.boot()
    nonce = two.boot_nonce()
    gets_nothing("a known machine gets no secret of another", two)
    check("the first machine's token is none at the second", two.curl("/latest/meta-data/", *token)[0] == 401)
    path = key.removeprefix("http://169.254.169.254")
    check("the first machine's key is none at the second", two.curl(path + "/latest/user-data")[0] == 403)

    # Its address.
    sh("ip", "-n", two.ns, "addr", "flush", "dev", "eth0")
    sh("ip", "-n", two.ns, "addr", "add", f"{one.address}/24", "dev", "eth0")
    sh("ip", "-n", two.ns, "route", "replace", "169.254.169.254/32", "via", Rack.ADDRESS)
    sh("ip", "-n", one.ns, "link", "set", "eth0", "down")
    sh("ip", "-n", rack.server_ns, "neigh", "flush", "dev", "rack0")
    two.inside("busybox", "arping", "-c", "2", "-U", "-I", "eth0", one.address, check=False)
    status = gets_nothing("with its address, no secret", two)
    check("with its address, 403 to everything", status == 403, status)
    event = wait_for("an event", lambda: rack.events("metadata.impostor"))[0]
    check("the attempt is an event that names both MAC addresses",
          event["evidence"]["mac"] == two.mac and event["evidence"]["rightful-mac"] == one.mac, event)
    check("and it is one event, not hundreds", len(rack.events("metadata.impostor")) <= 2)

    # Its MAC address too: now the wire cannot tell them apart.
    sh("ip", "-n", two.ns, "link", "set", "eth0", "down")
    sh("ip", "-n", two.ns, "link", "set", "eth0", "address", one.mac)
    sh("ip", "-n", two.ns, "link", "set", "eth0", "up")
    sh("ip", "-n", two.ns, "route", "replace", "169.254.169.254/32", "via", Rack.ADDRESS)
    sh("ip", "-n", rack.server_ns, "neigh", "flush", "dev", "rack0")
    status = gets_nothing("with its MAC address and its address, no secret", two)
    check("what is no secret it gets, as the first machine does", status == 200, status)
    check("whoever wanted a secret without the key is told of in an event", wait_for("an event", lambda: rack.events("metadata.secret-refused")))
    check("with a made-up key, 403", two.curl("/k/" + "0" * 64 + "/latest/user-data")[0] == 403)
    check("nobody gets a nonce that is for another MAC address", two.boot_nonce("52:54:00:dd:00:01") is None)
    check("the attempt is an event", wait_for("an event", lambda: rack.events("boot.impostor")))
    check("the gate gives no nonce for a machine that runs", two.boot_nonce(one.mac) is None)
    replay(check, rack, two, one)
    check("a nonce of the agent's buys no configuration", two.curl("/hostler/v1/config/" + nonce)[0] == 403)
    sh("ip", "-n", two.ns, "link", "set", "eth0", "down")
    sh("ip", "-n", two.ns, "link", "set", "eth0", "address", two.mac)
    sh("ip", "-n", rack.server_ns, "neigh", "flush", "dev", "rack0")
    sh("ip", "-n", one.ns, "link", "set", "eth0", "up")
    sh("ip", "-n", one.ns, "route", "replace", "169.254.169.254/32", "via", Rack.ADDRESS)
    wait_for("the first machine is back", lambda: one.imds_token()[0] == 200)

    # Through the first machine.
    for field in ("X-Forwarded-For: 10.9.9.9", "Via: 1.1 proxy", "Forwarded: for=10.9.9.9"):
        check(f"through a proxy ({field.split(':')[0]}), 403, with the key as well",
              one.curl(path + "/latest/user-data", "-H", field)[0] == 403 and one.imds_token()[0] == 200)
    check("by another name (DNS rebinding), 403", one.curl(path + "/latest/user-data", "-H", "Host: evil.example")[0] == 403)
    sh("ip", "-n", two.ns, "link", "set", "eth0", "up")
    sh("ip", "-n", two.ns, "addr", "flush", "dev", "eth0")
    two.dhcp()
    proxy = subprocess.Popen(["ip", "netns", "exec", one.ns, PYTHON, "-c", RELAY], stdout=subprocess.DEVNULL)
    try:
        wait_for("the relay listens", lambda: two.inside("curl", "-s", "-m", "1", "-o", "/dev/null", "-w", "%{http_code}", f"http://{one.address}:8888/", check=False).stdout != "000")
        gets_nothing("through a relay on the first machine that tells nothing, no secret", two, "--connect-to", f"169.254.169.254:80:{one.address}:8888")
    finally:
        proxy.kill()
        proxy.wait()
    by_ipv6(check, one, two, secrets)
    bad_input(check, rack, one, two, PYTHON)
    container(rack, one)


RELAY = """
import socket, threading
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", 8888))
listener.listen()
def pump(a, b):
    try:
        while data := a.recv(65536): b.sendall(data)
    except OSError: pass
    finally:
        a.close(); b.close()
while True:
    client, _ = listener.accept()
    server = socket.create_connection(("169.254.169.254", 80))
    for pair in ((client, server), (server, client)): threading.Thread(target=pump, args=pair, daemon=True).start()
"""


def container(rack, one):
    """A container behind the machine: replies end at the machine (IP TTL 1)."""
    name = f"{one.ns}-c"
    rack.netns(name)
    sh("ip", "link", "add", "c0", "netns", one.ns, "type", "veth", "peer", "name", "eth0", "netns", name)
    sh("ip", "-n", one.ns, "addr", "add", "172.30.0.1/24", "dev", "c0")
    sh("ip", "-n", one.ns, "link", "set", "c0", "up")
    sh("ip", "-n", name, "addr", "add", "172.30.0.2/24", "dev", "eth0")
    sh("ip", "-n", name, "link", "set", "eth0", "up")
    sh("ip", "-n", name, "route", "add", "default", "via", "172.30.0.1")
    one.inside("sysctl", "-qw", "net.ipv4.ip_forward=1")
    sh("ip", "-n", rack.server_ns, "route", "add", "172.30.0.0/24", "via", one.address)
    other = sh("ip", "netns", "exec", name, "curl", "-s", "-m", "3", "-o", "/dev/null", f"http://{Rack.ADDRESS}:8080/", check=False)
    check("a container behind the machine reaches Hostler's network", other.returncode == 0, other)
    curl = sh("ip", "netns", "exec", name, "curl", "-s", "-m", "3", "http://169.254.169.254/", check=False)
    check("but not the metadata service: its replies do not go so far", curl.returncode == 28, curl)
    check("and not even a connection, though machines behind a router are farther away", not connects(name, "169.254.169.254"))
    # The same by IPv6, with a way there and back.
    link = json.loads(one.inside("ip", "-j", "-6", "addr", "show", "dev", "eth0", "scope", "link").stdout)[0]["addr_info"][0]["local"]
    sh("ip", "-n", one.ns, "addr", "add", "fd30::1/64", "dev", "c0", "nodad")
    one.inside("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    sh("ip", "-n", one.ns, "-6", "route", "replace", "fd00:ec2::/64", "dev", "eth0")
    sh("ip", "-n", name, "addr", "add", "fd30::2/64", "dev", "eth0", "nodad")
    sh("ip", "-n", name, "-6", "route", "add", "default", "via", "fd30::1")
    sh("ip", "-n", rack.server_ns, "-6", "route", "add", "fd30::/64", "via", link, "dev", "rack0")
    # A port on which nothing listens: the refusal is the kernel's, with a hop limit as usual.
    other = sh("ip", "netns", "exec", name, "curl", "-s", "-g", "-m", "3", "http://[fd00:ec2::254]:81/", check=False)
    check("the container reaches fd00:ec2::254", other.returncode == 7, other)
    curl = sh("ip", "netns", "exec", name, "curl", "-s", "-g", "-m", "3", "http://[fd00:ec2::254]/", check=False)
    check("but not the metadata service there", curl.returncode == 28, curl)


def main():
    settings = {"region": "Zürich 🎄", "zone": "b"}
    with Rack(settings, subnets=[ROW]) as rack:
        rack.add_image()
        rack.start()
        one, two = rack.machine(1), rack.machine(2)
        one.dhcp()
        routes = one.inside("ip", "route").stdout
        check("DHCP option 121 routes 169.254.169.254 to Hostler", f"169.254.169.254 via {Rack.ADDRESS}" in routes, routes)
        one.boot()
        clients(rack, one)
        ignition(check, rack, one, CACHE)
        wipe(rack, one)
        drives(rack, one)
        machine = rack.api("GET", f"/v1/machines/{one.id}")
        key = metadata_url(rack, one, machine["installed"]["operation"])
        check("after the system is up, its installation's user-data is gone", one.curl(key.removeprefix("http://169.254.169.254") + "/latest/user-data")[0] == 404)
        ec2(check, run_in, one, CACHE, machine["installed"]["operation"], ("role", "web"))
        watching(rack, one, key)
        attack(rack, one, two, key)
        behind_a_relay(check, rack, run_in, lambda *words: metadata_url(rack, *words), SECRET, key.removeprefix("http://169.254.169.254"))
        wipe_began = rack.order(f"/v1/machines/{one.id}/wipe", {})
        check("from the moment of its wipe on, the key is none", one.curl(key.removeprefix("http://169.254.169.254") + "/latest/user-data")[0] == 403, wipe_began)
        rack.stop()
        left = sh("ip", "-n", rack.server_ns, "addr", "show", "dev", "rack0").stdout
        check("the address goes when the server does", "169.254.169.254" not in left, left)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
