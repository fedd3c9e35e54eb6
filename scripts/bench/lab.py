"""A lab of our own, spoken to over its control socket (docs/lab.md), and logins on its machines."""
import json
import os
import pathlib
import shutil
import socket
import tempfile
import time

from wire import HOSTLER, Processes, sh


class Lab:
    """`with Lab("bench", "10.77.0.1/24") as lab:`; all of it is gone at the end."""

    def __init__(self, name, prefix, accelerator="probe"):
        self.name = f"{name}{os.getpid()}"
        self.prefix = prefix
        self.server_address = prefix.split("/")[0]
        self.namespace = f"hostler-{self.name}"
        # Short, for the sockets' paths.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hlb.", dir="/var/tmp"))
        self.processes = Processes()
        self.key = self.folder / "key"
        if accelerator != "probe":
            # A record that lies there already is taken up, its accelerator too.
            record = self.folder / self.name / "lab.json"
            record.parent.mkdir()
            record.write_text(json.dumps(
                {"lab": self.name, "server": prefix, "accelerator": accelerator, "faults": [], "members": []}))

    def __enter__(self):
        sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        try:
            self.command("up", "--machines", "0", "--uefi", "0", "--prefix", self.prefix)
        except Exception:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.processes.stop_all()
        self.command("down", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, verb, *options, check=True):
        return sh(HOSTLER, "lab", verb, "--name", self.name, "--state-dir", str(self.folder), *options, check=check)

    def ask(self, verb, **fields):
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.folder / self.name / "lab.sock"))
                connection.sendall(json.dumps({"verb": verb, **fields}).encode() + b"\n")
                reply = json.loads(connection.makefile().readline())
        except (OSError, ValueError) as error:
            raise RuntimeError(f"lab {self.name} does not answer ({verb}): {error}") from error
        if reply.get("error"):
            raise RuntimeError(f"lab {verb} {fields}: {reply['error']}")
        return reply

    def power(self, machine, action):
        return self.ask("power", machine=machine, power=action)

    def spec(self, machine):
        record = json.loads((self.folder / self.name / "lab.json").read_text())
        return next(member["spec"] for member in record["members"] if member["spec"]["name"] == machine)

    def machine_folder(self, machine):
        return self.folder / self.name / "machines" / machine

    def console_tail(self, machine, count=3000):
        path = self.machine_folder(machine) / "console.log"
        if not path.exists():
            return "(no console)"
        return path.read_bytes()[-count:].replace(b"\0", b"").replace(b"\r", b"").decode(errors="replace")

    def switch_to_disk_only(self, machine):
        """The same machine with the same disk, but its firmware knows of nothing else to boot."""
        spec, disk = self.spec(machine), self.machine_folder(machine) / "disk0.raw"
        kept = self.folder / "kept.raw"
        os.rename(disk, kept)
        variables = disk.with_name("OVMF_VARS.fd")
        kept_variables = self.folder / "kept.fd"
        if variables.exists():
            os.rename(variables, kept_variables)
        self.ask("remove", machine=machine)
        self.ask("add", spec={**spec, "boot": "disk-only"})
        os.rename(kept, disk)
        if kept_variables.exists():
            os.rename(kept_variables, variables)

    def accelerator(self):
        return json.loads((self.folder / self.name / "lab.json").read_text())["accelerator"]

    def processor_seconds(self, machine):
        """What the machine's QEMU has used of the host's processors since it was switched on: hardly moved by other load."""
        status = self.ask("status")["status"]
        pid = next(one["power"].get("pid") for one in status["machines"] if one["spec"]["name"] == machine)
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def must_run(self, machine):
        """A machine without power, or one that its hypervisor has given up on, never comes up."""
        log = self.machine_folder(machine) / "qemu.log"
        if log.exists() and "KVM internal error" in log.read_text(errors="replace"):
            raise RuntimeError(f"{machine}: KVM cannot run this machine here. Try again with --accelerator tcg.")
        if self.is_off(machine):
            raise RuntimeError(f"{machine} has lost its power")

    def is_off(self, machine):
        status = self.ask("status")["status"]
        power = next(one["power"] for one in status["machines"] if one["spec"]["name"] == machine)
        return power["state"] == "off" or "shut down" in (power.get("lastEvent") or "")

    def inside(self, *command):
        return ["ip", "netns", "exec", self.namespace, *command]

    def answers(self, user, address, command="true", seconds=30):
        """Whether a login with our key works; cheap while nothing listens."""
        probe = f"exec 3<>/dev/tcp/{address}/22 && read -r -t 5 banner <&3 && [[ $banner == SSH-* ]]"
        if sh(*self.inside("timeout", "6", "bash", "-c", probe), check=False).returncode:
            return None
        login = sh(*self.inside(
            "timeout", str(seconds), "ssh", "-i", str(self.key), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
            "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", f"{user}@{address}", command),
            check=False)
        return login.stdout if login.returncode == 0 else None

    def wait_for_login(self, machine, user, address, deadline, began):
        """Seconds since `began` at which a login was answered; None after the deadline."""
        while time.monotonic() < deadline:
            if self.answers(user, address) is not None:
                return time.monotonic() - began
            self.must_run(machine)
            time.sleep(0.25)
        return None
