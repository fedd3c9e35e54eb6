"""The host, the sizes, and the table of everything measured, in Markdown."""
import os
import platform
import re
import statistics
import time

from wire import ROOT, sh

BEGIN, END = "<!-- figures: made by scripts/bench.sh --page -->", "<!-- end of figures -->"
PEERS = ("kea-dhcp4-server", "kea-admin", "dnsmasq-base", "nginx-light", "wrk", "tftpd-hpa", "atftp", "curl", "mmdebstrap", "qemu-system-x86")
BUSY = 0.1


def sizes():
    paths = {
        "hostler": "out/bin/hostler", "hostler-init": "out/bin/hostler-init", "ramdisk": "out/boot/hostler-initrd.img",
        "kernel": "out/boot/vmlinuz"}
    return {"unit": "MB", **{name: (ROOT / path).stat().st_size / 1e6 for name, path in paths.items()}}


def commit():
    found = sh("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*", check=False)
    return found.stdout.strip() or "unknown"


def busy_share():
    """How much of the processors is at work for others, while nothing of ours runs: 0 to 1, over three seconds."""
    def times():
        with open("/proc/stat") as file:
            fields = [int(field) for field in file.readline().split()[1:9]]
        return sum(fields), fields[3] + fields[4]
    all_before, idle_before = times()
    time.sleep(3)
    all_after, idle_after = times()
    return 1 - (idle_after - idle_before) / max(all_after - all_before, 1)


def host():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.M)
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s+(\d+)", file.read()).group(1))
    release = {}
    with open("/etc/os-release") as file:
        for line in file:
            key, _, value = line.strip().partition("=")
            release[key] = value.strip('"')
    versions = {}
    for package in PEERS:
        found = sh("dpkg-query", "--show", "--showformat=${Version}", package, check=False)
        if found.returncode == 0:
            versions[package] = found.stdout
    return {
        "cores": os.cpu_count(), "cpu": model.group(1) if model else "unknown", "memory_gib": round(memory / 1048576),
        "kernel": platform.release(), "system": release.get("PRETTY_NAME", ""), "versions": versions}


def rows(parts):
    def figures(name):
        return parts.get(name, {}).get("figures")
    one = figures("install")
    if one:
        install, floor = one["install"], one["floor"]
        lost = f", {len(one['failures'])} of them failed" if one["failures"] else ""
        first = f"power-on to SSH, {one['installs']} installations{lost}, {one['firmware'].upper()}"
        for p in ("p50", "p99"):
            yield (f"{first}, {p}, s", f"{install[p]:.1f}", f"floor: the same Debian from the local disk {floor[p]:.1f}",
                   f"{one['ratio'][p]:.2f} × floor", "≤ 2.5" if p == "p50" else "")
        used = one.get("install_processor"), one.get("floor_processor")
        if all(used):
            yield (f"{first}, processor seconds of its QEMU, p50", f"{used[0]['p50']:.1f}", f"floor {used[1]['p50']:.1f}",
                   f"{one['processor_ratio']:.2f} × floor", "")
    two = figures("peer")
    if two:
        done = [seconds for seconds in two["runs"] if seconds]
        theirs = statistics.median(done) if len(done) == len(two["runs"]) else None
        ours = one["install"]["p50"] if one else None
        said = f"mmdebstrap + grub-install {theirs:,.0f}" if theirs else f"mmdebstrap + grub-install > {two['limit']:,}"
        ratio = f"{'' if theirs else '> '}{(theirs or two['limit']) / ours:.1f} times as fast" if ours else ""
        yield ("power-on to SSH against package by package, s", f"{ours:.1f}" if ours else "", said, ratio, "≥ 10")
        if one and all(two["processor"]) and one.get("install_processor"):
            used, own = statistics.median(two["processor"]), one["install_processor"]["p50"]
            yield ("the same, processor seconds of its QEMU", f"{own:.1f}", f"{'' if theirs else '> '}{used:,.0f}",
                   f"{'' if theirs else '> '}{used / own:.1f} times as little", "")
    three = figures("dhcp")
    if three:
        them = three["median"]
        best = max(them["kea"], them["kea-threads"])
        yield ("DHCP, four-way exchanges/s, < 1 % lost", f"{them['hostler']:,.0f}",
               f"Kea memfile {them['kea']:,.0f}, with threads {them['kea-threads']:,.0f}; dnsmasq {them['dnsmasq']:,.0f}",
               f"{them['hostler'] / best:.2f} × the better Kea; {them['hostler'] / max(them['dnsmasq'], 1):.0f} × dnsmasq", "> Kea")
        for exchange in ("DISCOVER-OFFER", "REQUEST-ACK"):
            def times(name):
                found = three["latency"].get(name, {}).get("milliseconds", {}).get(exchange)
                return f"{found['p50']:.2f} / {found['p99']:.2f}" if found else "–"
            yield (f"DHCP, {exchange} at {three['latency_rate']:,}/s, p50 / p99, ms", times("hostler"),
                   f"Kea {times('kea')}, with threads {times('kea-threads')}", "", "")
    four = figures("http")
    if four:
        them = four["median"]
        yield ("HTTP, 512 MiB, MB/s", f"{them['hostler']:,.0f}", f"nginx {them['nginx']:,.0f}", f"{them['hostler'] / them['nginx']:.2f}", "level")
    five = figures("tftp")
    if five:
        them = five["lock-step"]["median"]
        yield (f"TFTP, 512 MiB, blksize {five['blksize']}, no window, MB/s", f"{them['hostler']:,.0f}",
               f"tftpd-hpa {them['tftpd-hpa']:,.0f}", f"{them['hostler'] / them['tftpd-hpa']:.2f}", "level")
        them = five["window"]["median"]
        yield (f"TFTP, 512 MiB, blksize {five['blksize']}, windowsize {five['windowsize']}, MB/s", f"{them['hostler']:,.0f}",
               f"atftpd {them['atftpd']:,.0f} (tftpd-hpa has no windows)", f"{them['hostler'] / them['atftpd']:.2f}", "")
    eight = figures("metadata")
    if eight:
        rate, late = eight["rate"], eight["p99_milliseconds"]
        yield (f"metadata reads/s with a token, {eight['machines']:,} machines, {eight['connections']} connections",
               f"{rate['hostler']:,.0f}", f"nginx, a file of the same size {rate['nginx']:,.0f}",
               f"{rate['hostler'] / rate['nginx']:.2f}", "≥ 0.5")
        yield ("the same, p99, ms", f"{late['hostler']:.1f}", f"nginx {late['nginx']:.1f}", f"{late['hostler'] / late['nginx']:.2f}", "")
        idle, watch = eight["beside_idle"], eight["watch_milliseconds"]
        yield (f"the same beside {eight['watchers']:,} idle connections, reads/s; p99, ms",
               f"{idle['rate']:,.0f}; {idle['p99_milliseconds']:.1f}", "", "", "")
        yield (f"a tag reaches its watcher, {eight['watchers']:,} watch, ms", f"{max(watch['one']):.0f}", "", "", "< 1,000")
        yield (f"a tag reaches {eight['watchers'] - 1:,} watchers of one machine, ms", f"{max(watch['all_of_one_machine']):.0f}", "", "", "")
        yield (f"`hostler serve` with {eight['machines']:,} machines, MB, RSS", f"{eight['resident_mb']:.0f}", "", "", "")
    yield from bmc_rows(figures("bmc"))
    six = figures("memory")
    if six:
        idle, after = six["idle"], six["after-transfer"]
        yield ("`hostler serve` at rest, MB, RSS / PSS", f"{idle['rss']:.0f} / {idle['pss']:.0f}", "", "", "< 64")
        yield ("the same after 512 MiB by HTTP", f"{after['rss']:.0f} / {after['pss']:.0f}", "", "", "")
    seven = figures("size")
    if seven:
        for name in ("hostler", "hostler-init", "ramdisk", "kernel"):
            yield (f"size of {'`' + name + '`' if 'hostler' in name else 'the ' + name}, MB", f"{seven[name]:.1f}", "", "",
                   "< 40" if name == "ramdisk" else "")


def bmc_rows(found):
    if not found:
        return
    our, them = found["hostler"], found.get("sushy")
    healthy = found["count"] - found["hung"]
    rack = f"{found['count']} BMCs, {found['latency_ms']} ms each, {found['hung']} hung"
    for what, ours, name, aim in (
            ("first status sweep after a start, logins included", our["firstSweep"], "first_sweep", "≤ 3 s"),
            (f"status sweep, median of {len(our['sweeps'])}", statistics.median(our["sweeps"]), "sweep", "≤ 3 s"),
            ("all power on, each read to be on", our["powerOn"], "power_on", "≤ 10 s"),
            ("all power off, each read to be off", our["powerOff"], "power_off", "≤ 10 s")):
        beside = ratio = ""
        if them:
            beside = (f"sushy {them['version']}, the {healthy} healthy ones only: one by one {them['loop'][name]:.1f}, "
                      f"{them['thread_count']} at a time {them['threads'][name]:.1f}")
            ratio = f"{them['loop'][name] / ours:.0f} and {them['threads'][name] / ours:.1f} times as fast"
        yield (f"{rack}: {what}, s", f"{ours:.2f}", beside, ratio, aim)
    each = (our["residentConnected"] - our["residentBefore"]) / found["count"] / 1024
    yield ("the same: memory for each BMC, connected, KiB", f"{each:.0f}", "", "", "")


def text(results):
    parts, machine = results["parts"], results["host"]
    lines = ["| what | Hostler | beside it, on the same machine | ratio | aim |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows(parts)]
    lines += ["", f"Machine: {machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}, {machine['system']}."]
    if "install" in parts:
        how = {"tcg": "QEMU's translator (TCG)", "kvm": "KVM"}
        guests = parts["install"]["figures"]
        lines[-1] += f" Guests run by {how[guests['accelerator']]}: 2 processors, 1 GiB, virtio disk and network, {guests['firmware'].upper()}."
    lines += ["", "Versions: " + ", ".join(f"{name} {version}" for name, version in machine["versions"].items()) + "."]
    lines += ["", "| part | when (UTC) | took, s | other work on the processors, before / after | commit | command |", "|---|---|---|---|---|---|"]
    for name, part in parts.items():
        after = f"{part['others_after']:.0%}" if "others_after" in part else "broken off"
        lines.append(f"| {name} | {part['date'][:16].replace('T', ' ')} | {part['seconds']:,} | {part['others_before']:.0%} / {after} "
                     f"| {part['commit']} | `{part['command']}` |")
    busy = [name for name, part in parts.items() if max(part["others_before"], part.get("others_after", 0)) > BUSY and name != "size"]
    if busy:
        lines += ["", f"While these parts were measured, the host had other work to do as well: {', '.join(busy)}."]
    return "\n".join(lines)


def put_into(page, text):
    old = page.read_text()
    before, after = old[:old.index(BEGIN)], old[old.index(END):]
    page.write_text(f"{before}{BEGIN}\n{text}\n{after}")
