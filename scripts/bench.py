#!/usr/bin/env python3
"""Figures beside the peers', in one run on one machine, as medians and ratios.

Everything happens between two network namespaces that this program makes and removes.
Peers: Kea (memfile) and dnsmasq for DHCP, nginx for HTTP, tftpd-hpa for TFTP.
`bench.py --installs N` also measures power-on to SSH against the same machine booting the
same Debian from its disk. Prints a Markdown table.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
SERVER, CLIENT = f"hostler-bs{os.getpid()}", f"hostler-bc{os.getpid()}"
FILE_BYTES = 512 << 20
work = pathlib.Path(tempfile.mkdtemp(prefix="hostler-bench."))
children = []


def sh(*command, check=True, **options):
    return subprocess.run(command, check=check, text=True, capture_output=True, **options)


def in_server(*command):
    return ["ip", "netns", "exec", SERVER, *command]


def in_client(*command):
    return ["ip", "netns", "exec", CLIENT, *command]


def start(command, **options):
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    children.append(child)
    return child


def stop(child):
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    children.remove(child)


def network():
    for name in (SERVER, CLIENT):
        sh("ip", "netns", "add", name)
        sh("ip", "-n", name, "link", "set", "lo", "up")
    sh("ip", "link", "add", "bs0", "netns", SERVER, "type", "veth", "peer", "name", "bc0", "netns", CLIENT)
    sh("ip", "-n", SERVER, "addr", "add", "10.99.0.1/16", "dev", "bs0")
    sh("ip", "-n", CLIENT, "addr", "add", "10.99.0.2/16", "dev", "bc0")
    sh("ip", "-n", SERVER, "link", "set", "bs0", "up")
    sh("ip", "-n", CLIENT, "link", "set", "bc0", "up")


def hostler(boot):
    state = pathlib.Path(tempfile.mkdtemp(dir=work))
    (state / "hostler.yaml").write_text(
        f"networks:\n- {{interface: bs0, address: 10.99.0.1/16, namespace: {SERVER}, ranges: [10.99.64.0-10.99.250.255]}}\n")
    child = start([str(ROOT / "out/bin/hostler"), "serve", "--config", str(state / "hostler.yaml"), "--state-dir", str(state),
                   "--boot-files", str(boot), "--api-port", "0", "--log-level", "warning"])
    wait_port("10.99.0.1", 8080)
    return child


def wait_port(host, port):
    for _ in range(100):
        if sh(*in_client("bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}"), check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens at {host}:{port}")


def kea(_):
    state = pathlib.Path(tempfile.mkdtemp(dir=work))
    config = {"Dhcp4": {
        "interfaces-config": {"interfaces": ["bs0"]}, "valid-lifetime": 3600,
        "lease-database": {"type": "memfile", "persist": True, "name": str(state / "leases.csv")},
        "subnet4": [{"subnet": "10.99.0.0/16", "interface": "bs0", "pools": [{"pool": "10.99.64.0 - 10.99.250.255"}]}]}}
    (state / "kea.json").write_text(json.dumps(config))
    child = start(in_server("kea-dhcp4", "-c", str(state / "kea.json")),
                  env={**os.environ, "KEA_PIDFILE_DIR": str(state), "KEA_LOCKFILE_DIR": str(state)})
    time.sleep(3)
    return child


def dnsmasq(_):
    state = pathlib.Path(tempfile.mkdtemp(dir=work))
    child = start(in_server("dnsmasq", "--keep-in-foreground", "--port=0", "--interface=bs0", "--conf-file=/dev/null",
                            "--dhcp-range=10.99.64.0,10.99.250.255,255.255.0.0,1h", "--dhcp-lease-max=60000", "--user=root",
                            f"--dhcp-leasefile={state}/leases", f"--pid-file={state}/pid", "--no-ping"))
    time.sleep(2)
    return child


def perfdhcp(rate):
    out = sh(*in_client("perfdhcp", "-4", "-l", "bc0", "-R", "20000", "-p", "8", "-r", str(rate), "10.99.0.1"), check=False, timeout=60)
    found = re.search(r"Rate: ([\d.]+)", out.stdout)
    return float(found.group(1)) if found else 0.0


def dhcp(server, boot, runs):
    best = []
    for _ in range(runs):
        child = server(boot)
        best.append(max(perfdhcp(rate) for rate in (200, 1000, 4000, 8000, 16000)))
        stop(child)
    return statistics.median(best)


def transfer(url, runs, *options):
    speeds = []
    for _ in range(runs):
        began = time.monotonic()
        out = sh(*in_client("curl", "-sS", "-o", "/dev/null", "-w", "%{size_download}", *options, url), timeout=300)
        assert int(out.stdout) == FILE_BYTES, out.stdout
        speeds.append(FILE_BYTES / 1e6 / (time.monotonic() - began))
    return statistics.median(speeds)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=3)
    runs = options.parse_args().runs
    boot = work / "boot"
    boot.mkdir()
    with open(boot / "vmlinuz", "wb") as file:
        for _ in range(FILE_BYTES >> 20):
            file.write(os.urandom(1 << 20))
    (boot / "hostler-initrd.img").touch()
    network()
    rows = []

    ours, theirs, small = dhcp(hostler, boot, runs), dhcp(kea, boot, runs), dhcp(dnsmasq, boot, runs)
    rows.append(("DHCP four-way exchanges/s, leases durable", f"{ours:,.0f}", f"Kea memfile {theirs:,.0f}; dnsmasq {small:,.0f}",
                 f"{ours / theirs:.2f} × Kea; {ours / max(small, 1):.1f} × dnsmasq"))

    server = hostler(boot)
    time.sleep(5)
    memory = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{server.pid}/status").read_text()).group(1)) / 1024
    http = transfer("http://10.99.0.1:8080/boot/vmlinuz", runs)
    tftp = transfer("tftp://10.99.0.1/vmlinuz", runs, "--tftp-blksize", "1428")
    stop(server)

    (work / "nginx.conf").write_text(f"""worker_processes auto; pid {work}/nginx.pid; error_log /dev/null; daemon off; user root;
events {{}} http {{ access_log off; sendfile on; tcp_nopush on; server {{ listen 10.99.0.1:8080; root {work}; }} }}""")
    peer = start(in_server("nginx", "-c", str(work / "nginx.conf")))
    wait_port("10.99.0.1", 8080)
    nginx = transfer("http://10.99.0.1:8080/boot/vmlinuz", runs)
    stop(peer)
    rows.append(("HTTP, 512 MB, MB/s", f"{http:,.0f}", f"nginx {nginx:,.0f}", f"{http / nginx:.2f}"))

    os.chmod(work, 0o755)
    peer = start(in_server("in.tftpd", "--foreground", "--listen", "--address", "10.99.0.1:69", "--user", "root", "--secure", str(boot)))
    time.sleep(1)
    hpa = transfer("tftp://10.99.0.1/vmlinuz", runs, "--tftp-blksize", "1428")
    stop(peer)
    rows.append(("TFTP, 512 MB, blksize 1428, MB/s", f"{tftp:,.0f}", f"tftpd-hpa {hpa:,.0f}", f"{tftp / hpa:.2f}"))
    rows.append(("idle memory of `hostler serve`, MB resident", f"{memory:.0f}", "aim: under 64", ""))
    for name, path in (("`hostler`, stripped, MB", "out/bin/hostler"), ("`hostler-init`, stripped, MB", "out/bin/hostler-init"),
                       ("ramdisk, MB", "out/boot/hostler-initrd.img"), ("kernel, MB", "out/boot/vmlinuz")):
        rows.append((name, f"{(ROOT / path).stat().st_size / 1e6:.1f}", "", ""))

    print("| what | Hostler | peer, same run | ratio |\n|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


try:
    main()
finally:
    for child in list(children):
        stop(child)
    for name in (SERVER, CLIENT):
        sh("ip", "netns", "del", name, check=False)
    shutil.rmtree(work, ignore_errors=True)
