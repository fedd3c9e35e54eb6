#!/usr/bin/env python3
"""A lab's BMCs are obeyed by real QEMU machines: power, boot override, virtual media, inventory, serial console, faults.

As root, with qemu, ovmf, ipxe-qemu, dnsmasq, ipmitool and mtools. Builds a lab of its own and removes it.
  HOSTLER   the program (out/bin/hostler, else .build/debug/hostler)
  PATIENCE  how many times longer than usual to wait, on a host with much else to do
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
HOSTLER = os.environ.get("HOSTLER") or next(p for p in ["out/bin/hostler", ".build/debug/hostler"] if os.path.exists(p))
LAB = f"vbmc{os.getpid() % 10000}"
WORK = tempfile.mkdtemp(prefix="vl")
NETNS = f"hostler-{LAB}"
SERVER = "10.77.0.1"
# What the guest is asked for, in iPXE's words.
FACTS = {
    "uuid": "uuid", "serial": "serial", "asset": "asset", "mac": "netX/mac", "mib": "smbios/17.0x0c.2:uint16",
    "cores": "smbios/4.0x23.1:uint8",
}
passed, failed, helpers = 0, 0, []


def check(name, holds, detail=""):
    global passed, failed
    passed, failed = passed + bool(holds), failed + (not holds)
    print("PASS" if holds else "FAIL", name, "" if holds else detail, flush=True)


def lab(*words):
    command = [HOSTLER, "lab", *words, "--name", LAB, "--state-dir", WORK]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(" ".join(words) + ": " + done.stderr)
    return done.stdout


def curl(bmc, path, *options, seconds=60):
    command = ["ip", "netns", "exec", NETNS, "curl", "-sk", "-m", str(seconds), "-u", f"{bmc['user']}:{bmc['password']}"]
    return subprocess.run([*command, *options, bmc["url"] + path], capture_output=True, text=True)


def get(bmc, path):
    return json.loads(curl(bmc, path).stdout)


def send(bmc, method, path, body, seconds=60):
    answer = curl(
        bmc, path, "-X", method, "-H", "Content-Type: application/json", "-d", json.dumps(body), "-w", "\n%{http_code}",
        seconds=seconds)
    return int(answer.stdout.rsplit("\n", 1)[-1] or 0)


def reset(bmc, kind):
    return send(bmc, "POST", "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", {"ResetType": kind})


def boot(bmc, **settings):
    return send(bmc, "PATCH", "/redfish/v1/Systems/1", {"Boot": settings})


def console(machine, since=0):
    path = f"{WORK}/{LAB}/machines/{machine}/console.log"
    return open(path, errors="replace").read()[since:] if os.path.exists(path) else ""


def eventually(condition, seconds=60):
    end = time.monotonic() + seconds * float(os.environ.get("PATIENCE", "1"))
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.3)
    return False


def fetched(name):
    return open(f"{WORK}/http.log").read().count(f"GET /{name} ")


def make_iso(path):
    """El Torito: 16-bit code that speaks to the serial port, and for UEFI a FAT image with iPXE in it."""
    said = b"\r\nBMC CD BOOTED\r\n\0"
    code = bytes.fromhex("fa31c08ed8be227cac84c0741288c4bafd03eca82074fb88e0baf803eeebe9f4ebfd") + said
    fat = f"{WORK}/esp.img"
    with open(fat, "wb") as file:
        file.truncate(2 << 20)
    subprocess.run(["mformat", "-i", fat, "-f", "2880", "::"], check=False, capture_output=True)
    subprocess.run(["mkfs.vfat", fat], check=True, capture_output=True)
    subprocess.run(["mmd", "-i", fat, "::/EFI", "::/EFI/BOOT"], check=True)
    subprocess.run(["mcopy", "-i", fat, "/usr/lib/ipxe/snponly.efi", "::/EFI/BOOT/BOOTX64.EFI"], check=True)
    esp = open(fat, "rb").read()
    image = bytearray(22 * 2048) + esp
    both16 = lambda n: struct.pack("<H", n) + struct.pack(">H", n)
    both32 = lambda n: struct.pack("<I", n) + struct.pack(">I", n)
    root = bytes([34, 0]) + both32(21) + both32(2048) + bytes(7) + bytes([2, 0, 0]) + both16(1) + bytes([1, 0])
    volume = bytearray(2048)
    volume[0:7] = b"\1CD001\1"
    volume[8:72] = b" " * 32 + b"BMCTEST".ljust(32)
    volume[80:88], volume[120:124], volume[124:128] = both32(len(image) // 2048), both16(1), both16(1)
    volume[128:132], volume[156:190] = both16(2048), root
    record = bytearray(2048)
    record[0:7], record[7:30], record[71:75] = b"\0CD001\1", b"EL TORITO SPECIFICATION", struct.pack("<I", 19)
    catalog = bytearray(b"\1\0\0\0" + bytes(24) + b"\0\0\x55\xaa")
    checksum = -sum(struct.unpack("<16H", catalog)) & 0xFFFF
    catalog[28:30] = struct.pack("<H", checksum)
    catalog += struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, 20) + bytes(20)
    catalog += b"\x91\xef" + struct.pack("<H", 1) + bytes(28)
    catalog += struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 0xFFFF & (len(esp) // 512), 22) + bytes(20)
    for sector, data in [(16, volume), (17, record), (18, b"\xffCD001\1"), (19, catalog), (20, code)]:
        image[sector * 2048 : sector * 2048 + len(data)] = data
    # The root directory: itself and its parent.
    image[21 * 2048 : 21 * 2048 + 68] = root + root[:-1] + b"\1"
    open(path, "wb").write(image)


def serve():
    http = open(f"{WORK}/http.log", "w")
    prefix = ["ip", "netns", "exec", NETNS]
    helpers.append(subprocess.Popen(
        [*prefix, sys.executable, "-u", "-m", "http.server", "8000", "--bind", SERVER, "-d", f"{WORK}/www"], stdout=http, stderr=http))
    helpers.append(subprocess.Popen(
        [*prefix, "dnsmasq", "-k", "--port=0", "--interface=rack0", "--bind-interfaces", "--conf-file=/dev/null",
         "--dhcp-range=10.77.0.50,10.77.0.90,1h", f"--dhcp-leasefile={WORK}/leases", "--dhcp-match=set:ipxe,175",
         f"--dhcp-boot=tag:ipxe,http://{SERVER}:8000/id.ipxe"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def serial_over_lan(bmc, *steps):
    """ipmitool at the machine's serial console, on a terminal of its own; the steps are those of terminal.py."""
    address = bmc["url"].removeprefix("https://")
    ipmitool = ["ipmitool", "-I", "lanplus", "-C", "17", "-H", address, "-U", bmc["user"], "-E", "sol", "activate"]
    return subprocess.Popen(
        ["ip", "netns", "exec", NETNS, "scripts/terminal.py", *steps, "--", *ipmitool], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env={**os.environ, "IPMI_PASSWORD": bmc["password"], "PATIENCE_SECONDS": str(120 * float(os.environ.get("PATIENCE", "1")))})


def guest_sees(machine, since=0):
    # One fact a line: iPXE's console breaks at 80 columns.
    seen = [re.findall(rf"GUEST {fact} (\S+)", console(machine, since)) for fact in FACTS]
    if not all(seen):
        return None
    found = dict(zip(FACTS, (values[-1] for values in seen)))
    # iPXE reads 16 bits in the network's order, SMBIOS has the other, and a result in hex.
    found["mib"] = str(int.from_bytes(int(found["mib"], 0).to_bytes(2, "big"), "little"))
    found["cores"] = str(int(found["cores"], 0))
    return tuple(found.values())


def bmc_says(bmc):
    system = get(bmc, "/redfish/v1/Systems/1")
    first = lambda name: get(bmc, get(bmc, f"/redfish/v1/Systems/1/{name}")["Members"][0]["@odata.id"])
    return (
        system["UUID"], system["SerialNumber"], system["AssetTag"], first("EthernetInterfaces")["MACAddress"],
        str(first("Memory")["CapacityMiB"]), str(first("Processors")["TotalCores"]))


def main():
    os.makedirs(f"{WORK}/www")
    make_iso(f"{WORK}/www/disc.iso")
    shutil.copy("/usr/lib/ipxe/snponly.efi", f"{WORK}/www/boot.efi")
    with open(f"{WORK}/www/id.ipxe", "w") as file:
        file.write(
            "#!ipxe\n" + "".join(f"echo GUEST {fact} ${{{setting}}}\n" for fact, setting in FACTS.items())
            + "prompt --key 0x70 --timeout 3000 Press p && echo GUEST pressed && sleep 1 ||\nreboot\n")
    # QEMU's translator, so that the run is the same everywhere.
    os.makedirs(f"{WORK}/{LAB}")
    with open(f"{WORK}/{LAB}/lab.json", "w") as file:
        json.dump({"lab": LAB, "server": f"{SERVER}/24", "accelerator": "tcg", "faults": [], "members": []}, file)
    lab("up", "--machines", "0")
    lab("add", "b", "--boot", "disk-only", "--memory", "512", "--cpus", "2")
    lab("add", "u", "--firmware", "uefi", "--memory", "512", "--cpus", "2")
    serve()
    bmcs = {}
    for line in lab("bmc").splitlines():
        name, url, user, password, certificate = line.split()
        bmcs[name] = {"url": url, "user": user, "password": password, "certificate": certificate}
    b, u = bmcs["b"], bmcs["u"]

    print("== power and boot override, BIOS")
    check("a stranger is refused", curl({**b, "password": "wrong"}, "/redfish/v1/Systems", "-o/dev/null", "-w%{http_code}").stdout == "401")
    check("the machine is off", get(b, "/redfish/v1/Systems/1")["PowerState"] == "Off")
    check("override once to PXE", boot(b, BootSourceOverrideTarget="Pxe", BootSourceOverrideEnabled="Once") == 200)
    stream = subprocess.Popen(
        ["ip", "netns", "exec", NETNS, "curl", "-skN", "-u", f"{b['user']}:{b['password']}", b["url"] + "/redfish/v1/EventService/SSE"],
        stdout=open(f"{WORK}/events", "w"))
    helpers.append(stream)
    # The terminal is there before the machine is on, and keeps the line until the firmware says where it goes next.
    terminal = serial_over_lan(b, "expect:SOL Session operational", f"run:touch {WORK}/on-line", "expect:GUEST uuid", "expect:Press p", "type:p",
                               "expect:GUEST pressed", "expect:No bootable device", "type:\\r~.", "end")
    helpers.append(terminal)
    check("serial over LAN is there while the machine is off", eventually(lambda: os.path.exists(f"{WORK}/on-line"), 30))
    check("its BMC says so", get(b, "/redfish/v1/Systems/1")["SerialConsole"]["IPMI"] == {"Port": 623, "ServiceEnabled": True, "SharedWithManagerCLI": False})
    check("power on", reset(b, "On") == 204)
    check("it is on", get(b, "/redfish/v1/Systems/1")["PowerState"] == "On")
    check("a machine of disks only starts from the network", eventually(lambda: guest_sees("b"), 90), console("b")[-500:])
    check("the override is over", get(b, "/redfish/v1/Systems/1")["Boot"]["BootSourceOverrideEnabled"] == "Disabled")
    check("inventory is what the guest sees", guest_sees("b") == bmc_says(b), f"{guest_sees('b')} {bmc_says(b)}")
    check("the guest's own reset goes back to the disk", eventually(lambda: "No bootable device" in console("b"), 60), console("b")[-500:])
    check("and not to the network", fetched("id.ipxe") == 1, str(fetched("id.ipxe")))
    said, _ = terminal.communicate(timeout=300)
    check("the console of the BMC showed all that, and the guest read the key typed there", terminal.returncode == 0, said[-1000:])
    check("events told of it", eventually(lambda: "boot override Pxe" in open(f"{WORK}/events").read(), 10), open(f"{WORK}/events").read())

    print("== virtual media, BIOS")
    media = "/redfish/v1/Managers/1/VirtualMedia/Cd"
    check("an image that is not there is refused", send(b, "POST", media + "/Actions/VirtualMedia.InsertMedia", {"Image": f"http://{SERVER}:8000/no.iso"}) == 400)
    check("insert", send(b, "POST", media + "/Actions/VirtualMedia.InsertMedia", {"Image": f"http://{SERVER}:8000/disc.iso"}) == 204)
    check("override once to Cd", boot(b, BootSourceOverrideTarget="Cd", BootSourceOverrideEnabled="Once") == 200)
    before = len(console("b"))
    check("reset of a running machine", reset(b, "ForceRestart") == 204)
    check("the ISO boots", eventually(lambda: "BMC CD BOOTED" in console("b", before), 60), console("b", before)[-500:])
    check("eject", send(b, "POST", media + "/Actions/VirtualMedia.EjectMedia", {}) == 204)
    check("it is out", get(b, media)["Inserted"] is False)
    check("power off", reset(b, "ForceOff") == 204 and get(b, "/redfish/v1/Systems/1")["PowerState"] == "Off")

    print("== UEFI")
    check("override once to HTTP", boot(
        u, BootSourceOverrideTarget="UefiHttp", BootSourceOverrideEnabled="Once", HttpBootUri=f"http://{SERVER}:8000/boot.efi") == 200)
    check("power on", reset(u, "On") == 204)
    check("the firmware starts the URI", eventually(lambda: fetched("boot.efi") == 1 and guest_sees("u"), 120), console("u")[-500:])
    check("inventory is what the guest sees", guest_sees("u") == bmc_says(u), f"{guest_sees('u')} {bmc_says(u)}")
    before = len(console("u"))
    check("then its own order", eventually(lambda: "PXE over IPv4" in console("u", before), 90), console("u", before)[-500:])
    check("and the URI only once", fetched("boot.efi") == 1)
    check("continuous", boot(u, BootSourceOverrideTarget="UefiHttp", BootSourceOverrideEnabled="Continuous") == 200)
    for count in [2, 3]:
        reset(u, "ForceRestart")
        check(f"start {count} from the URI", eventually(lambda: fetched("boot.efi") == count, 90), str(fetched("boot.efi")))
    boot(u, BootSourceOverrideEnabled="Disabled")
    send(u, "POST", media + "/Actions/VirtualMedia.InsertMedia", {"Image": f"http://{SERVER}:8000/disc.iso"})
    boot(u, BootSourceOverrideTarget="Cd", BootSourceOverrideEnabled="Once")
    before = len(console("u"))
    check("cycle", reset(u, "PowerCycle") == 204)
    check("the ISO boots", eventually(lambda: re.search(r'starting Boot\d+ "UEFI QEMU DVD-ROM', console("u", before)), 60), console("u", before)[-500:])
    reset(u, "ForceOff")

    print("== faults")
    lab("fault", "inject", "bmc-lie", "b")
    check("a lie", reset(b, "On") == 204 and get(b, "/redfish/v1/Systems/1")["PowerState"] == "Off")
    lab("fault", "clear", "--machine", "b")
    lab("fault", "inject", "bmc-hang", "b")
    check("a hang", curl(b, "/redfish/v1/", seconds=2).returncode == 28)
    check("and the other BMC answers", get(u, "/redfish/v1/")["RedfishVersion"])
    lab("fault", "clear", "--machine", "b")
    lab("fault", "inject", "bmc-flip=2", "b")
    check("power flips by itself", eventually(lambda: get(b, "/redfish/v1/Systems/1")["PowerState"] == "On", 15))
    lab("fault", "clear", "--machine", "b")
    shown = lambda: subprocess.run(
        f"ip netns exec {NETNS} openssl s_client -connect {b['url'][8:]}:443 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256",
        shell=True, capture_output=True, text=True).stdout.split("=")[-1].strip().replace(":", "").lower()
    check("the certificate is the one on record", b["certificate"] == "sha256:" + shown())
    lab("fault", "inject", "bmc-certificate", "b")
    check("another certificate", b["certificate"] != "sha256:" + shown())
    lab("fault", "clear", "--machine", "b")
    lab("fault", "inject", "broken:fan", "b")
    reset(b, "On")
    check("a dead fan", get(b, "/redfish/v1/Chassis/1/Thermal")["Fans"][0]["Status"]["Health"] == "Critical")


try:
    main()
except Exception as error:  # the closing line must come
    check(f"the script itself: {error!r}", False)
finally:
    for helper in helpers:
        helper.kill()
        helper.wait()
    try:
        print(lab("down").strip())
    except RuntimeError as error:
        check("the lab is gone", False, str(error))
    shutil.rmtree(WORK, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)
