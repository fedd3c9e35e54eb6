"""What metadata-clients.py sends that no client should: each is refused as EC2 refuses it, and nobody else waits for it."""
import json
import secrets
import subprocess
import time

from metadata_rack import Rack, sh, wait_for

# Opens so many connections at once, says nothing by one half of them and half a request by the other, and tells how
# many the server keeps, and when the last of them has ended.
FLOOD = r"""
import json, resource, select, socket, sys, time
count = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
began = time.monotonic()
poll, idle = select.epoll(), {}
for number in range(count):
    line = socket.socket()
    try:
        line.connect(("169.254.169.254", 80))
        if number % 2: line.send(b"GET /latest/meta-data/ HTTP/1.1\r\nHost: 169.")
    except OSError:
        line.close()
        continue
    line.setblocking(False)
    idle[line.fileno()] = line
    poll.register(line, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR)
def reap(seconds):
    for descriptor, _ in poll.poll(seconds, 1024):
        poll.unregister(descriptor)
        idle.pop(descriptor).close()
while time.monotonic() < began + 5: reap(0.1)
print(json.dumps({"kept": len(idle), "seconds": time.monotonic() - began}), flush=True)
while idle and time.monotonic() < began + 60: reap(1)
print(json.dumps({"kept": len(idle), "seconds": time.monotonic() - began}), flush=True)
"""


def bad_input(check, rack, one, two, python):
    """`one` is known and `two` is its neighbour, both with an address of their own."""
    status, token = one.imds_token()
    for what, expected, path, options in [
        ("a header of 20,000 bytes", 400, "/latest/meta-data/", ["-H", "X-Long: " + "a" * 20_000]),
        ("a path of 5,000 bytes", 400, "/latest/meta-data/" + "a" * 5000, []),
        ("a hundred headers", 400, "/latest/meta-data/", [word for number in range(100) for word in ("-H", f"X-{number}: 1")]),
        ("a path that climbs", 400, "/latest/meta-data/../../../etc/passwd", []),
        ("a path that climbs in disguise", 400, "/latest/%2e%2e/%2e%2e/etc/passwd", []),
        ("two slashes", 404, "/latest//meta-data/instance-id", []),
        ("DELETE", 405, "/latest/meta-data/instance-id", ["-X", "DELETE"]),
        ("TRACE", 405, "/latest/meta-data/instance-id", ["-X", "TRACE"]),
        ("POST", 405, "/latest/meta-data/instance-id", ["-X", "POST"]),
        ("POST with contents, which nothing here takes", 400, "/latest/meta-data/instance-id", ["-X", "POST", "-d", "x=y"]),
        ("a token's time of 0 s", 400, "/latest/api/token", ["-X", "PUT", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 0"]),
        ("a token's time of 21,601 s", 400, "/latest/api/token", ["-X", "PUT", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 21601"]),
        ("a token that was made up", 401, "/latest/meta-data/instance-id", ["-H", "X-aws-ec2-metadata-token: " + "0" * 100]),
    ]:
        shown = [] if "token" in what else token
        seen, body = one.curl(path, "--path-as-is", *shown, *options)
        check(f"{what}: {expected}, and nothing else", seen == expected and "root:" not in body and len(body) < 40, (seen, body))
    check("and after all that, an answer", one.curl("/latest/meta-data/instance-id", *token)[0] == 200)

    _, brief = one.curl("/latest/api/token", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 1", method="PUT")
    field = ["-H", f"X-aws-ec2-metadata-token: {brief.strip()}"]
    wait_for("a token of a second ends", lambda: one.curl("/latest/meta-data/instance-id", *field)[0] == 401)
    check("a token that is over: 401", True)
    flood(check, rack, one, two, python)


def flood(check, rack, one, two, python):
    """10,000 connections that say nothing, or half a word."""
    crowd = subprocess.Popen(
        ["ip", "netns", "exec", two.ns, python, "-c", FLOOD, "10000"], stdout=subprocess.PIPE, text=True)
    _, token = one.imds_token()
    slowest = 0
    for _ in range(20):
        # curl's own clock: how long a host under load takes to start it is another matter.
        done = one.inside("curl", "-s", "-f", "-m", "5", "-o", "/dev/null", "-w", "%{time_total}", *token,
                          "http://169.254.169.254/latest/meta-data/instance-id", check=False)
        slowest = max(slowest, float(done.stdout)) if done.returncode == 0 else float("inf")
    first, last = (json.loads(crowd.stdout.readline()) for _ in range(2))
    crowd.wait()
    check("10,000 idle connections of one machine: 64 stay, the others are closed at once", 0 < first["kept"] <= 64, first)
    check("of these none stays longer than 15 s", last["kept"] == 0 and last["seconds"] < 30, last)
    check("another machine is answered all the while, within a second", slowest < 1, slowest)
    counted = rack.cli("event", "list", "-o", "json").stdout.count("metadata.")
    check("and the log of events is not flooded", counted < 100, counted)


def replay(check, rack, attacker, victim):
    """The attacker has the victim's MAC address and address, and has seen the nonce by which its agent came."""
    hello = {"nonce": victim.nonce, "sessionKey": secrets.token_hex(32), "mac": victim.mac, "macs": [victim.mac],
             "firmware": "bios", "version": "test"}
    def say(hello):
        text, _, status = attacker.inside(
            "curl", "-sS", "-m", "10", "-w", "\n%{http_code}", "-d", json.dumps(hello), f"http://{Rack.ADDRESS}:8080/agent/v1/hello").stdout.rpartition("\n")
        return int(status), text
    status, text = say(hello)
    check("the first machine's nonce, replayed with its MAC address and its address, buys no session",
          status == 401 and "nonce-spent" in text and "session\"" not in text, (status, text))
    status, text = say({**hello, "mac": attacker.mac, "macs": [attacker.mac]})
    check("nor with another MAC address", status in (401, 403) and "session\"" not in text, (status, text))


def by_ipv6(check, one, two, secrets):
    """`two` has its own MAC address, and gives itself addresses as it likes."""
    host = "[fd00:ec2::254]"
    def token(machine):
        status, text = machine.curl("/latest/api/token", "-g", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 300", method="PUT", host=host)
        return status, ["-g", "-H", f"X-aws-ec2-metadata-token: {text.strip()}"]
    wait_for("the way to fd00:ec2::254, of which it was told", lambda: token(one)[0] == 200)
    _, own = one.imds_token()
    check("a token of IPv4 is good by IPv6", one.curl("/latest/meta-data/mac", "-g", *own, host=host) == (200, one.mac))
    _, field = token(one)
    check("and one of IPv6 by IPv4", one.curl("/latest/meta-data/local-ipv4", *field) == (200, one.address))
    check("by IPv6 without a token, 401", one.curl("/latest/meta-data/mac", "-g", host=host)[0] == 401)
    check("by IPv6 without the key, no secret", {one.curl(path, *field, host=host)[0] for path in secrets} == {403})
    theirs = json.loads(one.inside("ip", "-j", "-6", "addr", "show", "dev", "eth0").stdout)[0]["addr_info"][0]["local"]
    # The first one's address at another port, and no question whether somebody has it already.
    sh("ip", "-n", one.ns, "link", "set", "eth0", "down")
    sh("ip", "-n", two.ns, "addr", "add", f"{theirs}/128", "dev", "eth0", "nodad")
    sh("ip", "-n", two.ns, "-6", "route", "replace", "fd00:ec2::/64", "dev", "eth0", "src", theirs)
    answers = [two.curl(path, *field, host=host) for path in ["/latest/meta-data/mac", *secrets]]
    check("with its IPv6 address and its token, nothing", {status for status, _ in answers} == {401}, answers)
    status, mine = token(two)
    check("whoever has its IPv6 address is who its MAC address says", two.curl(
        "/latest/meta-data/mac", *mine, host=host) == (200, two.mac), status)
    sh("ip", "-n", two.ns, "addr", "del", f"{theirs}/128", "dev", "eth0")
    sh("ip", "-n", one.ns, "link", "set", "eth0", "up")
    sh("ip", "-n", one.ns, "route", "replace", "169.254.169.254/32", "via", Rack.ADDRESS)
    wait_for("the first machine is back", lambda: one.imds_token()[0] == 200)
