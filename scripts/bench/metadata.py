"""The metadata service beside nginx: reads a second and the 99th percentile, with 10,000 machines in the store and 500
connections, each read with its token; then the same beside 10,000 idle connections; then how soon a change of a tag
reaches its watcher among 10,000.

One machine in a network namespace asks both over the same wire, in turns: the service at 169.254.169.254 for
`instance-id`, and nginx for a file of the same bytes. What differs is that ours knows who asks, and checks the token.
"""
import ctypes
import json
import os
import pathlib
import re
import resource
import selectors
import socket
import sqlite3
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from metadata_rack import Rack, sh, wait_for  # noqa: E402

PATH = "/latest/meta-data/instance-id"
MACHINES, CONNECTIONS, WATCHERS, LOAD_SECONDS = 10_000, 500, 10_000, 5
# The namespace to come back to.
HOME = f"/proc/self/fd/{os.open('/proc/self/ns/net', os.O_RDONLY)}"


def clone_machines(rack, count):
    """Copies the one machine in the store, each with a name and a MAC address of its own."""
    database = sqlite3.connect(rack.state / "hostler.db")
    key, value = database.execute(
        "SELECT e.key, v.value FROM entries e JOIN versions v ON v.id = e.id WHERE e.key LIKE '/rack/machines/%'").fetchone()
    machine = json.loads(value)
    revision = database.execute("SELECT revision FROM meta").fetchone()[0]
    letters = "0123456789abcdefghjkmnpqrstvwxyz"
    for first in range(1, count, 4000):
        revision += 1
        for position, number in enumerate(range(first, min(count, first + 4000))):
            name = "".join(letters[number >> shift & 31] for shift in (15, 10, 5, 0))
            identifier = f"m-bench{name}"
            copy = {**machine, "id": identifier, "name": identifier,
                    "interfaces": [{"mac": f"52:54:01:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"}]}
            row = revision << 12 | position
            database.execute("INSERT INTO versions VALUES (?, ?, ?, ?)", (row, f"/rack/machines/{identifier}", revision, json.dumps(copy).encode()))
            database.execute("INSERT INTO entries VALUES (?, ?, ?)", (f"/rack/machines/{identifier}", row, revision))
    database.execute("UPDATE meta SET revision = ?", (revision,))
    database.commit()
    database.close()


def load(machine, url, *headers):
    """Requests a second, and the 99th percentile in milliseconds."""
    options = [part for header in headers for part in ("-H", header)]
    out = machine.inside("wrk", "-t2", f"-c{CONNECTIONS}", f"-d{LOAD_SECONDS}s", "--latency", *options, url).stdout
    if "Non-2xx" in out:
        raise RuntimeError(out)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    return rate, float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def enter(path):
    """Moves this thread, and the sockets it makes, into a namespace (setns(2), CLONE_NEWNET)."""
    with open(path) as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0x40000000) != 0:
            raise RuntimeError(f"setns: {os.strerror(ctypes.get_errno())}")


def connections(machine, count, first=b""):
    """So many from the machine, each with its first words."""
    enter(f"/run/netns/{machine.ns}")
    opened = []
    try:
        for _ in range(count):
            connection = socket.create_connection(("169.254.169.254", 80), timeout=20)
            connection.setblocking(False)
            if first:
                connection.send(first)
            opened.append(connection)
    finally:
        enter(HOME)
    return opened


def watchers(rack, crowd, lone, count, token, lone_token):
    """In milliseconds: how long after `machine set` the lone machine's watcher has its tag, and how long until all of a
    crowd, which is one machine's, have theirs."""
    def watch(header):
        return f"GET /hostler/v1/self?watch=true HTTP/1.1\r\nHost: 169.254.169.254\r\n{header}\r\n\r\n".encode()
    many = connections(crowd, count - 1, watch(token))
    single = connections(lone, 1, watch(lone_token))[0]
    selector = selectors.DefaultSelector()
    for connection in [*many, single]:
        selector.register(connection, selectors.EVENT_READ)

    def until(mark, wanted):
        waiting, seen = set(wanted), {}
        end = time.monotonic() + 60
        while waiting and time.monotonic() < end:
            for ready, _ in selector.select(1):
                connection = ready.fileobj
                data = connection.recv(65536)
                if not data:
                    raise RuntimeError("a watcher was closed")
                seen[connection] = (seen.get(connection, b"") + data)[-4096:]
                if mark in seen[connection]:
                    waiting.discard(connection)
        if waiting:
            raise RuntimeError(f"{len(waiting)} watchers did not see {mark!r}")

    until(b"data: ", [*many, single])
    alone, all_of_them = [], []
    for round in range(3):
        for machine, wanted, times in ((lone, [single], alone), (crowd, many, all_of_them)):
            tag = f"t{round}-{machine.number}"
            began = time.monotonic()
            rack.api("PATCH", f"/v1/machines/{machine.id}", {"tags": {tag: "x"}})
            until(f'"{tag}":"x"'.encode(), wanted)
            times.append((time.monotonic() - began) * 1000)
    for connection in [*many, single]:
        connection.close()
    return alone, all_of_them


def measure(runs, say):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < WATCHERS + 2000:
        raise RuntimeError(f"{hard} open files are allowed; {WATCHERS + 2000} are needed: ulimit -Hn")
    with Rack({"requestsPerSecond": 100_000_000, "connectionsPerMachine": WATCHERS + 2 * CONNECTIONS}) as rack:
        rack.start()
        one, two = rack.machine(1), rack.machine(2)
        for machine in (one, two):
            machine.dhcp()
            # Ports for idle connections, for watchers and for those that are in TIME_WAIT.
            machine.inside("sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000")
        one.boot()
        rack.stop()
        say(f"metadata: {MACHINES:,} machines go into the store")
        clone_machines(rack, MACHINES)
        rack.start()
        two.boot()
        one.boot()
        tokens = [machine.imds_token()[1][1] for machine in (one, two)]
        nginx(rack, one.curl(PATH, "-H", tokens[0])[1])
        wait_for("nginx", lambda: one.curl("/instance-id", host=f"{Rack.ADDRESS}:8081")[0] == 200)

        ours, theirs = [], []
        for run in range(runs):
            theirs.append(load(one, f"http://{Rack.ADDRESS}:8081/instance-id"))
            ours.append(load(one, f"http://169.254.169.254{PATH}", tokens[0]))
            say(f"metadata: run {run + 1}: {ours[-1][0]:,.0f} reads/s, p99 {ours[-1][1]:.1f} ms; "
                f"nginx {theirs[-1][0]:,.0f}, {theirs[-1][1]:.1f} ms")
        # Idle ones are closed after 15 s: they are opened anew for the time of one run.
        idle = connections(two, WATCHERS)
        idle_rate, idle_late = load(one, f"http://169.254.169.254{PATH}", tokens[0])
        for connection in idle:
            connection.close()
        say(f"metadata: beside {WATCHERS:,} idle connections {idle_rate:,.0f} reads/s")

        memory = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{rack.server.pid}/status").read()).group(1)) / 1024
        alone, crowd = watchers(rack, two, one, WATCHERS, tokens[1], tokens[0])
        say(f"metadata: a tag reaches its watcher in {max(alone):.0f} ms")
        return {
            "machines": MACHINES, "connections": CONNECTIONS, "watchers": WATCHERS,
            "runs": {"hostler": ours, "nginx": theirs},
            "rate": {"hostler": middle(ours, 0), "nginx": middle(theirs, 0)},
            "p99_milliseconds": {"hostler": middle(ours, 1), "nginx": middle(theirs, 1)},
            "beside_idle": {"rate": idle_rate, "p99_milliseconds": idle_late},
            "watch_milliseconds": {"one": alone, "all_of_one_machine": crowd},
            "resident_mb": memory}


def middle(runs, field):
    return statistics.median(run[field] for run in runs)


def nginx(rack, body):
    web = rack.work / "web"
    web.mkdir()
    (web / "instance-id").write_text(body)
    rack.work.chmod(0o755)
    (rack.work / "nginx.conf").write_text(f"""worker_processes auto; pid {rack.work}/nginx.pid; error_log /dev/null; daemon off; user root;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
server {{ listen {Rack.ADDRESS}:8081 backlog=4096; root {web}; }} }}""")
    rack.children.append(subprocess.Popen(["ip", "netns", "exec", rack.server_ns, "nginx", "-c", str(rack.work / "nginx.conf")]))
