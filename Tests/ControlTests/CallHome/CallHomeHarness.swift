import Foundation
import Glibc
import Model
import Testing

@testable import Control

/// Runs the program that calls home in a root of its own, under a real shell with real clients, against a service on loopback
/// that answers as it is told. The program's pauses end at once; what happens at each is told, too.
struct CallHomeHarness: Encodable {
    var shell = ["/usr/bin/dash"]
    var programs = ["curl", "sha256sum"]
    /// Programs that are there and do not work.
    var broken: [String] = []
    /// The n-th answer to the n-th question, the last for ever.
    var answers = ["acknowledged"]
    /// What happens before the program starts, and at its n-th pause: `up HOST`, `down HOST`, `write PATH TEXT`, `finish`.
    var start = ["up 127.0.0.1"]
    var happenings: [String: [String]] = [:]
    /// After so many it is ended.
    var pauses = 40
    var isFinished = true
    var folders: [String] = ["/run/systemd/system"]

    struct Question: Decodable {
        var host: String
        var path: String
        var type: String
        var isSigned: Bool
        var body: String
        var nonce: String
        var hasKey: Bool
    }

    /// What one run of the program did.
    struct Run: Decodable {
        var asked: [Question]
        var pauses: [Int]
        /// Files of Hostler's that are still there.
        var left: [String]
        var systemctl: [String]
        /// -9: it had not come to its end.
        var status: Int
        var said: String
        var isKeyInArguments: Bool
        var install: String
        var modes: [String: String]
        var vendorLeft: Bool
        var port: Int
    }

    static let key = CallHomeKey(hex: String(repeating: "5f", count: 32))
    static let operation = OperationID(unchecked: "op-7f3k2q9a")

    func run() throws -> Run {
        let folder = FileManager.default.temporaryDirectory.appending(path: "call-home-\(UInt64.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func write(_ name: String, _ bytes: Data) throws { try bytes.write(to: folder.appending(path: name)) }
        let delivery = CallHomeDelivery(operation: Self.operation, key: Self.key, base: "http://127.0.0.1:SERVERPORT")
        try write("install.sh", Data(delivery.script(starts: false).utf8))
        try write("harness.py", Data(Self.harness.utf8))
        try write("spec.json", try JSONEncoder().encode(self))
        let pipe = try #require(popen("python3 \(folder.path)/harness.py \(folder.path)/install.sh \(folder.path)/spec.json 2>&1", "r"))
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = fread(&buffer, 1, buffer.count, pipe)
            guard count > 0 else { break }
            output += buffer[..<count]
        }
        #expect(pclose(pipe) == 0, "\(String(decoding: output, as: UTF8.self))")
        let last = output.split(separator: UInt8(ascii: "\n")).last ?? []
        return try JSONDecoder().decode(Run.self, from: Data(last))
    }

    private static let harness = #"""
        import hashlib, http.server, json, os, re, shutil, socket, subprocess, sys, threading
        program, spec = sys.argv[1], json.load(open(sys.argv[2]))
        folder = os.path.dirname(os.path.abspath(sys.argv[2]))
        root, bin, pause, asleep = folder + "/root", folder + "/bin", folder + "/pause", folder + "/asleep"
        key, operation = "5f" * 32, "op-7f3k2q9a"
        def code(text, key=key):
            digest = lambda text: hashlib.sha256((key + text).encode()).hexdigest()
            return digest(digest(text))
        def write(path, text, mode=0o644):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            open(path, "w").write(text)
            os.chmod(path, mode)

        # What is asked, and how each is answered: the n-th answer to the n-th question, the last one for ever.
        asked, hosts = [], {}
        class Service(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                text, _, last = body.rstrip("\n").rpartition("\n")
                nonce = re.search("^nonce ([0-9a-f]{64})$", text, re.M)
                asked.append({"host": self.server.server_address[0], "path": self.path, "type": self.headers["Content-Type"],
                              "isSigned": last == "code " + code(text) and body.endswith("\n"), "body": body,
                              "nonce": nonce and nonce[1], "hasKey": key in str(self.headers) + self.path + body})
                how = spec["answers"][min(len(asked), len(spec["answers"])) - 1]
                if how == "close": return self.close()
                if how == "hang": return hanging.wait()
                words = lambda answer: f"{answer} {code(f'{answer} {nonce[1]}')}\n"
                status, reply = {"acknowledged": (200, words("acknowledged")), "superseded": (200, words("superseded")), "500": (500, "{}\n"),
                                 "409": (409, '{"code":"call-home-early"}\n'), "403": (403, "acknowledged\n"), "welcome": (200, "welcome\n"),
                                 "forged": (200, f"acknowledged {code(f'acknowledged {nonce[1]}', '0' * 64)}\n"),
                                 "replayed": (200, f"acknowledged {code('acknowledged ' + (asked[0]['nonce'] if len(asked) > 1 else '0' * 64))}\n"),
                                 "page": (200, "<html>" + "x" * 100_000), "binary": (200, "\0\x1b[2J\x07" * 99)}[how]
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply.encode())
            def close(self):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            def log_message(self, *words): pass
        hanging = threading.Event()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        def up(host):
            http.server.ThreadingHTTPServer.allow_reuse_address = True
            hosts[host] = http.server.ThreadingHTTPServer((host, port), Service)
            threading.Thread(target=hosts[host].serve_forever, daemon=True).start()
        def down(host):
            if host not in hosts: return
            hosts[host].shutdown()
            hosts.pop(host).server_close()

        # A system of its own: only the programs that a minimal one has.
        os.makedirs(bin)
        def tool(name, path): write(f"{bin}/{name}", f'#!/bin/bash\nprintf "%s\\n" {name} "$@" >>{folder}/arguments\nexec {path} "$@"\n', 0o755)
        for name in ["cat", "cut", "head", "sed", "tr", "tail", "rm", "mkdir", "chmod", "base64", "sh"]: os.symlink(shutil.which(name), f"{bin}/{name}")
        for name in spec["programs"]:
            busybox = name.startswith("busybox ")
            tool(name.split()[-1], f"/usr/bin/{name}" if busybox else sys.executable if name == "python3" else shutil.which(name))
        for name in spec.get("broken", []): write(f"{bin}/{name}", "#!/bin/sh\nexit 127\n", 0o755)
        os.mkfifo(pause)
        os.mkfifo(asleep)
        write(f"{bin}/sleep", f"#!/bin/sh\necho $1 >>{folder}/slept\necho >{asleep}\nread word <{pause}\n", 0o755)
        write(f"{bin}/timeout", f"#!/bin/sh\nshift\nexec {shutil.which('timeout')} 2 \"$@\"\n", 0o755)
        write(f"{bin}/systemctl", f"#!/bin/sh\necho \"$@\" >>{folder}/systemctl\n", 0o755)
        for name in ["arguments", "slept", "systemctl"]: write(f"{folder}/{name}", "")
        for kind in ["ed25519", "rsa"]: write(f"{root}/etc/ssh/ssh_host_{kind}_key.pub", f"ssh-{kind} AAAA+/{kind}== root@web-1\n")
        write(f"{root}/var/lib/cloud/data/instance-id", f"{operation}\n")
        if spec.get("isFinished", True): write(f"{root}/var/lib/cloud/instance/boot-finished", "")
        write(f"{root}/etc/systemd/system/other.service", "")
        for path in spec.get("folders", []): os.makedirs(root + path)
        environment = {"PATH": bin, "http_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
        script = open(program).read().replace("SERVERPORT", str(port))
        write(f"{folder}/vendor/scripts/vendor/part-002", script, 0o700)
        installed = subprocess.run([shutil.which("dash"), f"{folder}/vendor/scripts/vendor/part-002", root], env=environment, capture_output=True, text=True)
        modes = {path: oct(os.stat(root + path).st_mode & 0o777) for path in ["/etc/hostler/call-home.settings", "/etc/hostler"]}
        # What happens at the n-th pause; "up HOST", "down HOST", "write PATH TEXT", "finish".
        def act(words):
            verb, *rest = words.split(" ", 2)
            if verb == "up": up(rest[0])
            if verb == "down": down(rest[0])
            if verb == "write": write(root + rest[0], rest[1].replace("PORT", str(port)) + "\n")
            if verb == "finish": write(f"{root}/var/lib/cloud/instance/boot-finished", "")
        for words in spec.get("start", ["up 127.0.0.1"]): act(words)
        shell = spec["shell"]
        # busybox takes its own programs first: functions come before these.
        if "busybox" in shell[0]: shell = shell + ["-c", f'sleep() {{ {bin}/sleep "$@"; }}; timeout() {{ {bin}/timeout "$@"; }}; . "$0"']
        running = subprocess.Popen(shell + [f"{root}/etc/hostler/call-home", root], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        def clock():
            for number in range(spec.get("pauses", 40)):
                open(asleep).read()
                for words in spec.get("happenings", {}).get(str(number), []): act(words)
                if number == spec.get("pauses", 40) - 1: running.kill()
                with open(pause, "w") as gate: gate.write("on\n")
        threading.Thread(target=clock, daemon=True).start()
        said = running.communicate(timeout=50)[0]
        hanging.set()
        lines = lambda name: open(f"{folder}/{name}").read().splitlines()
        left = sorted(os.path.join(path, name)[len(root):] for path, _, names in os.walk(root) for name in names if "hostler" in path + name)
        print(json.dumps({
            "asked": asked, "pauses": [int(text) for text in lines("slept")], "left": left, "systemctl": lines("systemctl"), "status": running.returncode,
            "said": said, "isKeyInArguments": key in "\n".join(lines("arguments")), "install": installed.stderr, "modes": modes,
            "vendorLeft": os.path.exists(f"{folder}/vendor/scripts/vendor/part-002"), "port": port}))
        """#
}
