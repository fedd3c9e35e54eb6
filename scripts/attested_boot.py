"""The boots themselves; attested-boot.sh makes the network and calls it."""
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

HOSTLER, SPACE = os.environ["HOSTLER"], os.environ["SPACE"]
WORK, SOURCE = pathlib.Path(os.environ["WORK"]), pathlib.Path(os.environ["BOOT"])
MAC = "52:54:00:ab:00:01"
BOOT_SECONDS = int(os.environ.get("BOOT_SECONDS", "300"))
passed = failed = 0


def check(what, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(("ok    " if good else "FAIL  ") + what + ("" if good else f"   {detail}"), flush=True)


def wait_for(what, ready, seconds=BOOT_SECONDS):
    deadline = time.time() + seconds
    while time.time() < deadline:
        found = ready()
        if found:
            return found
        time.sleep(0.5)
    print((WORK / "console.log").read_text(errors="replace")[-3000:] if (WORK / "console.log").exists() else "no console")
    print((WORK / "serve.log").read_text()[-3000:])
    raise SystemExit(f"{what}: waited {seconds} s")


def api(path, body=None, method=None):
    request = urllib.request.Request(base + path, data=None if body is None else json.dumps(body).encode(), method=method)
    request.add_header("Authorization", "Bearer " + login["token"])
    with urllib.request.urlopen(request, context=tls, timeout=30) as reply:
        return json.loads(reply.read() or b"{}")


class Board:
    """QEMU with OVMF, and a TPM whose state outlives a boot."""

    def __init__(self):
        self.tpm_state = WORK / "tpm"
        self.tpm_state.mkdir()
        shutil.copy("/usr/share/OVMF/OVMF_VARS_4M.fd", WORK / "vars.fd")
        with open(WORK / "disk", "wb") as disk:
            disk.truncate(1 << 30)
        self.processes = []

    def on(self):
        control = WORK / "tpm.sock"
        control.unlink(missing_ok=True)
        self.processes = [subprocess.Popen([
            "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.tpm_state}", "--ctrl", f"type=unixio,path={control}", "--terminate"])]
        while not control.exists():
            time.sleep(0.05)
        self.processes.append(subprocess.Popen([
            "ip", "netns", "exec", SPACE, "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
            "-smp", "2", "-m", "2048", "-display", "none", "-nodefaults", "-serial", f"file:{WORK}/console.log",
            "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
            "-drive", f"if=pflash,unit=1,format=raw,file={WORK}/vars.fd",
            "-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=net0,mac={MAC},bootindex=0,romfile=", "-device", "virtio-rng-pci",
            "-drive", f"if=none,id=disk0,format=raw,file={WORK}/disk", "-device", "virtio-blk-pci,drive=disk0,serial=D1,bootindex=1",
            "-chardev", f"socket,id=tpm,path={control}", "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"]))

    def off(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        self.processes = []


def attestation():
    machines = api("/v1/machines")["items"]
    return machines[0].get("attestation") if machines else None


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
state, boot = WORK / "state", WORK / "boot"
state.mkdir(mode=0o700)
shutil.copytree(SOURCE, boot)
(WORK / "hostler.yaml").write_text(
    f"networks:\n  - interface: rack0\n    address: 10.79.0.1/24\n    namespace: {SPACE}\n    policy: discover\n    attestation: true\n")
entry = bytes([0, 0, 2, 0, 0x83, 0, 2, 0]) + (2048).to_bytes(4, "little") + (2048).to_bytes(4, "little")
(WORK / "image").write_bytes((bytes(446) + entry + bytes(48) + b"\x55\xaa").ljust(2 << 20, b"\0"))
subprocess.run([HOSTLER, "image", "add", "played", WORK / "image", "--state-dir", state], check=True, stdout=subprocess.DEVNULL)
with open(WORK / "serve.log", "w") as log:
    server = subprocess.Popen(
        [HOSTLER, "serve", "--config", WORK / "hostler.yaml", "--state-dir", state, "--boot-files", boot, "--api-port", str(port)],
        stdout=log, stderr=log)
board = Board()
try:
    wait_for("the server", lambda: (state / "admin.json").exists() and subprocess.run(
        [HOSTLER, "status", "--state-dir", state], capture_output=True).returncode == 0, 60)
    login = json.loads((state / "admin.json").read_text())
    base, tls = f"https://localhost:{port}", ssl.create_default_context(cadata=login["ca"])

    board.on()
    first = wait_for("the first boot's judgement", attestation)
    machine = api("/v1/machines")["items"][0]["id"]
    check("the first boot is taken on trust", first["standing"] == "attested", first)
    zero = "0" * 64
    check("firmware, option ROMs, boot programs and Secure Boot's keys were measured",
          all(first["policy"][register] != zero for register in ["0", "2", "4", "7"]), first["policy"])
    wait_for("the inspection", lambda: api(f"/v1/machines/{machine}")["state"] == "ready")
    board.off()

    board.on()
    second = wait_for("the second boot's judgement", lambda: (found := attestation())["boot"] != first["boot"] and found)
    check("the second boot is found good", second["standing"] == "attested", second)
    check("it is the same TPM, started once more",
          second["endorsementKey"] == first["endorsementKey"] and second["resetCount"] > first["resetCount"], second)
    board.off()

    kernel = bytearray((boot / "vmlinuz").read_bytes())
    # One letter of the version text, which the kernel does not read.
    place = int.from_bytes(kernel[0x20e:0x210], "little") + 0x200
    kernel[place] ^= 1
    (boot / "vmlinuz").write_bytes(kernel)
    asked = f"/v1/machines/{machine}/install"
    agreed = api(asked + "?dryRun=true", {"image": "played"}).get("confirmation")
    operation = api(asked + (f"?confirm={agreed}" if agreed else ""), {"image": "played"})["id"]
    board.on()
    ended = wait_for("the installation's end", lambda: (found := api(f"/v1/operations/{operation}"))["state"] != "running" and found)
    third = attestation()
    check("with one changed byte in its kernel the machine is refused", third["standing"] == "failed", third)
    check("it gets no image", ended["state"] == "failed" and ended["problem"]["code"] == "boot-differs", ended)
    record = api(f"/v1/machines/{machine}")
    check("it is on hold", [hold["problem"]["code"] for hold in record["holds"]] == ["boot-differs"], record["holds"])
    events = [event for event in api("/v1/events?limit=1000")["items"] if event["kind"] == "attestation.failed"]
    evidence = events[0]["evidence"] if events else {}
    check("the event says that PCR 4 differs, and it alone", list(evidence) == ["pcr4"], events)
    check("and which measurement it was", "UEFI boot program" in evidence.get("pcr4", ""), evidence)
    print("      " + (events[0]["message"] if events else ""))
finally:
    board.off()
    server.terminate()
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        server.kill()
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
