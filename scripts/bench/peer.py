"""The peer: the same machine, the same packages, installed one by one by mmdebstrap in a ramdisk, then grub-install.

The packages come from a repository inside the lab, so that the peer does not wait for anybody's mirror; its
installer asks no question, does no discovery and verifies no signature; the system that it leaves has its address,
key and name written to it and cloud-init switched off. All of that is in its favour.
"""
import os
import pathlib
import re
import shutil
import subprocess
import time

from lab import Lab
from wire import CACHE, ROOT, sh

SUITE = "bookworm"
REQUEST = ROOT / "Sources/Images/Debian/DebianImageRequest.swift"
INIT = pathlib.Path(__file__).with_name("peer-init.sh")
INSTALLER_PACKAGES = "mmdebstrap,e2fsprogs,fdisk,kmod,busybox-static,linux-image-cloud-amd64"
MACHINE_ADDRESS = "10.78.0.40/24"


def image_packages():
    """The list that `hostler image build debian-12 --kernel cloud` installs."""
    text = REQUEST.read_text()
    body = text[text.index("var packages: [String]"):]
    body = body[:body.index("return system")]
    code = "\n".join(line.split("//")[0] for line in body.splitlines())
    packages = re.findall(r'"([a-z0-9.+-]+)"', code)
    if "openssh-server" not in packages or "cloud-init" not in packages:
        raise RuntimeError(f"no package list found in {REQUEST}")
    return ["linux-image-cloud-amd64", *packages]


def host_mirror():
    """The apt lines of this host's own Debian mirror; none where it has no Debian sources."""
    lines = {}
    for target in sh("apt-get", "indextargets", "Created-By: Packages", "--format", "$(ORIGIN)|$(SITE)|$(RELEASE)").stdout.split("\n"):
        fields = target.split("|")
        if len(fields) != 3 or fields[0] != "Debian":
            continue
        for suffix in ("-security", "-updates", ""):
            if fields[2].endswith(suffix):
                break
        if suffix or "-" not in fields[2]:
            lines[f"deb {fields[1]} {SUITE}{suffix} main"] = None
    return list(lines)


def prepare(say):
    """Kernel, ramdisk and repository, made once a package list and kept in the cache."""
    folder = CACHE / "bench-peer"
    packages = image_packages()
    stamp = " ".join(packages)
    if (folder / "made-of").exists() and (folder / "made-of").read_text() == stamp:
        return folder
    say("peer: making its ramdisk and its package repository")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "packages").mkdir(parents=True)
    common = ["--quiet", "--mode=root"]
    proxy = re.search(r'"(.+)"', sh("apt-config", "dump", "Acquire::http::Proxy").stdout)
    if proxy:
        common.append(f'--aptopt=Acquire::http::Proxy "{proxy.group(1)}"')

    tree = folder / "tree"
    excludes = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "info", "locale", "zoneinfo")]
    sh("mmdebstrap", *common, "--variant=minbase", *excludes, f"--include={INSTALLER_PACKAGES}", SUITE, str(tree), *host_mirror())
    for kernel in (tree / "boot").glob("vmlinuz-*"):
        shutil.copy(kernel, folder / "vmlinuz")
    for useless in ("boot", "var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(tree / useless, ignore_errors=True)
    (tree / "var/cache/apt/archives/partial").mkdir(parents=True)
    (tree / "var/lib/apt/lists/partial").mkdir(parents=True)
    sh("bash", "-c", "set -o pipefail; find . -mindepth 1 -print0 |"
       " cpio --null --create --format=newc --owner=0:0 --quiet | zstd -q -6 -T0 >../root.cpio.zst", cwd=tree)
    shutil.rmtree(tree)

    sh("mmdebstrap", *common, "--variant=extract", "--include=?essential", "--include=?priority(required)", "--include=" + ",".join(packages),
       f'--extract-hook=cp "$1"/var/cache/apt/archives/*.deb {folder}/packages/', SUITE, str(tree), *host_mirror())
    shutil.rmtree(tree)
    sh("bash", "-c", f"apt-ftparchive packages . >Packages && apt-ftparchive -o APT::FTPArchive::Release::Suite={SUITE}"
       f" -o APT::FTPArchive::Release::Codename={SUITE} release . >../Release && mv ../Release .", cwd=folder / "packages")
    (folder / "made-of").write_text(stamp)
    return folder


def serve(lab, folder, say):
    """dnsmasq for addresses and the boot file's name, nginx for the rest; returns the folder it serves and its log."""
    root = lab.folder / "www"
    root.mkdir(mode=0o755)
    lab.folder.chmod(0o755)
    for name in ("vmlinuz", "packages"):
        (root / name).symlink_to(folder / name)
    # A ramdisk may be several archives in a row: /init, then the tree of packages.
    init = lab.folder / "init"
    shutil.copy(INIT, init)
    init.chmod(0o755)
    archive = subprocess.run(
        ["cpio", "--create", "--format=newc", "--owner=0:0", "--quiet"], input=b"init\n", cwd=lab.folder, capture_output=True, check=True)
    (root / "initrd.img").write_bytes(archive.stdout + (folder / "root.cpio.zst").read_bytes())
    log = lab.folder / "access.log"
    config = lab.folder / "nginx.conf"
    config.write_text(f"""worker_processes auto; pid {lab.folder}/nginx.pid; error_log {lab.folder}/nginx.error; daemon off; user root;
events {{}}
http {{ access_log {log}; sendfile on; tcp_nopush on; server {{ listen {lab.server_address}:8080; root {root}; }} }}""")
    lab.processes.start(lab.inside("nginx", "-c", str(config)))
    lab.processes.start(lab.inside(
        "dnsmasq", "--keep-in-foreground", "--port=0", "--interface=rack0", "--conf-file=/dev/null", "--user=root", "--no-ping",
        "--dhcp-range=10.78.0.50,10.78.0.99,255.255.255.0,1h", f"--dhcp-leasefile={lab.folder}/leases",
        f"--pid-file={lab.folder}/dnsmasq.pid", f"--dhcp-boot=http://{lab.server_address}:8080/boot.ipxe"))
    return root, log


def install(lab, root, log, name, limit, say):
    """Seconds from power-on to a login, None where the limit came first; seconds of the processors; the phases."""
    server = lab.server_address
    (root / "boot.ipxe").write_text(
        f"#!ipxe\nkernel http://{server}:8080/vmlinuz console=ttyS0,115200n8 server={server} address={MACHINE_ADDRESS}\n"
        f"initrd http://{server}:8080/initrd.img\nboot\n")
    key = lab.key.with_suffix(".pub").read_text().strip()
    (root / "settings").write_text(f"packages='{','.join(image_packages())}'\nkey='{key}'\nhostname={name}\n")
    log.write_text("") if not log.exists() else os.truncate(log, 0)
    lab.command("add", name)
    began = time.monotonic()
    lab.power(name, "on")
    phases = {}
    while "GET /installed" not in log.read_text():
        if time.monotonic() - began > limit:
            return None, lab.processor_seconds(name), phases
        time.sleep(0.5)
        lab.must_run(name)
        console = lab.console_tail(name, 200_000)
        for phase in re.findall(r"^peer: [\d.]+ (\w+)", console, re.M):
            if phase not in phases:
                phases[phase] = time.monotonic() - began
                say(f"peer: {phase} at {phases[phase]:.0f} s")
        if "peer: FAILED" in console or "Kernel panic" in console:
            raise RuntimeError(f"the peer's installation failed\n{console[-4000:]}")
    # The next boot is the disk's.
    (root / "boot.ipxe").write_text("#!ipxe\nexit\n")
    phases["reboot"] = time.monotonic() - began
    seconds = lab.wait_for_login(name, "root", MACHINE_ADDRESS.split("/")[0], began + limit, began)
    return seconds, lab.processor_seconds(name), phases


def measure(runs, limit, accelerator, say):
    folder = prepare(say)
    seconds, processor, phases = [], [], []
    with Lab("bp", "10.78.0.1/24", accelerator) as lab:
        root, log = serve(lab, folder, say)
        for run in range(runs):
            name = f"peer{run + 1}"
            took, used, at = install(lab, root, log, name, limit, say)
            say(f"peer run {run + 1}: " + (f"{took:.0f} s" if took else f"not within {limit} s"))
            seconds.append(took)
            processor.append(used)
            phases.append(at)
            lab.ask("remove", machine=name)
    return {
        "unit": "s", "limit": limit, "runs": seconds, "processor": processor, "phases": phases, "packages": len(image_packages()),
        "repository_debs": len(list((folder / "packages").glob("*.deb"))),
    }
