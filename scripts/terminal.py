#!/usr/bin/env python3
"""A program on a terminal of its own, for a script that types at it and reads what it says.

    terminal.py STEP… -- PROGRAM ARGUMENT…

A step is `expect:TEXT` (in time, after what was expected before), `type:TEXT` (with \\r, \\n, \\t, \\e and \\xNN),
`run:COMMAND` (by the shell, until it ends), `pause:SECONDS`, or `end` (the program ends by itself, in time).
What the program said goes to standard output. Exit code 0: every step was done.
    PATIENCE_SECONDS   what is in time: 20
"""
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

PATIENCE_SECONDS = float(os.environ.get("PATIENCE_SECONDS", "20"))


class Terminal:
    def __init__(self, command):
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)
        self.said = b""
        self.read_to = 0
        self.is_over = False

    def listen(self, seconds):
        """Whether there was anything; false as well where the program ended."""
        if self.is_over or not select.select([self.file], [], [], max(0, seconds))[0]:
            return False
        try:
            part = os.read(self.file, 65536)
        except OSError:
            part = b""
        self.is_over = not part
        self.said += part
        return bool(part)

    def expect(self, text):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (at := self.said.find(text, self.read_to)) < 0:
            if not self.listen(deadline - time.monotonic()) and (self.is_over or time.monotonic() >= deadline):
                return False
        self.read_to = at + len(text)
        return True

    def pause(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.is_over:
            self.listen(deadline - time.monotonic())

    def end(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.is_over and time.monotonic() < deadline:
            self.listen(deadline - time.monotonic())
        return self.is_over

    def close(self):
        if not self.is_over:
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def plain(text):
    """With its escapes made characters."""
    text = text.replace("\\e", "\\x1b")
    return re.sub(r"\\(x[0-9a-fA-F]{2}|[rnt\\])", lambda found: found.group().encode().decode("unicode_escape"), text).encode()


def take(terminal, step):
    verb, _, rest = step.partition(":")
    if verb == "expect":
        return terminal.expect(plain(rest))
    if verb == "type":
        os.write(terminal.file, plain(rest))
        return True
    if verb == "run":
        return subprocess.run(rest, shell=True, stdin=subprocess.DEVNULL).returncode == 0
    if verb == "pause":
        terminal.pause(float(rest))
        return True
    if verb == "end":
        return terminal.end()
    sys.exit(f"no step: {step}")


def main():
    words = sys.argv[1:]
    steps, command = words[: words.index("--")], words[words.index("--") + 1 :]
    terminal = Terminal(command)
    missed = next((step for step in steps if not take(terminal, step)), None)
    terminal.pause(0.1)
    terminal.close()
    sys.stdout.write(terminal.said.decode(errors="replace").replace("\r\n", "\n") + "\n")
    if missed:
        print(f"not done: {missed}")
    sys.exit(1 if missed else 0)


main()
