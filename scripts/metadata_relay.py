"""Machines on another network, behind a DHCP relay and a router: what they get of the metadata service, and what one of
them gets that takes another's address there, where no MAC address is seen."""
import subprocess
import time

from metadata_rack import Rack, Watcher, connects, encoded, read_drive, sh, wait_for

ROUTER, UPLINK = "10.79.0.1", "10.77.0.254"
ROW = {"prefix": "10.79.0.0/24", "router": ROUTER, "ranges": ["10.79.0.100-10.79.0.120"]}
SECRETS = ["/latest/user-data", "/nocloud/user-data", "/nocloud/vendor-data", "/openstack/latest/user_data", "/hostler/v1/user-data",
           "/hostler/v1/token?audience=x"]
PLAIN = ["/latest/meta-data/instance-id", "/hostler/v1/self"]
PATHS = SECRETS + PLAIN

REGION = """
import json, botocore.session
from botocore.utils import IMDSRegionProvider
print(json.dumps({"region": IMDSRegionProvider(botocore.session.get_session()).provide()}))
"""


def router(rack):
    """A namespace that forwards, with dnsmasq as the relay; its bridge is the other network's."""
    name = f"{rack.server_ns}-router"
    rack.netns(name)
    sh("ip", "link", "add", "router", "netns", rack.server_ns, "type", "veth", "peer", "name", "up0", "netns", name)
    sh("ip", "-n", rack.server_ns, "link", "set", "router", "master", "rack0", "up")
    sh("ip", "-n", name, "addr", "add", f"{UPLINK}/24", "dev", "up0")
    sh("ip", "-n", name, "link", "set", "up0", "up")
    sh("ip", "-n", name, "link", "add", "row0", "type", "bridge")
    sh("ip", "-n", name, "addr", "add", f"{ROUTER}/24", "dev", "row0")
    sh("ip", "-n", name, "link", "set", "row0", "up")
    sh("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    sh("ip", "-n", name, "route", "add", "169.254.169.254", "via", Rack.ADDRESS)
    sh("ip", "-n", rack.server_ns, "route", "add", ROW["prefix"], "via", UPLINK)
    rack.children.append(subprocess.Popen(
        ["ip", "netns", "exec", name, "/usr/sbin/dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--pid-file=",
         f"--dhcp-relay={ROUTER},{Rack.ADDRESS}"]))
    return name


def behind_a_relay(check, rack, run_in, url_of, secret, key_of_the_wire):
    name = router(rack)
    one, two = (rack.machine(number, namespace=name, bridge="row0") for number in (11, 12))
    for machine in (one, two):
        machine.dhcp()
        machine.boot()
    routes = one.inside("ip", "route").stdout
    check("behind a relay: option 121 routes 169.254.169.254 to the router", f"169.254.169.254 via {ROUTER}" in routes, routes)
    plain(check, rack, one, run_in)
    installed(check, rack, one, run_in, url_of, secret)
    attack(check, rack, name, one, two, url_of, key_of_the_wire)
    container(check, rack, name, one)


def plain(check, rack, one, run_in):
    """What knows no key."""
    status, _ = one.imds_token()
    check("behind a relay: no token for an address alone", status == 403, status)
    answers = {path: one.curl(path)[0] for path in PLAIN + SECRETS}
    check("behind a relay: and no answer", set(answers.values()) == {401, 403} and all(answers[path] == 403 for path in SECRETS), answers)
    event = wait_for("an event", lambda: [e for e in rack.events("metadata.secret-refused") if e.get("machine") == one.id])[0]
    check("behind a relay: that a secret was asked for is an event with the address", event["evidence"]["source"] == one.address, event)
    seen = run_in(one, REGION)
    check("behind a relay: botocore without a key finds no region", seen == {"region": None}, seen)


def installed(check, rack, one, run_in, url_of, secret):
    operation, drive = one.install(dataSource="nocloud-http", userData=encoded(secret))
    key = read_drive(drive, "hostler/key").decode().strip()
    one.url = url_of(one, operation)
    check("behind a relay: the key on the seed volume is the installation's, and names the machine",
          one.url == f"http://169.254.169.254/k/{key}" and key.startswith(one.id + "."), (one.url, key))
    one.path = f"/k/{key}"
    check("behind a relay: user-data with the key", one.curl(one.path + "/latest/user-data")[1] == secret)
    config = one.curl(one.path + "/nocloud/vendor-data")[1]
    one.call_home(next(word for word in config.split() if "/call-home/" in word))
    state = rack.api("GET", f"/v1/machines/{one.id}")["state"]
    check("behind a relay: the system calls home with what it was given", state == "running", state)
    rack.secret = rack.work / "row-secret"
    rack.secret.write_text(secret)
    rack.cli("machine", "set", one.id, "--user-data", rack.secret, "--user-data-access", "always")
    status, one.token = one.imds_token(one.path + "/latest/api/token")
    check("behind a relay: a token by the key opens what the key does", status == 200 and
          one.curl("/latest/user-data", *one.token)[1] == secret and one.curl("/latest/meta-data/instance-id", *one.token)[1] == operation)
    # As programs are told of it that know EC2's service and no keys.
    seen = run_in(one, f"import os\nos.environ['AWS_EC2_METADATA_SERVICE_ENDPOINT'] = {one.url!r}\n" + REGION)
    check("behind a relay: botocore with the key in its endpoint gets the region", seen.get("region") == "z-ufc-rich-u1f384", seen)
    watch(check, rack, one)


def watch(check, rack, one):
    with Watcher(one, one.url) as watcher:
        rack.cli("machine", "set", one.id, "--tag", "row=two")
        began = time.monotonic()
        found = watcher.until('"row":"two"')
        check("behind a relay: a tag reaches a watcher within a second", found - began < 1, found - began)


def attack(check, rack, name, one, two, url_of, key_of_the_wire):
    """The second machine, with a key of its own and the first one's token, then at its address."""
    operation, _ = two.install(dataSource="nocloud-http", userData=encoded("its own"))
    own = url_of(two, operation).removeprefix("http://169.254.169.254")
    check("behind a relay: another machine's token is none at this one", two.curl("/latest/user-data", *one.token)[0] == 401)
    check("behind a relay: nor its key, where the address is leased to this one", two.curl(one.path + "/latest/user-data")[0] == 403)
    # An address of nobody: there is nothing to go by but a key, and none of theirs is guessed.
    sh("ip", "-n", two.ns, "addr", "add", "10.79.0.66/24", "dev", "eth0")
    there = ["--interface", "10.79.0.66"]
    answers = {two.curl(path, *there)[0] for path in PATHS} | {two.curl(f"/k/{one.id}.{'0' * 64}{path}", *there)[0] for path in PATHS}
    check("behind a relay: a stranger with an address of its own gets 403", answers == {403}, answers)
    # Read off the wire, or from a machine's disk.
    status, body = two.curl(key_of_the_wire + "/latest/user-data", *there)
    check("behind a relay: the right key of a machine that is not of this network opens nothing", status == 403 and "s3cr3t" not in body, status)
    check("behind a relay: that is an event", wait_for("an event", lambda: [
        e for e in rack.events("metadata.impostor") if e["evidence"]["source"] == "10.79.0.66"]))
    # The first one's address; its cable is out, and the router has learned where the address is now.
    sh("ip", "-n", one.ns, "link", "set", "eth0", "down")
    sh("ip", "-n", two.ns, "addr", "flush", "dev", "eth0")
    sh("ip", "-n", two.ns, "addr", "add", f"{one.address}/24", "dev", "eth0")
    for destination in ("169.254.169.254", "default"):
        sh("ip", "-n", two.ns, "route", "replace", destination, "via", ROUTER)
    sh("ip", "-n", name, "neigh", "flush", "dev", "row0")
    status, _ = two.imds_token()
    check("behind a relay: with another's address, no token", status == 403, status)
    answers = [two.curl(path) for path in PATHS]
    check("behind a relay: with another's address, nothing at all", {status for status, _ in answers} <= {401, 403} and
          not any("s3cr3t" in body for _, body in answers), answers)
    check("behind a relay: its own key opens nothing there", two.curl(own + "/latest/user-data")[0] == 403)
    check("behind a relay: it gets no nonce for a machine that runs", two.boot_nonce(one.mac) is None)
    sh("ip", "-n", two.ns, "link", "set", "eth0", "down")
    sh("ip", "-n", one.ns, "link", "set", "eth0", "up")
    for destination in ("169.254.169.254", "default"):
        sh("ip", "-n", one.ns, "route", "replace", destination, "via", ROUTER)
    sh("ip", "-n", name, "neigh", "flush", "dev", "row0")
    wait_for("the first machine is back", lambda: one.curl(one.path + "/latest/user-data")[0] == 200)


def container(check, rack, name, one):
    """A container behind the machine, with an address of the same network and even the machine's key: replies end at the machine."""
    inner, address = f"{one.ns}-c", "10.79.0.200"
    rack.netns(inner)
    sh("ip", "link", "add", "c0", "netns", one.ns, "type", "veth", "peer", "name", "eth0", "netns", inner)
    sh("ip", "-n", one.ns, "addr", "add", "172.31.0.1/24", "dev", "c0")
    sh("ip", "-n", one.ns, "link", "set", "c0", "up")
    sh("ip", "-n", one.ns, "route", "add", address, "dev", "c0")
    sh("ip", "-n", inner, "addr", "add", f"{address}/32", "dev", "eth0")
    sh("ip", "-n", inner, "link", "set", "eth0", "up")
    sh("ip", "-n", inner, "route", "add", "172.31.0.1", "dev", "eth0")
    sh("ip", "-n", inner, "route", "add", "default", "via", "172.31.0.1")
    one.inside("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.eth0.proxy_arp=1", "net.ipv4.conf.c0.rp_filter=0")

    def ask(url):
        return sh("ip", "netns", "exec", inner, "curl", "-s", "-m", "3", url, check=False)

    other = ask(f"http://{Rack.ADDRESS}:8080/")
    check("behind a relay: a container behind the machine reaches Hostler", other.returncode == 0, other)
    curl = ask(f"http://169.254.169.254{one.path}/latest/user-data")
    check("behind a relay: but not the metadata service, with an address there and the machine's key", curl.returncode == 28 and not curl.stdout, curl)
    check("behind a relay: not even a connection", not connects(inner, "169.254.169.254"))
    # The same address and key on the machine itself: it was the distance.
    sh("ip", "-n", one.ns, "addr", "add", f"{address}/24", "dev", "eth0")
    status, _ = one.curl(one.path + "/latest/user-data", "--interface", address)
    check("behind a relay: that address and key on the machine itself are answered", status == 200, status)
