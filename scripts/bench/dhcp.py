"""Four-way DHCP exchanges a second, by perfdhcp, on an ascending ladder of rates.

A server's figure is the highest rate that it answers with fewer than 1 % of DISCOVERs and of REQUESTs dropped;
the ladder doubles and is then halved three times between the last rate held and the first one lost. Servers take
turns, each in the same namespace with an empty lease store, so that the machine's noise hits all.
"""
import json
import os
import re
import statistics
import time

from wire import sh

SECONDS = 6
CLIENTS = 20_000
DROPS = 0.01
FIRST_RATE = 250
HIGHEST_RATE = 32_000
SETTLED_RATE = 1_000


def hostler(wire):
    boot = wire.folder()
    (boot / "vmlinuz").touch()
    (boot / "hostler-initrd.img").touch()
    return wire.hostler(boot)


def kea(wire, threads):
    folder = wire.folder()
    config = {"Dhcp4": {
        "interfaces-config": {"interfaces": ["bs0"]}, "valid-lifetime": 3600,
        "lease-database": {"type": "memfile", "persist": True, "name": str(folder / "leases.csv")},
        "multi-threading": {"enable-multi-threading": threads > 0, "thread-pool-size": max(threads, 1)},
        "loggers": [{"name": "kea-dhcp4", "severity": "WARN", "output_options": [{"output": str(folder / "log")}]}],
        "subnet4": [{"subnet": "10.99.0.0/16", "interface": "bs0", "pools": [{"pool": "10.99.64.0 - 10.99.250.255"}]}]}}
    (folder / "kea.json").write_text(json.dumps(config))
    child = wire.processes.start(
        wire.in_server("kea-dhcp4", "-c", str(folder / "kea.json")),
        env={**os.environ, "KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": str(folder)})
    time.sleep(2)
    return child


def dnsmasq(wire):
    folder = wire.folder()
    child = wire.processes.start(wire.in_server(
        "dnsmasq", "--keep-in-foreground", "--port=0", "--interface=bs0", "--conf-file=/dev/null", "--user=root",
        "--dhcp-range=10.99.64.0,10.99.250.255,255.255.0.0,1h", "--dhcp-lease-max=60000", "--no-ping", "--quiet-dhcp",
        f"--dhcp-leasefile={folder}/leases", f"--pid-file={folder}/pid"))
    time.sleep(1)
    return child


SERVERS = {
    "hostler": hostler,
    "kea": lambda wire: kea(wire, 0),
    "kea-threads": lambda wire: kea(wire, os.cpu_count() or 1),
    "dnsmasq": dnsmasq,
}


def perfdhcp(wire, rate, *options):
    """Exchanges a second that were completed, the larger share of drops, perfdhcp's whole report."""
    # It speaks as a relay: unicast, from port 67. Last answers count when they come within a tenth of a second.
    out = sh(*wire.in_client(
        "perfdhcp", "-4", "-l", "bc0", "-R", str(CLIENTS), "-p", str(SECONDS), "-r", str(rate), "-W", "100000", *options,
        wire.server_address), check=False, timeout=120).stdout
    sent = [int(n) for n in re.findall(r"^sent packets: (\d+)", out, re.M)]
    received = [int(n) for n in re.findall(r"^received packets: (\d+)", out, re.M)]
    if len(sent) != 2 or len(received) != 2 or not all(sent):
        return 0.0, 1.0, out
    # Its own rate counts the wait at the end as time.
    return received[1] / SECONDS, max(1 - got / all for got, all in zip(received, sent)), out


def ladder(wire):
    """The highest exchanges a second that were held."""
    best, rate, lost = 0.0, FIRST_RATE, None

    def holds(rate):
        nonlocal best
        reached, drops, _ = perfdhcp(wire, rate)
        # perfdhcp itself may be the slower one: then the rate reached counts, not the one asked for.
        good = drops < DROPS
        if good:
            best = max(best, reached)
        return good and reached > 0.9 * rate

    while rate <= HIGHEST_RATE:
        if not holds(rate):
            lost = rate
            break
        rate *= 2
    low = lost / 2 if lost else HIGHEST_RATE
    for _ in range(3 if lost else 0):
        middle = int((low + lost) / 2)
        if holds(middle):
            low = middle
        else:
            lost = middle
    return best


def latency(wire):
    """Milliseconds from DISCOVER to OFFER and from REQUEST to ACK, p50 and p99, at a rate that all but the slowest hold."""
    rate, drops, out = perfdhcp(wire, SETTLED_RATE, "-x", "t")
    times = {}
    for name, lines in re.findall(r"\*{3}Timestamps for packets: ([A-Z-]+)\*{3}\n((?:sent .*\n)*)", out):
        pairs = re.findall(r"([\d.]+) / ([\d.]+)", lines)
        delays = sorted((float(received) - float(sent)) * 1000 for sent, received in pairs)
        if delays:
            times[name] = {"p50": percentile(delays, 50), "p99": percentile(delays, 99)}
    return {"rate": rate, "drops": drops, "milliseconds": times}


def percentile(sorted_values, p):
    """Nearest rank."""
    return sorted_values[max(0, -(-len(sorted_values) * p // 100) - 1)]


def measure(wire, runs, say):
    results = {name: [] for name in SERVERS}
    delays = {}
    for run in range(runs):
        for name, server in SERVERS.items():
            child = server(wire)
            results[name].append(ladder(wire))
            say(f"dhcp run {run + 1}: {name} {results[name][-1]:,.0f}/s")
            wire.processes.stop(child)
            if run == 0:
                child = server(wire)
                delays[name] = latency(wire)
                wire.processes.stop(child)
    return {
        "unit": "four-way exchanges/s, < 1 % dropped",
        "median": {name: statistics.median(values) for name, values in results.items()},
        "runs": results,
        "latency": delays,
        "latency_rate": SETTLED_RATE,
    }
