#!/usr/bin/env python3
"""Runs the program of a systemd unit with what the unit leaves it, without systemd: user, capabilities, mounts, limits and
system call filters, each by the kernel's own means. For tests; needs root, Landlock is the program's own affair.

    as_unit.py UNIT UID --place FROM=TO … [--drop-in FILE]

--place shows a file or folder of the caller at another path, as an installed package would have put it there; that of the
state directory stays writable. A line of the unit that this does not know is an error, so that none is passed over.
"""
import argparse
import ctypes
import os
import pathlib
import re
import resource
import shlex
import stat
import subprocess
import sys
import tempfile

libc = ctypes.CDLL(None, use_errno=True)
seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
seccomp.seccomp_init.restype = ctypes.c_void_p
seccomp.seccomp_init.argtypes = [ctypes.c_uint32]
for name in ("seccomp_load", "seccomp_release"):
    getattr(seccomp, name).argtypes = [ctypes.c_void_p]

# linux/capability.h
CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17}
NAMESPACES = {"mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000}
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
# Lines that change nothing for one program that is started by hand, and those of other sections.
ELSEWHERE = {"Description", "Documentation", "After", "Wants", "WantedBy", "Restart", "RestartSec", "Group", "RemoveIPC", "KeyringMode",
             "StateDirectoryMode", "MemoryMax", "TasksMax", "ProtectHostname", "PrivateMounts", "SystemCallErrorNumber"}
# What is done by other lines here: a user without capabilities cannot do it, and the filter refuses the call.
BY_FILTER = {"ProtectKernelModules", "ProtectKernelLogs", "ProtectClock", "SystemCallArchitectures"}


def check(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno() or -result, f"{what}: {os.strerror(ctypes.get_errno() or -result)}")
    return result


def mount(source, target, kind=None, flags=0, data=None):
    encode = lambda text: None if text is None else str(text).encode()  # noqa: E731
    check(libc.mount(encode(source), encode(target), encode(kind), ctypes.c_ulong(flags), encode(data)), f"mount {target}")


def read_unit(paths):
    lines = {}
    for path in paths:
        for line in pathlib.Path(path).read_text().splitlines():
            found = re.match(r"([A-Za-z]+)=(.*)", line)
            if found:
                lines.setdefault(found[1], []).append(found[2])
    return lines


class Unit:
    def __init__(self, *paths):
        self.lines = read_unit(paths)
        self.known = set(ELSEWHERE) | BY_FILTER

    def get(self, name, default=""):
        self.known.add(name)
        return self.lines.get(name, [default])[-1]

    def has(self, name):
        value = self.get(name, "no")
        return value not in ("no", "")

    def words(self, name):
        """Of a list: each line adds to it."""
        return [word for line in self.all(name) for word in line.split()]

    def all(self, name):
        self.known.add(name)
        return self.lines.get(name, [])


# Mounts

def arrange(unit, places):
    check(libc.unshare(0x00020000), "a mount namespace")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    work = tempfile.mkdtemp(prefix="as-unit.")
    mount("tmpfs", work, "tmpfs")
    # As if the package were installed: folders that this host need not have, above those it has.
    for number, top in enumerate(("/usr", "/etc", "/var/lib")):
        upper, scratch = f"{work}/{number}/upper", f"{work}/{number}/scratch"
        os.makedirs(upper)
        os.makedirs(scratch)
        mount("overlay", top, "overlay", 0, f"lowerdir={top},upperdir={upper},workdir={scratch}")
    for source, target in places:
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            pathlib.Path(target).touch()
        mount(source, target, None, MS_BIND | MS_REC)
    state = "/var/lib/" + unit.get("StateDirectory")
    if unit.has("ProtectHome"):
        for home in ("/home", "/root", "/run/user"):
            if os.path.isdir(home):
                mount("tmpfs", home, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "mode=000")
    if unit.has("PrivateDevices"):
        devices(work)
    if unit.get("ProtectProc") == "invisible":
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=invisible")
    if unit.get("ProtectSystem") == "strict":
        # mount_setattr(2) with AT_RECURSIVE: all there is becomes read-only.
        attributes = (ctypes.c_uint64 * 4)(1, 0, 0, 0)
        check(libc.syscall(442, -100, b"/", 0x8000, attributes, 32), "read-only")
        writable = (ctypes.c_uint64 * 4)(0, 1, 0, 0)
        check(libc.syscall(442, -100, state.encode(), 0x8000, writable, 32), "a writable state directory")
    if unit.has("PrivateTmp"):
        for folder in ("/tmp", "/var/tmp"):
            mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    # ProtectKernelTunables and ProtectControlGroups: /proc and /sys are read-only with all else.
    for name in ("ProtectKernelTunables", "ProtectControlGroups"):
        unit.has(name)


def devices(work):
    new = f"{work}/dev"
    os.mkdir(new)
    mount("tmpfs", new, "tmpfs", MS_NOSUID, "mode=755")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        pathlib.Path(f"{new}/{name}").touch()
        mount(f"/dev/{name}", f"{new}/{name}", None, MS_BIND)
    for name in ("pts", "shm"):
        os.mkdir(f"{new}/{name}")
        if os.path.isdir(f"/dev/{name}"):
            mount(f"/dev/{name}", f"{new}/{name}", None, MS_BIND)
    # As systemd does: where /dev/ptmx is a device of its own, the one in /dev/pts may not be opened.
    if os.path.islink("/dev/ptmx"):
        os.symlink("pts/ptmx", f"{new}/ptmx")
    else:
        os.mknod(f"{new}/ptmx", stat.S_IFCHR | 0o666, os.stat("/dev/ptmx").st_rdev)
        os.chmod(f"{new}/ptmx", 0o666)
    os.symlink("/proc/self/fd", f"{new}/fd")
    mount(new, "/dev", None, MS_BIND | MS_REC)


# Users and capabilities

def become(unit, uid):
    bounding = [CAPABILITIES[name] for name in unit.words("CapabilityBoundingSet")]
    ambient = [CAPABILITIES[name] for name in unit.words("AmbientCapabilities")]
    for number in range(64):
        if number not in bounding and libc.prctl(23, number, 0, 0, 0) == 1:
            check(libc.prctl(24, number, 0, 0, 0), "the bounding set")
    check(libc.prctl(8, 1, 0, 0, 0), "keeping capabilities")
    os.setgroups([uid])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    mask = sum(1 << number for number in ambient)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    check(libc.syscall(126, header, data), "capabilities")
    for number in ambient:
        check(libc.prctl(47, 2, number, 0, 0), "an ambient capability")
    if unit.has("NoNewPrivileges"):
        check(libc.prctl(38, 1, 0, 0, 0), "no new privileges")


# System calls

ALLOW, EPERM, EAFNOSUPPORT, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050000 | 97, 0x00050000 | 38


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


# seccomp.h: SCMP_CMP_NE 1, EQ 4, GE 5, MASKED_EQ 7.
NE, EQ, GE = 1, 4, 5


def masked(argument, mask, value):
    return Compare(argument, 7, mask, value)


def number_of(name):
    return seccomp.seccomp_syscall_resolve_name(name.encode())


def install(default, rules):
    context = seccomp.seccomp_init(default)
    for action, name, comparisons in rules:
        number = number_of(name)
        # -1: libseccomp does not know it; below: another architecture's.
        if number < 0:
            continue
        array = (Compare * max(1, len(comparisons)))(*comparisons)
        check(seccomp.seccomp_rule_add_array(ctypes.c_void_p(context), ctypes.c_uint32(action), number, len(comparisons), array), name)
    check(seccomp.seccomp_load(context), "a filter")
    seccomp.seccomp_release(context)


def expand(names):
    """Sets of system calls as systemd has them."""
    found = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        text = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", name], check=True, capture_output=True, text=True).stdout
        found |= expand(word for line in text.splitlines() for word in line.split() if line.startswith("    ") and not line.strip().startswith("#"))
    return found


def allowed_calls(unit):
    """systemd.exec(5): the first line's kind is the kind of the list, later ones add or take away."""
    allowed = set(expand(["@default"]))
    for line in unit.all("SystemCallFilter"):
        calls = expand(line.lstrip("~").split())
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


def filters(unit, allowed):
    families = sorted(FAMILIES[name] for name in unit.words("RestrictAddressFamilies"))
    rules = [(EAFNOSUPPORT, "socket", [Compare(0, EQ, number, 0)]) for number in range(64) if number not in families]
    rules.append((EAFNOSUPPORT, "socket", [Compare(0, GE, 64, 0)]))
    install(ALLOW, rules)
    # `yes` allows none, and later lines name some. setns asks with the flag that it enters by; 0 would be any.
    allowed_kinds = set(unit.words("RestrictNamespaces")) - {"yes"}
    if unit.words("RestrictNamespaces"):
        flags = [flag for kind, flag in NAMESPACES.items() if kind not in allowed_kinds]
        install(ALLOW, [(EPERM, name, [masked(argument, flag, flag)]) for flag in flags for name, argument in (("clone", 0), ("unshare", 0), ("setns", 1))]
                + [(ENOSYS, "clone3", []), (EPERM, "setns", [Compare(1, EQ, 0, 0)])])
    if unit.has("RestrictSUIDSGID"):
        install(ALLOW, [(EPERM, name, [masked(argument, bit, bit)]) for bit in (0o4000, 0o2000)
                        for name, argument in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2), ("mknod", 1))])
    if unit.has("RestrictRealtime"):
        install(ALLOW, [(EPERM, "sched_setscheduler", [Compare(1, NE, 0, 0)])])
    if unit.has("LockPersonality"):
        install(ALLOW, [(EPERM, "personality", [Compare(0, NE, 0, 0)])])
    if unit.has("MemoryDenyWriteExecute"):
        install(ALLOW, [(EPERM, "mmap", [masked(2, 6, 6)]), (EPERM, "mprotect", [masked(2, 4, 4)]), (EPERM, "pkey_mprotect", [masked(2, 4, 4)])])
    # The last one: it refuses to install more.
    install(EPERM, [(ALLOW, name, []) for name in sorted(allowed)])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("unit")
    parser.add_argument("uid", type=int)
    parser.add_argument("--place", action="append", default=[])
    parser.add_argument("--drop-in", action="append", default=[])
    options = parser.parse_args()
    unit = Unit(options.unit, *options.drop_in)
    allowed = allowed_calls(unit)
    os.umask(0o022)
    arrange(unit, [place.split("=", 1) for place in options.place])
    os.umask(int(unit.get("UMask", "0022"), 8))
    # A container may have less than the unit asks for.
    files = min(int(unit.get("LimitNOFILE")), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, files), files))
    core = int(unit.get("LimitCORE"))
    resource.setrlimit(resource.RLIMIT_CORE, (core, core))
    command = shlex.split(unit.get("ExecStart"))
    unit.get("User")
    os.chdir("/")
    become(unit, options.uid)
    filters(unit, allowed)
    strangers = set(unit.lines) - unit.known
    if strangers:
        raise SystemExit(f"as_unit.py does not know {', '.join(sorted(strangers))}")
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8", "USER": unit.get("User"),
                   "STATE_DIRECTORY": "/var/lib/" + unit.get("StateDirectory")}
    os.execve(command[0], command, environment)


main()
