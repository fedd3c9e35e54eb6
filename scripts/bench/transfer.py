"""A file of 512 MB by HTTP and by TFTP, Hostler and its peers in turn, and what Hostler needs of memory meanwhile.

All servers send the same file from the page cache over the same wire to the same client, which throws it away.
"""
import os
import re
import statistics
import time

from wire import CACHE, sh

FILE_BYTES = 512 << 20
BLOCK_BYTES = 1428
WINDOW_BLOCKS = 16


def file_to_send(wire):
    folder = wire.work / "boot"
    if not folder.exists():
        folder.mkdir()
        with open(folder / "vmlinuz", "wb") as file:
            for _ in range(FILE_BYTES >> 20):
                file.write(os.urandom(1 << 20))
        (folder / "hostler-initrd.img").touch()
        # So that no server is the one that pays for writing it back.
        os.sync()
    return folder


def nginx(wire, folder):
    config = wire.folder() / "nginx.conf"
    config.write_text(f"""worker_processes auto; pid {config}.pid; error_log /dev/null; daemon off; user root;
events {{}}
http {{ access_log off; sendfile on; tcp_nopush on; server {{ listen {wire.server_address}:8081; root {folder.parent}; }} }}""")
    child = wire.processes.start(wire.in_server("nginx", "-c", str(config)))
    wire.wait_until_listening(8081, child)
    return child


def tftpd(wire, folder):
    child = wire.processes.start(wire.in_server(
        "in.tftpd", "--foreground", "--listen", "--address", f"{wire.server_address}:6969", "--user", "root", "--secure",
        str(folder)))
    must_run(child)
    return child


def atftpd(wire, folder):
    """A peer that knows windows (RFC 7440); tftpd-hpa 5.2 does not. Unpacked, not installed: the packages conflict."""
    home = CACHE / "bench-atftpd"
    if not (home / "usr/sbin/atftpd").exists():
        home.mkdir(parents=True, exist_ok=True)
        sh("apt-get", "-o", "APT::Sandbox::User=root", "download", "atftpd", cwd=home)
        sh("bash", "-c", "dpkg-deb --extract atftpd_*.deb .", cwd=home)
    child = wire.processes.start(wire.in_server(
        str(home / "usr/sbin/atftpd"), "--daemon", "--no-fork", "--port", "6970", "--bind-address", wire.server_address, "--user",
        "root.root", "--logfile", "/dev/null", str(folder)))
    must_run(child)
    return child


def must_run(child):
    time.sleep(1)
    if child.poll() is not None:
        raise RuntimeError(f"{' '.join(child.args)} ended with {child.returncode}")


def curl(wire, url, *options):
    """MB/s."""
    began = time.monotonic()
    out = sh(*wire.in_client("curl", "-sS", "-o", "/dev/null", "-w", "%{size_download}", *options, url), timeout=600)
    if int(out.stdout) != FILE_BYTES:
        raise RuntimeError(f"{url}: {out.stdout} bytes came")
    return FILE_BYTES / 1e6 / (time.monotonic() - began)


def atftp(wire, port, window):
    """MB/s with a window (RFC 7440), which curl does not ask for."""
    began = time.monotonic()
    sh(*wire.in_client(
        "atftp", "--option", f"blksize {BLOCK_BYTES}", "--option", f"windowsize {window}", "--get", "--remote-file", "vmlinuz",
        "--local-file", "/dev/null", wire.server_address, str(port)), timeout=600)
    return FILE_BYTES / 1e6 / (time.monotonic() - began)


def memory(pid):
    """MB resident, and MB with shared pages counted in part (proc(5), smaps_rollup)."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        text = file.read()
    return {name.lower(): int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1)) / 1000 for name in ("Rss", "Pss")}


def in_turn(contestants, runs, say, what):
    """Each contestant once to warm up, then all of them in turn `runs` times."""
    results = {name: [] for name in contestants}
    for run in range(runs + 1):
        for name, transfer in contestants.items():
            speed = transfer()
            if run:
                results[name].append(speed)
                say(f"{what} run {run}: {name} {speed:,.0f} MB/s")
    return {"unit": "MB/s", "median": {name: statistics.median(all) for name, all in results.items()}, "runs": results}


def measure_http(wire, runs, say):
    folder = file_to_send(wire)
    ours, theirs = wire.hostler(folder), nginx(wire, folder)
    address = wire.server_address
    try:
        return in_turn({
            "hostler": lambda: curl(wire, f"http://{address}:8080/boot/vmlinuz"),
            "nginx": lambda: curl(wire, f"http://{address}:8081/boot/vmlinuz"),
        }, runs, say, "http")
    finally:
        wire.processes.stop(ours)
        wire.processes.stop(theirs)


def measure_tftp(wire, runs, say):
    folder = file_to_send(wire)
    ours, theirs, windowed = wire.hostler(folder), tftpd(wire, folder), atftpd(wire, folder)
    address, size = wire.server_address, ("--tftp-blksize", str(BLOCK_BYTES))
    try:
        return {
            "blksize": BLOCK_BYTES, "windowsize": WINDOW_BLOCKS,
            "lock-step": in_turn({
                "hostler": lambda: curl(wire, f"tftp://{address}/vmlinuz", *size),
                "tftpd-hpa": lambda: curl(wire, f"tftp://{address}:6969/vmlinuz", *size),
            }, runs, say, "tftp, lock-step"),
            "window": in_turn({
                "hostler": lambda: atftp(wire, 69, WINDOW_BLOCKS),
                "atftpd": lambda: atftp(wire, 6970, WINDOW_BLOCKS),
            }, runs, say, f"tftp, window {WINDOW_BLOCKS}"),
        }
    finally:
        for server in (ours, theirs, windowed):
            wire.processes.stop(server)


def measure_memory(wire, runs, say):
    """At rest after the start, and at rest after the file went out once by HTTP."""
    folder = file_to_send(wire)
    idle, after = [], []
    for _ in range(runs):
        server = wire.hostler(folder)
        time.sleep(10)
        idle.append(memory(server.pid))
        curl(wire, f"http://{wire.server_address}:8080/boot/vmlinuz")
        time.sleep(2)
        after.append(memory(server.pid))
        wire.processes.stop(server)
        say(f"memory: {idle[-1]['rss']:.0f} MB resident at rest, {after[-1]['rss']:.0f} MB after a transfer")

    def median(all):
        return {name: statistics.median(one[name] for one in all) for name in all[0]}
    return {"unit": "MB", "idle": median(idle), "after-transfer": median(after)}
