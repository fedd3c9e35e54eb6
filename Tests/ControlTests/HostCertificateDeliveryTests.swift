import Foundation
import Glibc
import Metadata
import Model
import Testing

@testable import Control

@Suite("The delivery of SSH host certificates")
struct HostCertificateDeliveryTests {
    /// What one run of the program did, as the harness around it saw it.
    private struct Run: Decodable {
        var asked: [String]
        var pauses: [Int]
        /// Which programs it called, without the folder that it made.
        var called: [String]
        var written: [String: String]
        /// Nil: it came to its end.
        var end: String?
    }

    private static let key = InstallationKeys.random(for: MachineID(unchecked: "m-7f3k2q")).instance

    /// Runs the program against a service that answers with `statuses`, one after another, and the last for ever, on a
    /// machine whose volume has `key` and where systemd's `unit` runs.
    private func run(_ statuses: [Int], key: String = Self.key, unit: String? = nil) throws -> Run {
        let folder = FileManager.default.temporaryDirectory.appending(path: "certificates-\(UInt64.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func write(_ name: String, _ text: String) throws { try Data(text.utf8).write(to: folder.appending(path: name)) }
        try write("program.py", HostCertificateDelivery.fetch(from: "CIDATA"))
        try write("harness.py", Self.harness)
        try write("key", key + "\n")
        try write("statuses", statuses.map(String.init).joined(separator: " "))
        try write("unit", unit ?? "none")
        let pipe = try #require(popen("python3 \(folder.path)/harness.py \(folder.path) 2>&1", "r"))
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

    /// Stands between the program and the machine: folders, the service, `mount`, `systemctl`, and the clock.
    private static let harness = #"""
        import http.server, json, os, subprocess, sys, threading, time
        folder = sys.argv[1]
        read = lambda name: open(f"{folder}/{name}").read().strip()
        statuses, unit, asked, pauses, called = [int(word) for word in read("statuses").split()], read("unit"), [], [], []

        class Service(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(f"{self.path} {self.headers['X-Hostler-Key']}")
                body = b"ssh-ed25519-cert-v01@openssh.com AAAA\nssh-rsa-cert-v01@openssh.com BBBB\nssh-dss-cert CCCC\n"
                self.send_response(statuses[min(len(asked), len(statuses)) - 1])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            def log_message(self, *words): pass

        def run(words, check=False):
            called.append(" ".join(word for word in words if not word.startswith(folder) and not word.startswith("/tmp/")))
            if words[0] == "mount":
                os.mkdir(words[-1] + "/hostler")
                open(words[-1] + "/hostler/key", "w").write(open(folder + "/key").read())
            if words[0] == "umount":
                os.remove(words[-1] + "/hostler/key")
                os.rmdir(words[-1] + "/hostler")
            code = int(words[:2] == ["systemctl", "is-active"] and words[-1] != unit)
            return subprocess.CompletedProcess(words, code)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ["http_proxy"] = "http://127.0.0.1:9"
        os.makedirs(folder + "/ssh")
        for name in ("volume", "ssh/ssh_host_ed25519_key"): open(f"{folder}/{name}", "w")
        text = open(folder + "/program.py").read()
        for old, new in (("/dev/disk/by-label/CIDATA", folder + "/volume"), ("/etc/ssh", folder + "/ssh"),
                         ("http://169.254.169.254", f"http://127.0.0.1:{server.server_address[1]}")):
            assert old in text, old
            text = text.replace(old, new)
        subprocess.run, time.sleep, end = run, pauses.append, None
        try: exec(compile(text, "program", "exec"), {"__name__": "__main__"})
        except SystemExit as error: end = str(error.code)
        written = {}
        for path, _, names in os.walk(folder + "/ssh"):
            for name in names: written[name] = open(f"{path}/{name}").read().replace(folder, "")
        print(json.dumps({"asked": asked, "pauses": pauses, "called": called, "written": written, "end": end}))
        """#

    @Test(
        "asks with the key of the installed volume, by no proxy, and names what it got to whichever sshd runs",
        arguments: ["ssh.service", "sshd.service"])
    func brings(unit: String) throws {
        let run = try run([200], unit: unit)
        #expect(run.end == nil && run.pauses.isEmpty)
        #expect(run.asked == ["/hostler/v1/ssh-host-certificates \(Self.key)"])
        #expect(run.called.first == "mount -t vfat -o ro,nosuid,nodev,noexec")
        #expect(run.called.last == "systemctl reload-or-restart \(unit)")
        #expect(run.written["ssh_host_ed25519_key-cert.pub"] == "ssh-ed25519-cert-v01@openssh.com AAAA\n")
        #expect(run.written["ssh_host_rsa_key-cert.pub"] == nil, "it has no such key")
        #expect(run.written["60-hostler-host-certificates.conf"] == "HostCertificate /ssh/ssh_host_ed25519_key-cert.pub\n")
    }

    @Test("a machine where no sshd runs has them when one starts: that is no failure")
    func noService() throws {
        let run = try run([200])
        #expect(run.end == nil && run.asked.count == 1 && run.written.count == 3)
        #expect(!run.called.contains { $0.contains("reload") })
    }

    @Test("while it is refused it asks ever more seldom, and ends")
    func backsOff() throws {
        let soon = try run([403, 503, 200])
        #expect(soon.end == nil && soon.pauses == [20, 40] && soon.asked.count == 3)
        let never = try run([403])
        #expect(never.pauses == [20, 40, 80, 160, 320, 640, 1280, 2560] && never.asked.count == 9)
        #expect(never.end?.hasPrefix("no certificates") == true && never.written.count == 1)
    }

    @Test("what is no key is shown to nobody", arguments: ["", "secret", String(repeating: "0A", count: 32), String(repeating: "0a", count: 33)])
    func noKey(_ text: String) throws {
        let run = try run([200], key: text)
        #expect(run.end == "what is on the volume is no key" && run.asked.isEmpty)
        #expect(run.called.last == "umount")
    }

    @Test("the label is that of the data source that was installed")
    func label() {
        #expect(HostCertificateDelivery.fetch(from: SeedVolume.label(.configDrive)).contains(#"VOLUME = "/dev/disk/by-label/CONFIG-2""#))
        #expect(HostCertificateDelivery.fetch(from: SeedVolume.label(.ec2)).contains(#"VOLUME = "/dev/disk/by-label/CIDATA""#))
        #expect(SeedVolume.label(nil) == "CIDATA")
    }
}
