"""Two network namespaces with a wire between them, and the processes that run there."""
import os
import pathlib
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTLER = str(ROOT / "out/bin/hostler")
CACHE = pathlib.Path(os.environ.get("CACHE_HOME") or pathlib.Path.home() / ".cache/hostler")


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def sh(*command, check=True, **options):
    """A command's result; what it said is part of the error."""
    result = subprocess.run(command, text=True, capture_output=True, **options)
    if check and result.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {result.returncode}\n{result.stdout}{result.stderr}")
    return result


class Processes:
    """The programs that were started and not yet ended; nothing else is ever ended."""

    def __init__(self):
        self.children = []

    def start(self, command, **options):
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
        child = subprocess.Popen(command, **options)
        self.children.append(child)
        return child

    def stop(self, child):
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self.children.remove(child)

    def stop_all(self):
        for child in list(self.children):
            self.stop(child)


class Wire:
    """A veth pair with a namespace at each end: the servers' at 10.99.0.1, the clients' at 10.99.0.2."""

    server_address, client_address = "10.99.0.1", "10.99.0.2"
    server_interface, client_interface = "bs0", "bc0"

    def __init__(self):
        self.server = f"hostler-bs{os.getpid()}"
        self.client = f"hostler-bc{os.getpid()}"
        self.processes = Processes()
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="hostler-bench."))
        # Peers that drop root must be able to read the files.
        self.work.chmod(0o755)

    def __enter__(self):
        for name in (self.server, self.client):
            sh("ip", "netns", "add", name)
            sh("ip", "-n", name, "link", "set", "lo", "up")
        sh("ip", "link", "add", "bs0", "netns", self.server, "type", "veth", "peer", "name", "bc0", "netns", self.client)
        for name, interface, address in (
                (self.server, "bs0", self.server_address), (self.client, "bc0", self.client_address)):
            sh("ip", "-n", name, "addr", "add", f"{address}/16", "dev", interface)
            sh("ip", "-n", name, "link", "set", interface, "up")
        return self

    def __exit__(self, *_):
        self.processes.stop_all()
        for name in (self.server, self.client):
            sh("ip", "netns", "del", name, check=False)
        sh("rm", "-rf", str(self.work))

    def in_server(self, *command):
        return ["ip", "netns", "exec", self.server, *command]

    def in_client(self, *command):
        return ["ip", "netns", "exec", self.client, *command]

    def folder(self):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.work))
        folder.chmod(0o755)
        return folder

    def wait_until_listening(self, port, child):
        for _ in range(200):
            if child.poll() is not None:
                raise RuntimeError(f"{child.args}: ended with {child.returncode}")
            probe = f"exec 3<>/dev/tcp/{self.server_address}/{port}"
            if sh(*self.in_client("bash", "-c", probe), check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError(f"nothing listens at {self.server_address}:{port}")

    def hostler(self, boot_files, state=None):
        """`hostler serve` with this wire as its only network; its own threads enter the namespace."""
        state = state or self.folder()
        (state / "hostler.yaml").write_text(
            f"networks:\n- {{interface: bs0, address: {self.server_address}/16, namespace: {self.server}, "
            "ranges: [10.99.64.0-10.99.250.255], policy: discover}\n")
        child = self.processes.start([
            HOSTLER, "serve", "--config", str(state / "hostler.yaml"), "--state-dir", str(state), "--boot-files",
            str(boot_files), "--api-port", "0", "--log-level", "warning"], stderr=open(state / "log", "w"))
        try:
            self.wait_until_listening(8080, child)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{(state / 'log').read_text()[-2000:]}") from error
        return child
