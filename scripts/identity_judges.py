"""The judging itself; identity-judges.sh makes the network and calls it."""
import base64
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

import jwt

HOSTLER, SPACE, WORK = os.environ["HOSTLER"], os.environ["SPACE"], pathlib.Path(os.environ["WORK"])
HERE = pathlib.Path(__file__).parent
STATE = WORK / "state"
MAC = "52:54:00:aa:00:01"
passed = failed = 0


def check(what, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(("ok    " if good else "FAIL  ") + what + ("" if good else f"   {detail}"), flush=True)


def run(*arguments, space=False, **options):
    command = (["ip", "netns", "exec", SPACE] if space else []) + [str(a) for a in arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def cli(*arguments):
    return run(HOSTLER, *arguments, "--state-dir", STATE)


def wait_for(what, ready, seconds=60):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if ready():
            return
        time.sleep(0.2)
    raise SystemExit(f"{what}: waited {seconds} s")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def api(path, body=None, method=None, token=True):
    request = urllib.request.Request(issuer + path, data=None if body is None else json.dumps(body).encode(), method=method)
    if token:
        request.add_header("Authorization", "Bearer " + login["token"])
    with urllib.request.urlopen(request, context=tls, timeout=30) as reply:
        return json.loads(reply.read() or b"{}")


def order(path, body):
    """By somebody who was asked what it destroys, and said yes."""
    confirmation = api(path + "?dryRun=true", body).get("confirmation")
    return api(path + (f"?confirm={confirmation}" if confirmation else ""), body)


def refused(path, body):
    try:
        api(path, body)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["code"]
    return None


def play(*arguments):
    return subprocess.Popen(
        ["ip", "netns", "exec", f"{SPACE}-m", sys.executable, HERE / "played_machine.py", "http://10.78.0.1:8080", MAC, *map(str, arguments)])


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

# A server with one network, in the namespace; its API is on loopback here.
port = free_port()
issuer = f"https://localhost:{port}"
STATE.mkdir(mode=0o700)
boot = WORK / "boot"
boot.mkdir()
for name in ["vmlinuz", "hostler-initrd.img"]:
    (boot / name).write_bytes(b"played")
(WORK / "hostler.yaml").write_text(
    # The played machine takes no lease: its address is another server's, as far as Hostler knows.
    f"networks:\n  - interface: rack0\n    address: 10.78.0.1/24\n    mode: proxy\n    policy: discover\n    namespace: {SPACE}\n"
    f"identity:\n  issuer: {issuer}\n  region: north\n")
disk = WORK / "disk.raw"
# An MBR with one Linux partition from 1 MiB on.
entry = bytes([0, 0, 2, 0, 0x83, 0, 2, 0]) + (2048).to_bytes(4, "little") + (2048).to_bytes(4, "little")
disk.write_bytes((b"\xeb\xfe" + bytes(444) + entry + bytes(48) + b"\x55\xaa").ljust(2 << 20, b"\0"))
added = run(HOSTLER, "image", "add", "played", disk, "--state-dir", STATE)
assert added.returncode == 0, added.stderr
serving = [HOSTLER, "serve", "--config", WORK / "hostler.yaml", "--state-dir", STATE, "--boot-files", boot, "--api-port", port]


def serve(*more):
    log = open(WORK / "serve.log", "a")
    server = subprocess.Popen([str(a) for a in serving + list(more)], stdout=log, stderr=log)

    def up():
        if server.poll() is not None:
            raise SystemExit("the server ended:\n" + (WORK / "serve.log").read_text()[-4000:])
        return (STATE / "admin.json").exists() and cli("status").returncode == 0

    wait_for("the server", up)
    return server


server = serve()
sshd = None
try:
    login = json.loads((STATE / "admin.json").read_text())
    tls = ssl.create_default_context(cadata=login["ca"])

    # A machine that nobody knows yet is inspected; it gets no identity.
    assert play("inspect").wait(60) == 0
    wait_for("the machine", lambda: [m for m in api("/v1/machines")["items"] if m["state"] == "ready"])
    machine = api("/v1/machines")["items"][0]["id"]
    mint = f"/v1/machines/{machine}/identity-token"
    check("a machine that is ready, not running, gets no token", refused(mint, {"audience": "a"}) == (403, "identity-refused"))

    # It is installed, and is running.
    for kind in ["ed25519", "ecdsa"]:
        run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", WORK / f"host_{kind}")
    player = play("install", 60, WORK / "host_ed25519.pub", WORK / "host_ecdsa.pub")
    api(f"/v1/machines/{machine}", {"name": "web-1", "labels": {"project": "red"}}, "PATCH")
    order(f"/v1/machines/{machine}/install", {"image": "played", "hostname": "web-1"})
    check("while it is being installed it gets no token", refused(mint, {"audience": "a"}) == (403, "identity-refused"))
    assert player.wait(60) == 0
    wait_for("the system", lambda: api(f"/v1/machines/{machine}")["state"] == "running")

    # A relying party that knows the issuer's name and PyJWT, and nothing of Hostler.
    audience = "https://vault.example"
    token = cli("identity", "token", machine, "--audience", audience).stdout.strip()
    with urllib.request.urlopen(issuer + "/.well-known/openid-configuration", context=tls) as reply:
        found = json.load(reply)
    check("discovery names the issuer that was asked", found["issuer"] == issuer)
    keys = jwt.PyJWKClient(found["jwks_uri"], ssl_context=tls)

    def verify(text, **wanted):
        wanted = {"audience": audience, "issuer": issuer, **wanted}
        return jwt.decode(
            text, keys.get_signing_key_from_jwt(text).key, algorithms=found["id_token_signing_alg_values_supported"],
            options={"require": ["exp", "iat", "nbf", "jti", "sub"]}, **wanted)

    claims = verify(token)
    check("PyJWT verifies the token", True)
    check("its subject is the machine in its project", claims["sub"] == f"project:red:machine:{machine}", claims)
    check("it lives ten minutes", claims["exp"] - claims["iat"] == 600)
    record = api(f"/v1/machines/{machine}")
    check("it tells what runs on the machine", claims["hostler"] == {
        "machine": machine, "name": "web-1", "image": "played", "image_digest": record["installed"]["digest"],
        "installation": record["installed"]["operation"], "project": "red", "region": "north", "attestation": "none"},
        claims["hostler"])

    def rejects(text, **wanted):
        try:
            verify(text, **wanted)
        except jwt.InvalidTokenError as error:
            return type(error).__name__
        return None

    check("PyJWT refuses it for another audience", rejects(token, audience="https://other.example") == "InvalidAudienceError")
    check("PyJWT refuses it from another issuer", rejects(token, issuer="https://other.example") == "InvalidIssuerError")
    head, body, signature = token.split(".")
    forged = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged["sub"] = "machine:m-0000"
    body = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    check("PyJWT refuses a changed claim", rejects(f"{head}.{body}.{signature}") == "InvalidSignatureError")
    check("a token is made for one audience only", refused(mint, {"audience": "a b"}) == (400, "audience-invalid"))
    check("a token of a day is not made", refused(mint, {"audience": "a", "lifetimeSeconds": 86400}) == (400, "lifetime-invalid"))

    # Another start keeps the keys; a theft replaces them.
    server.terminate()
    server.wait(30)
    server = serve()
    check("after a restart the token is still good", rejects(token) is None)
    with open(STATE / "hostler.db", "rb") as file:
        check("no private key lies readable in the store", b"PRIVATE KEY" not in file.read())
    check("identity.key is its owner's only", (STATE / "identity.key").stat().st_mode & 0o777 == 0o600)
    assert cli("identity", "replace-keys", "--yes").returncode == 0
    keys = jwt.PyJWKClient(found["jwks_uri"], ssl_context=tls)
    try:
        verdict = rejects(token)
    except jwt.PyJWKClientError:
        verdict = "unknown key"
    check("after a theft the old token is void", verdict == "unknown key", verdict)
    token = cli("identity", "token", machine, "--audience", audience).stdout.strip()
    check("and a new one is good", rejects(token) is None)

    # SSH: an unprivileged-port sshd with the machine's own keys, which the record knows from its proof.
    authorities = api("/v1/ssh-ca")
    (WORK / "user_ca.pub").write_text(authorities["user"] + "\n")
    for item in api(f"/v1/machines/{machine}/ssh-host-certificates", method="POST")["items"]:
        kind = "ed25519" if item["certificate"].startswith("ssh-ed25519") else "ecdsa"
        (WORK / f"host_{kind}-cert.pub").write_text(item["certificate"] + "\n")
    (WORK / "sshd_config").write_text(
        f"ListenAddress 0.0.0.0:2222\nPidFile none\nHostKey {WORK}/host_ed25519\nHostCertificate {WORK}/host_ed25519-cert.pub\n"
        f"HostKey {WORK}/host_ecdsa\nTrustedUserCAKeys {WORK}/user_ca.pub\nAuthorizedKeysFile none\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n")
    pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    sshd = subprocess.Popen(["ip", "netns", "exec", f"{SPACE}-m", "/usr/sbin/sshd", "-D", "-e", "-f", str(WORK / "sshd_config")],
                            stderr=open(WORK / "sshd.log", "w"))
    wait_for("sshd", lambda: "listening" in (WORK / "sshd.log").read_text())
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", WORK / "ann")
    run("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", WORK / "bob")
    user = os.environ.get("USER") or "root"
    signed = cli("ssh-ca", "sign-user", WORK / "ann.pub", "-n", user)
    check("ssh-ca sign-user writes the certificate beside the key", (WORK / "ann-cert.pub").exists(), signed.stderr)
    shown = run("ssh-keygen", "-L", "-f", WORK / "ann-cert.pub").stdout
    check("ssh-keygen reads it", "user certificate" in shown and f"                {user}\n" in shown, shown)

    def log_in(key, known, alias, target=f"{user}@10.78.0.2"):
        (WORK / "known").write_text(known)
        return run(
            "ssh", "-F", "/dev/null", "-p", "2222", "-i", WORK / key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={WORK}/known", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes",
            "-o", f"HostKeyAlias={alias}", "-o", "UpdateHostKeys=no", target, "echo", "here", space=True)

    host_ca = f"@cert-authority {machine} {authorities['host']}\n"
    result = log_in("ann", host_ca, machine)
    check("sshd takes our user certificate, ssh takes our host certificate", result.stdout == "here\n", result.stderr)
    check("the host certificate is no other machine's", log_in("ann", host_ca.replace(machine, "m-0000"), "m-0000").returncode == 255)
    check("a key without certificate does not get in", log_in("bob", host_ca, machine).returncode == 255)
    check("the user authority does not vouch for hosts",
          log_in("ann", f"@cert-authority {machine} {authorities['user']}\n", machine).returncode == 255)
    cli("ssh-ca", "sign-user", WORK / "bob.pub", "-n", "somebody-else")
    check("a certificate for another user does not get in", log_in("bob", host_ca, machine).returncode == 255)
    own = ["machine", "ssh", "-l", user, "-p", "2222", "-i", WORK / "ann"]
    result = run(HOSTLER, *own, "--state-dir", STATE, machine, "--", "echo", "here")
    check("hostler machine ssh gets in and asks nothing", result.stdout == "here\n", result.stderr)
    # New host keys, as after `ssh-keygen -A`, certified: still known. Uncertified: refused.
    sshd.terminate()
    sshd.wait(10)
    (WORK / "host_ed25519").unlink()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", WORK / "host_ed25519")
    config = (WORK / "sshd_config").read_text().replace(f"HostKey {WORK}/host_ecdsa\n", "").replace(
        f"HostCertificate {WORK}/host_ed25519-cert.pub\n", "")
    (WORK / "sshd_config").write_text(config)
    (WORK / "sshd.log").write_text("")
    sshd = subprocess.Popen(["ip", "netns", "exec", f"{SPACE}-m", "/usr/sbin/sshd", "-D", "-e", "-f", str(WORK / "sshd_config")],
                            stderr=open(WORK / "sshd.log", "w"))
    wait_for("sshd", lambda: "listening" in (WORK / "sshd.log").read_text())
    result = run(HOSTLER, *own, "--state-dir", STATE, machine, "--", "echo", "here")
    check("a machine with keys that nobody vouched for is refused", result.returncode != 0 and "here" not in result.stdout, result.stderr)

    # From the second on that a wipe is asked for, it gets nothing.
    order(f"/v1/machines/{machine}/wipe", {})
    check("a machine that is to be wiped gets no token", refused(mint, {"audience": "a"}) == (403, "identity-refused"))
    check("and no host certificate", refused(f"/v1/machines/{machine}/ssh-host-certificates", {}) == (403, "identity-refused"))
    kinds = [event["kind"] for event in api("/v1/events?limit=1000")["items"]]
    check("what was issued and refused is in the audit log",
          {"identity.issued", "identity.refused", "identity.keys-replaced", "ssh.certificate-signed"} <= set(kinds), kinds)

    # A store without its key issues nothing, and says why; machines are served all the same.
    server.terminate()
    server.wait(30)
    (STATE / "identity.key").write_bytes(os.urandom(32))
    server = serve()
    check("with another identity.key nothing is issued", refused(mint, {"audience": "a"}) == (503, "identity-unavailable"))
    server.terminate()
    server.wait(30)
    server = serve("--new-identity")
    check("with --new-identity the issuer starts over", len(api("/.well-known/jwks.json", token=False)["keys"]) == 1)
finally:
    for process in [server, sshd]:
        if process:
            process.terminate()
            process.wait(30)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
