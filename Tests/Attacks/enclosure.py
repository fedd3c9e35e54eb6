"""A place for an attack from which nothing gets out: process, mount and network namespaces of its own, which the kernel
takes down with everything in them when the test ends, be it by kill -9."""
import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

_libc = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWPID, _NEWNET = 0x00020000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG = 1


def _call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def die_with_parent():
    """For `preexec_fn`: a child does not outlive the one that started it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def enclosed(work, seconds):
    """Runs `work` as the first process of namespaces of its own; returns its exit code. After `seconds` it is ended."""
    if os.geteuid() != 0:
        sys.exit("the attacks need root: they make network namespaces and speak raw frames")
    sys.stdout.flush()
    sys.stderr.flush()
    folder = tempfile.mkdtemp(prefix="ha.")
    _call("unshare", _NEWNS | _NEWPID | _NEWNET)
    child = os.fork()
    if child == 0:
        die_with_parent()
        tempfile.tempdir = folder
        code = 70
        try:
            _furnish()
            # The first process of a namespace hears only of signals that it has a handler for.
            signal.signal(signal.SIGTERM, _leave)
            code = work()
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
        except BaseException:  # noqa: BLE001: it must come to the exit below
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code or 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: _end(child))
    try:
        return _wait(child, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _leave(number, _):
    """Once: what cleans up is not to be interrupted."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(143)


def _end(child):
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGTERM)


def _wait(child, seconds):
    ending = os.pidfd_open(child)
    for patience, number in ((seconds, signal.SIGTERM), (10, signal.SIGKILL)):
        if select.select([ending], [], [], patience)[0]:
            break
        print(f"NOT OK - not done within {seconds} s", flush=True)
        os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _furnish():
    """Of the mounts only what names namespaces and processes is its own; the loopback is up."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    os.makedirs("/run/netns", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Namespace:
    """A network namespace. Its sockets are made from any thread, and stay in it."""

    def __init__(self, name):
        self.name = name
        self.descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def entered(self):
        """This thread is in the namespace meanwhile."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call("setns", self.descriptor, _NEWNET)
            try:
                yield
            finally:
                _call("setns", home, _NEWNET)
        finally:
            os.close(home)

    def socket(self, *arguments):
        with self.entered():
            return socket.socket(*arguments)


def until(what, holds, seconds=20, pause=0.02):
    """What `holds` answers, once that is something true."""
    end = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(pause)
