#!/usr/bin/env python3
"""The house rules as a test: what may import what, how long a file may be, what does not belong here."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "Sources"
# The rooms from the bottom up; a room imports only what stands to its right here.
OURS = {
    "Wire": set(),
    "Zstandard": set(),
    "NetBoot": {"Wire"},
    "HostFacts": {"Wire"},
    "BlockIO": {"Wire"},
    "OCI": {"Wire"},
    "TPM": {"Wire"},
    "Attestation": {"TPM", "Wire"},
    "Model": {"Wire"},
    "Sockets": {"Wire"},
    "Metadata": {"Model", "Wire"},
    "Store": {"Model"},
    "Images": {"Model", "OCI", "BlockIO", "Zstandard", "Wire", "CLinux"},
    "Consoles": set(),
    "Hardware": {"Model", "Wire"},
    "Control": {"Model", "Metadata", "Store", "Hardware", "Consoles", "OCI", "BlockIO", "Attestation", "TPM", "Wire"},
    "Identity": {"Model", "Store", "Wire"},
    "BootServices": {"Model", "Metadata", "Store", "Control", "NetBoot", "OCI", "Sockets", "Wire", "CLinux"},
    "API": {"Model", "Store", "Control", "Consoles", "Identity", "Images", "OCI", "Wire"},
    "VirtualBMC": {"Model", "Sockets", "Wire"},
    "VirtualRack": {"Model", "Wire", "CLinux", "Consoles", "VirtualBMC"},
    "hostler-init": {"Model", "OCI", "BlockIO", "HostFacts", "NetBoot", "TPM", "Wire", "CLinux", "Zstandard"},
}
PURE = {"Wire", "NetBoot", "HostFacts", "BlockIO", "OCI", "TPM", "Model", "Metadata"}
PURE_MAY_IMPORT = {"Wire", "FoundationEssentials"}
# Full Foundation costs 40 MB in a static binary.
NO_FOUNDATION = PURE | {"hostler-init", "Zstandard", "Hardware", "Control", "Attestation", "Identity", "BootServices"}
AGENT_NEVER = {"Foundation", "GRDB", "Hummingbird", "Yams", "Subprocess"}
LINE_LIMIT = 450
IMPORT = re.compile(r"^\s*(?:@testable\s+)?(?:public |internal |private |package |fileprivate )?import (?:struct |class |enum |func )?(\w+)", re.M)

complaints = []


def complain(path, what):
    complaints.append(f"{path.relative_to(ROOT)}: {what}")


for path in sorted(SOURCES.rglob("*.swift")):
    room = path.relative_to(SOURCES).parts[0]
    text = path.read_text()
    imports = set(IMPORT.findall(text))
    for name in imports & (set(OURS) | {"hostler", "CLinux"}):
        if room in OURS and name not in OURS[room]:
            complain(path, f"{room} may not import {name}")
    if room in PURE and imports - PURE_MAY_IMPORT - set(OURS):
        complain(path, f"a pure room imports {', '.join(sorted(imports - PURE_MAY_IMPORT - set(OURS)))}")
    if room in NO_FOUNDATION and "Foundation" in imports:
        complain(path, "imports full Foundation; FoundationEssentials will do")
    if room == "hostler-init" and imports & AGENT_NEVER:
        complain(path, f"the agent may not link {', '.join(sorted(imports & AGENT_NEVER))}")
    # What machines talk to measures by a clock that nobody sets (docs/decisions/0031).
    if room == "BootServices" and re.search(r"\bcontrol\.now\b", text):
        complain(path, "measures by the wall clock; control.steady is never set")
    # Building an image needs root, which the server does not have.
    if "DebianImageBuilder" in text and room != "Images" and path.name != "ImageCommand.swift":
        complain(path, "builds images; that is the command line's part")
    if text.count("\n") > LINE_LIMIT:
        complain(path, f"{text.count(chr(10))} lines; {LINE_LIMIT} is the limit")
    for number, line in enumerate(text.splitlines(), 1):
        code = line.split("//")[0]
        if re.search(r"\btry!|\bfatalError\(|\bas! ", code):
            complain(path, f"line {number}: try!, as! and fatalError are for tests")
    if re.search(r"(Manager|Helper|Utils|Common)\.swift$", path.name):
        complain(path, "says nothing of what it is")
    if not text.strip():
        complain(path, "is empty")

for complaint in complaints:
    print(complaint)
count = sum(1 for _ in SOURCES.rglob("*.swift"))
print(f"house rules: {count} files read, {len(complaints)} complaints")
sys.exit(1 if complaints else 0)
