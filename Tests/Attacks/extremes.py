#!/usr/bin/env python3
"""Line 7: extreme numbers, and values of the wrong kind, in every field of every message of an agent and of the API's requests. An
answer may refuse them; the server must be there to give it, and an honest machine beside must not notice."""
import copy
import http.client
import json
import threading
import time
import urllib.parse

from scene import run
from metadata_rack import encoded

NUMBERS = [-(1 << 63), (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 63) - 1, -1, 0, (1 << 31), -(1 << 31), (1 << 32), (1 << 53) + 1]
LITERALS = ["1e308", "-1e308", "1e400", "-0.0", "1e-400", "9" * 400, "0.1", "253402300800000", "-62135596800001"]
OTHERS = [None, "", [], {}, True, "9223372036854775808", "-", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2026-13-45T99:99:99Z",
          "x" * 70_000, "\x00", "::", "ff:ff:ff:ff:ff:ff", "255.255.255.255"]
LITERAL = "\x01literal\x01"


def leaves(value, path=()):
    """The paths of a message's fields."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from leaves(inner, (*path, number))
    yield path


def with_value(message, path, value):
    changed = copy.deepcopy(message)
    if not path:
        return value
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def texts(message, choose, most):
    """The message as JSON, each time with another field extreme; all fields by all values, or a choice of them."""
    cases = [(path, value) for path in leaves(message) for value in NUMBERS + OTHERS]
    cases += [(path, (LITERAL, literal)) for path in leaves(message) for literal in LITERALS]
    if len(cases) > most:
        cases = choose.sample(cases, most)
    for path, value in cases:
        if isinstance(value, tuple):
            text = json.dumps(with_value(message, path, LITERAL)).replace(json.dumps(LITERAL), value[1])
        else:
            text = json.dumps(with_value(message, path, value))
        yield path, text


def agent_messages(host, task):
    inventory = host.inventory_body(
        cpus=[{"model": "x", "cores": 4, "threads": 8}],
        memory={"totalBytes": 1 << 30, "dimms": [{"slot": "A", "bytes": 1 << 30, "megatransfersPerSecond": 3200}]},
        nics=[{"name": "eth0", "mac": host.mac, "link": True, "megabitsPerSecond": 1000, "neighbour": {"chassis": "c", "port": "p", "vlan": 4}}],
        disks=[{**host.inventory_body()["disks"][0], "place": "inside", "path": "pci-0000:00:17.0-ata-1", "wwn": "5000c500a1b2c3d4",
                "nguid": "0025385b000000010025385b00000001", "eui64": "0025385b71b0f1a2"}],
        installations=[{"disk": "sda", "record": {"machine": host.id, "operation": "op-00000000", "generation": 1, "image": "x",
                                                  "digest": "sha256:" + "0" * 64, "hostname": "x"}}],
        bmc={"address": "10.0.0.9", "mac": "52:54:00:00:00:09"}, tpm={"version": "2"})
    report = host.report_body(task, "choose-disk", kind="progress", progress={"done": 1, "total": 2, "unit": "bytes"}, evidence={"a": "b"},
                              problem={"code": "x", "status": 500, "title": "t", "detail": "d", "remedy": "r"})
    return [("inventory", inventory), ("report", report), ("task", {"operation": task["operation"], "generation": 0}),
            ("log", {"lines": [{"uptimeMilliseconds": 1000, "text": "x"}]}),
            ("hello", {**host.hello_body("1a.00.00"), "uuid": "u", "serial": "s"}),
            ("tpm-enrol", {"endorsementKey": "AA==", "attestationKey": "AA==", "endorsementCertificate": "AA=="}),
            ("tpm-quote", {"activation": "AA==", "quote": "AA==", "signature": "AA==", "pcrs": [{"index": 1, "digest": "AA=="}], "eventLog": "AA=="})]


NETWORK = {"ethernets": [{"name": "eth0", "addressing": {"addresses": ["10.0.0.2/24"], "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}], "mtu": 1500}}],
           "vlans": [{"name": "v", "id": 4, "link": "eth0"}]}


def api_messages(host):
    machine = f"/v1/machines/{host.id}"
    lease = {"lease": {"endsAt": "2030-01-01T00:00:00Z"}}
    yield "PATCH", machine, lease
    yield "PATCH", machine, {"name": "n", "hostname": "h", "labels": {"a": "b"}, "tags": {"a": "b"}, "network": NETWORK,
                             "userData": {"content": "AA==", "access": "always"}}
    yield "PATCH", "/v1/machines", {"items": [{"machine": host.id, "patch": lease, "revision": 1}]}
    yield "POST", machine + "/install", {"image": "test", "hostname": "h", "sshKeys": ["k"], "userData": "AA==", "disk": "d", "restart": "x"}
    yield "POST", machine + "/wipe", {"disks": ["none-such"]}
    yield "POST", "/v1/tokens", {"name": "t", "role": "nobody"}
    yield "POST", "/v1/bmcs", {"kind": "exec", "address": "none", "machine": host.id, "options": {"a": "b"}, "macs": ["52:54:00:00:00:01"]}


def queries(scene):
    """Every route that reads, with an extreme in every parameter."""
    document = scene.api("GET", "/openapi.json")
    for path, methods in document["paths"].items():
        if "get" not in methods or "{" in path:
            continue
        for parameter in methods["get"].get("parameters", []):
            if parameter.get("in") != "query" or parameter["name"] == "watch":
                continue
            for value in [str(number) for number in NUMBERS] + LITERALS[:3] + ["", "\x00", "x" * 5000]:
                yield f"{path}?{urllib.parse.urlencode({parameter['name']: value})}"


class Beside(threading.Thread):
    """An honest machine that boots again and again meanwhile."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host, self.boots, self.trouble, self.goes_on = host, 0, [], True

    def run(self):
        while self.goes_on:
            try:
                self.host.boot_into_agent(patience=8)
                self.boots += 1
                time.sleep(3)
            except Exception as failure:  # noqa: BLE001: it is what is to be reported
                self.trouble.append(repr(failure)[:200])


def alive(scene, what, killers):
    """Starts the server again where it was killed, and notes by what."""
    if scene.server.poll() is None:
        return True
    killers.append((what, scene.server.returncode))
    scene.children.remove(scene.server)
    scene.start()
    return False


def by_agent(scene, host, killers):
    host.boot_into_agent()
    scene.install(host.id, userData=encoded("#cloud-config\n"))
    task = host.work("install")
    sent = taken = 0
    for verb, message in agent_messages(host, task):
        for path, text in texts(message, scene.random, 200):
            headers = {"Authorization": f"Bearer {host.session}"} if verb != "hello" else {}
            status, _ = host.request("POST", f"/agent/v1/{verb}", text.encode(), headers, seconds=0.3 if verb == "task" else 5)
            sent, taken = sent + 1, taken + (200 <= status < 300)
            if not alive(scene, f"{verb}: {'.'.join(map(str, path))} in {text[:200]}", killers):
                host.boot_into_agent()
    scene.check(f"{sent} extreme messages of an agent: each answered, none ends the server", not killers, killers[:5])
    scene.check("some were taken, so that it was no shut door that they met", taken > 20, taken)


def progress(scene, host):
    """Every pair of extremes as a step's progress, and what an operator reads of each."""
    host.boot_into_agent()
    task = host.work("install")
    unread = []
    for done in (-(1 << 63), -1, 0, 1, (1 << 63) - 1):
        for total in (-(1 << 63), -1, 0, 1, (1 << 63) - 1):
            body = host.report_body(task, "choose-disk", kind="progress", progress={"done": done, "total": total, "unit": "bytes"})
            if host.tries("/agent/v1/report", body)[0] == 200:
                shown = scene.cli("operation", "show", task["operation"], check=False)
                if shown.returncode != 0:
                    unread.append((done, total, shown.returncode))
    scene.check("any progress that is taken can be shown", not unread, unread)


def read_everything(scene, host):
    """What was taken must be printable, too."""
    codes = {}
    for command in (["machine", "show", host.id], ["machine", "list", "-o", "wide"], ["operation", "list", "-o", "wide"], ["event", "list"], ["status"],
                    ["machine", "log", host.id], ["machine", "list", "-o", "json"]):
        codes[" ".join(command)] = scene.cli(*command, check=False).returncode
    for operation in scene.api("GET", "/v1/operations?limit=100")["items"]:
        codes[f"operation show {operation['id']}"] = scene.cli("operation", "show", operation["id"], check=False).returncode
    bad = {command: code for command, code in codes.items() if code != 0}
    scene.check("the command line prints all of it without dying", not bad, bad)


def by_api(scene, host, killers):
    sent = taken = 0
    for method, path, message in api_messages(host):
        for field, text in texts(message, scene.random, 160):
            status = call(scene, method, path + agreed(scene, path, text), text)
            sent, taken = sent + 1, taken + (200 <= status < 300)
            if 200 <= status < 300 and path.endswith(("/install", "/wipe")):
                cancel(scene, host)
            alive(scene, f"{method} {path}: {'.'.join(map(str, field))} in {text[:200]}", killers)
    for path in queries(scene):
        call(scene, "GET", path, None)
        sent += 1
        alive(scene, f"GET {path[:200]}", killers)
    scene.check(f"{sent} extreme requests of an operator: each answered, none ends the server", not killers, killers[:5])
    scene.check("some were taken", taken > 5, taken)


def agreed(scene, path, text):
    """What an order that destroys something carries: what its dry run said."""
    if not path.endswith(("/install", "/wipe")):
        return ""
    line = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=10)
    try:
        line.request("POST", path + "?dryRun=true", text, {"Authorization": f"Bearer {scene.token}", "Content-Type": "application/json"})
        reply = line.getresponse()
        told = json.loads(reply.read()) if reply.status == 200 else {}
        return f"?confirm={told['confirmation']}" if "confirmation" in told else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        line.close()


def call(scene, method, path, text):
    line = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=10)
    try:
        line.request(method, path.replace("\x00", "%00"), text, {"Authorization": f"Bearer {scene.token}", "Content-Type": "application/json"})
        return line.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        line.close()


def cancel(scene, host):
    open_one = host.record().get("openOperation")
    if open_one:
        call(scene, "POST", f"/v1/operations/{open_one}/cancel", "{}")


def attack(scene):
    beside = Beside(scene.host("honest"))
    beside.host.boot_into_agent()
    before = beside.host.record()
    beside.start()
    killers = []
    hostile = scene.host("hostile")
    by_agent(scene, hostile, killers)
    progress(scene, hostile)
    read_everything(scene, hostile)
    cancel(scene, hostile)
    patient = scene.host("patient")
    patient.boot_into_agent()
    by_api(scene, patient, [])
    read_everything(scene, patient)
    beside.goes_on = False
    beside.join(60)
    after = beside.host.record()
    if not killers:
        scene.check("the honest machine beside booted all the while", beside.boots > 2 and not beside.trouble, (beside.boots, beside.trouble[:3]))
    scene.check("and its record is as before", (before["interfaces"], before["id"]) == (after["interfaces"], after["id"]), after)


if __name__ == "__main__":
    run("extreme values", attack)
