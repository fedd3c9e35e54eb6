#!/usr/bin/env python3
"""Line 9: a token is taken away while long answers are open by it. Each must end, and say nothing of what happens afterwards; the
same answers by another token go on."""
import http.client
import json
import threading
import time

from enclosure import until
from scene import run

STREAMS = ["/v1/machines?watch=true&after={revision}", "/v1/operations?watch=true&after={revision}", "/v1/events?watch=true&after={revision}"]


class Stream(threading.Thread):
    """An open answer, read as it comes."""

    def __init__(self, scene, path, token):
        super().__init__(daemon=True)
        self.line = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=60)
        self.line.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        self.reply = self.line.getresponse()
        self.text, self.ended = b"", None
        self.start()

    def run(self):
        try:
            while part := self.reply.read1(65536):
                self.text += part
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            pass
        self.ended = time.monotonic()


def happens(scene, host):
    """Something of which every stream tells."""
    scene.api("POST", f"/v1/machines/{host.id}/inspect")
    host.boot_into_agent()


def slow_body(scene):
    """A request whose head came by a token that is taken away before its body is whole."""
    made = scene.api("POST", "/v1/tokens", {"name": "slow", "role": "admin"})
    body = json.dumps({"name": "successor", "role": "admin"}).encode()
    line = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=20)
    line.putrequest("POST", "/v1/tokens")
    for name, value in (("Authorization", f"Bearer {made['secret']}"), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
        line.putheader(name, value)
    line.endheaders(body[:20])
    time.sleep(0.3)
    path = f"/v1/tokens/{made['token']['id']}"
    scene.api("DELETE", f"{path}?confirm={scene.api('DELETE', path + '?dryRun=true')['confirmation']}")
    try:
        line.send(body[20:])
        status = line.getresponse().status
    except (OSError, http.client.HTTPException):
        status = "cut off"
    scene.check("what it began to ask for before it was taken away is not done", status in (401, "cut off"), status)
    names = [token["name"] for token in scene.api("GET", "/v1/tokens")["items"]]
    scene.check("and it has made itself no successor", "successor" not in names, names)


def attack(scene):
    slow_body(scene)
    host = scene.host("m")
    host.boot_into_agent()
    role = scene.random.choice(("viewer", "operator"))
    made = scene.api("POST", "/v1/tokens", {"name": "leaves", "role": role})
    kept = scene.api("POST", "/v1/tokens", {"name": "stays", "role": role})
    revision = scene.api("GET", "/v1/status")["revision"]
    paths = [path.format(revision=revision) for path in STREAMS]
    leaving = [Stream(scene, path, made["secret"]) for path in paths]
    staying = [Stream(scene, path, kept["secret"]) for path in paths]
    happens(scene, host)
    for stream, path in zip(leaving, paths):
        until(f"{path} tells what happens", lambda stream=stream: b"data:" in stream.text)
    scene.check("while the token holds, its streams tell what happens", all(stream.ended is None for stream in leaving))
    # Another waits for its next page meanwhile, on a connection that is kept open.
    kept_open = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=20)
    kept_open.request("GET", "/v1/machines", headers={"Authorization": f"Bearer {made['secret']}"})
    kept_open.getresponse().read()
    path = f"/v1/tokens/{made['token']['id']}"
    scene.api("DELETE", f"{path}?confirm={scene.api('DELETE', path + '?dryRun=true')['confirmation']}")
    began = time.monotonic()
    try:
        until("the streams end", lambda: all(stream.ended for stream in leaving), 8)
    except TimeoutError:
        pass
    for stream, path in zip(leaving, paths):
        what = path.split("?")[0]
        scene.check(f"the token is taken away: {what}?watch ends within 5 s", stream.ended and stream.ended - began < 5, stream.text[-200:])
    marks = [len(stream.text) for stream in leaving]
    happens(scene, host)
    time.sleep(1)
    said = [stream.text[mark:][:200] for stream, mark in zip(leaving, marks) if b"data:" in stream.text[mark:]]
    scene.check("and nothing is said on it of what happens then", not said, said)
    kept_open.request("GET", "/v1/machines", headers={"Authorization": f"Bearer {made['secret']}"})
    status = kept_open.getresponse().status
    scene.check("a connection that was kept open is no way around", status == 401, status)
    alive = [stream.ended is None and b"data:" in stream.text for stream in staying]
    scene.check("another token's streams go on", all(alive), [json.dumps(stream.text.decode()[-200:]) for stream in staying])


if __name__ == "__main__":
    run("streams of a token that was taken away", attack)
