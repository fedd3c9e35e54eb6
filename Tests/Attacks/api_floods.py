#!/usr/bin/env python3
"""Line 6 at the API, most of it without a token: idle connections, half-open TLS handshakes, heads and bodies that never end, watchers
that never read, and a process that is out of file descriptors. Who asks properly is answered meanwhile, and machines boot."""
import http.client
import json
import os
import resource
import select
import socket
import ssl
import threading
import time

from enclosure import until
from scene import run

# Both are of this host, to which the API gives 512 connections (docs/api.md).
IDLE, WATCHERS = 240, 200
# A head, a handshake and an idle connection have so long at most.
DEADLINE_SECONDS = 65
WATCH_MEMORY_MB = 150


class Reader(threading.Thread):
    """A watcher that reads; what it has seen."""

    def __init__(self, scene, revision):
        super().__init__(daemon=True)
        line = scene.api_connection(120)
        line.request("GET", f"/v1/machines?watch=true&after={revision}", headers={"Authorization": f"Bearer {scene.token}"})
        self.reply, self.text = line.getresponse(), b""
        self.start()

    def run(self):
        try:
            while part := self.reply.read1(65536):
                self.text += part
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass


def trust(scene):
    return ssl.create_default_context(cadata=json.loads((scene.state / "admin.json").read_text())["ca"])


def open_lines(scene, count, words):
    """Connections on which `words` are said and no more: TCP only, or within TLS."""
    lines = []
    context = trust(scene)
    for number in range(count):
        line = socket.create_connection(("127.0.0.1", scene.port), 5)
        if number % 4 == 1:
            # The first five bytes of a handshake record (RFC 8446 §5.1), and no more.
            line.send(b"\x16\x03\x01\x02\x00")
        elif number % 4 > 1:
            try:
                line = context.wrap_socket(line, server_hostname="127.0.0.1")
                line.send(words(number))
            except OSError:
                pass
        line.setblocking(False)
        lines.append(line)
    return lines


def still_open(lines):
    """Those that the server has not closed."""
    left = []
    for line in lines:
        try:
            while line.recv(65536):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            left.append(line)
        except OSError:
            pass
    return left


def idle(scene, host):
    heads = (b"", b"GET /v1/machines HTTP/1.1\r\nHost: x\r\nX-Never: ", b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    began = time.monotonic()
    lines = open_lines(scene, IDLE, lambda number: heads[number % 3])
    took = [timed(lambda: scene.api("GET", "/v1/machines")) for _ in range(10)]
    scene.check("beside them the API answers within 2 s", max(took) < 2, took)
    took = timed(host.boot_into_agent)
    scene.check("and a machine boots within 5 s", took < 5, took)
    return began, lines


def closed(scene, began, lines):
    left = lines
    while left and time.monotonic() < began + DEADLINE_SECONDS:
        left = still_open(left)
        time.sleep(0.2)
    scene.check(f"of {len(lines)} connections that never finish a handshake, a head or a body none is open after {DEADLINE_SECONDS} s",
                not left, len(left))
    for line in lines:
        line.close()


def timed(work):
    began = time.monotonic()
    work()
    return time.monotonic() - began


def deaf_watchers(scene, host):
    """They read the head of their answer, and then no more."""
    path = f"/v1/machines/{host.id}"

    def change(number):
        scene.api("PATCH", path, {"labels": {f"l{index}": f"{number}-" + "x" * 200 for index in range(20)}})
    usual = sorted(timed(lambda number=number: change(number)) for number in range(40))[20]
    files = open_files(scene)
    before, revision = scene.memory(), scene.api("GET", "/v1/status")["revision"]
    context, deaf, refused = trust(scene), [], 0
    for _ in range(WATCHERS):
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(5)
        line.connect(("127.0.0.1", scene.port))
        try:
            line = context.wrap_socket(line, server_hostname="127.0.0.1")
            line.sendall(f"GET /v1/machines?watch=true&after={revision} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {scene.token}\r\n\r\n".encode())
            refused += b" 200 " not in line.recv(100)
            deaf.append(line)
        except OSError:
            refused += 1
    reader = Reader(scene, revision)
    during = []
    for number in range(1200):
        during.append(timed(lambda number=number: change(1000 + number)))
        if sum(during) > 25:
            break
    late = sorted(during[-200:])[len(during[-200:]) // 2]
    print(f"# {len(deaf)} watchers that never read ({refused} refused), {len(during)} changes: {usual * 1000:.1f} ms each before, "
          f"{late * 1000:.1f} ms at the end; memory {before:.0f} to {scene.memory():.0f} MB", flush=True)
    scene.check("most were let in, so that there is something to bear", len(deaf) - refused >= WATCHERS // 4, (len(deaf), refused))
    scene.check("a change takes at most three times as long as without them", late < 3 * usual + 0.005, (usual, late))
    scene.check(f"they cost less than {WATCH_MEMORY_MB} MB", scene.memory() - before < WATCH_MEMORY_MB, (before, scene.memory()))
    newest = f"{1000 + len(during) - 1}-x".encode()
    try:
        until("the reader has the newest change", lambda: newest in reader.text, 10)
        good = True
    except TimeoutError:
        good = False
    scene.check("a watcher that reads has every change all the while", good, reader.text[-300:])
    try:
        until("they are cut off", lambda: open_files(scene) < files + len(deaf) // 5, 15)
        good = True
    except TimeoutError:
        good = False
    scene.check("each that does not read is cut off: the server has closed its connection", good, (files, len(deaf), open_files(scene)))
    for line in deaf:
        line.close()


def open_files(scene):
    return len(os.listdir(f"/proc/{scene.server.pid}/fd"))


def out_of_files(scene, host, usual):
    """The process may open a few files more, and is asked for hundreds."""
    until("the connections from before are gone", lambda: open_files(scene) < usual + 10, 10)
    now = open_files(scene)
    limit = resource.prlimit(scene.server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(scene.server.pid, resource.RLIMIT_NOFILE, (now + 24, limit[1]))
    lines = []
    for number in range(300):
        line = socket.socket() if number % 2 else host.space.socket()
        line.setblocking(False)
        line.connect_ex(("127.0.0.1", scene.port) if number % 2 else (scene.ADDRESS, 8080))
        lines.append(line)
        if number % 50 == 0:
            time.sleep(0.2)
    time.sleep(2)
    most = open_files(scene) if scene.server.poll() is None else 0
    scene.check("the process has come to the end of its file descriptors", most >= now + 20, (now, most))
    scene.check("out of file descriptors, the server goes on", scene.server.poll() is None, scene.server.returncode)
    select.select([], [], [], 1)
    for line in lines:
        line.close()
    if scene.server.poll() is not None:
        return
    try:
        until("the connections are gone", lambda: open_files(scene) < now + 20, 15)
        host.boot_into_agent(patience=15)
        good, seen = True, ""
    except Exception as failure:  # noqa: BLE001: whatever is wrong then
        good, seen = False, repr(failure)
    scene.check("once they are closed, a machine boots, with no file descriptor more than before", good, seen)
    resource.prlimit(scene.server.pid, resource.RLIMIT_NOFILE, limit)


def attack(scene):
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    host = scene.host("m")
    host.boot_into_agent()
    scene.check("the API answers, by TLS", timed(lambda: scene.api("GET", "/v1/machines")) < 2)
    usual = open_files(scene)
    began, lines = idle(scene, host)
    deaf_watchers(scene, host)
    closed(scene, began, lines)
    out_of_files(scene, host, usual)


if __name__ == "__main__":
    run("floods at the API", attack, seconds=170, tls=True)
