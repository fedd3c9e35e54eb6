internal import FoundationEssentials
internal import Metadata

/// What brings a machine's SSH host certificates to it: a systemd timer in the installed system that asks the metadata
/// service for them once it has called home, and again every day, since they are good for thirty.
enum HostCertificateDelivery {
    private static let program = "/usr/local/sbin/hostler-host-certificates"
    private static let units = "/etc/systemd/system/hostler-host-certificates"

    /// A shell script that puts it there. Does nothing on a system without systemd or sshd.
    ///
    /// - Parameters:
    ///   - label: of the volume with the machine's key.
    ///   - starts: whether the timer starts now; else with the next start.
    static func script(from label: String, starts: Bool) -> String {
        let files = [(program, "755", fetch(from: label)), (units + ".service", "644", service), (units + ".timer", "644", timer)]
        var lines = ["#!/bin/sh", "[ -d /etc/systemd/system ] && [ -d /etc/ssh ] || exit 0"]
        lines += files.map { path, mode, text in
            "echo \(Data(text.utf8).base64EncodedString()) | base64 -d > \(path) && chmod \(mode) \(path)"
        }
        if starts { lines.append("systemctl daemon-reload") }
        lines.append("systemctl enable -q \(starts ? "--now " : "")hostler-host-certificates.timer")
        return lines.joined(separator: "\n") + "\n"
    }

    /// The program. cloud-init's own Python runs it: it is in every image that this reaches.
    static func fetch(from label: String) -> String {
        #"""
        #!/usr/bin/python3
        """Brings this machine's SSH host certificates from Hostler's metadata service. Made by its installation."""
        import os, re, subprocess, sys, tempfile, time, urllib.request

        VOLUME = "/dev/disk/by-label/\#(label)"
        URL = "http://169.254.169.254/hostler/v1/ssh-host-certificates"
        SSH = "/etc/ssh"
        # Refused until the installation has ended, which its call home brings about. After the last one the next day's start.
        PAUSES = [20 << count for count in range(8)]


        def key():
            if not os.path.exists(VOLUME):
                sys.exit("the volume with this machine's key is not there")
            with tempfile.TemporaryDirectory() as folder:
                # Anybody's stick may have this label: nothing on it may do more than be read.
                subprocess.run(["mount", "-t", "vfat", "-o", "ro,nosuid,nodev,noexec", VOLUME, folder], check=True)
                try:
                    with open(folder + "/hostler/key") as file:
                        text = file.read(200).strip()
                finally:
                    subprocess.run(["umount", folder], check=True)
            if not re.fullmatch("m-[0-9a-z]+[.][0-9a-f]{64}", text):
                sys.exit("what is on the volume is no key")
            return text


        def certificates(key):
            # No proxy: the address is of this link, and the key for nobody else.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            request = urllib.request.Request(URL, headers={"X-Hostler-Key": key})
            for pause in PAUSES + [None]:
                try:
                    return opener.open(request, timeout=20).read(1 << 20).decode().splitlines()
                except OSError as error:
                    if pause is None:
                        sys.exit(f"no certificates: {error}")
                    print(f"no certificates yet, asked again in {pause} s: {error}", flush=True)
                    time.sleep(pause)


        def write(path, text):
            with open(path + ".new", "w") as file:
                file.write(text)
            os.replace(path + ".new", path)


        def main():
            kinds = {"ssh-ed25519": "ed25519", "ecdsa-sha2": "ecdsa", "ssh-rsa": "rsa"}
            settings = ""
            for line in certificates(key()):
                kind = next((name for start, name in kinds.items() if line.startswith(start)), None)
                if kind and os.path.exists(f"{SSH}/ssh_host_{kind}_key"):
                    path = f"{SSH}/ssh_host_{kind}_key-cert.pub"
                    write(path, line + "\n")
                    settings += f"HostCertificate {path}\n"
            os.makedirs(SSH + "/sshd_config.d", exist_ok=True)
            write(SSH + "/sshd_config.d/60-hostler-host-certificates.conf", settings)
            # One that does not run, or is started by its socket, reads them when it starts.
            for unit in ("ssh.service", "sshd.service"):
                if subprocess.run(["systemctl", "is-active", "-q", unit]).returncode == 0:
                    subprocess.run(["systemctl", "reload-or-restart", unit], check=True)
                    break


        main()

        """#
    }

    private static let service = """
        [Unit]
        Description=SSH host certificates from Hostler
        Wants=network-online.target
        After=network-online.target

        [Service]
        Type=oneshot
        ExecStart=\(program)

        """

    private static let timer = """
        [Unit]
        Description=SSH host certificates from Hostler, each day

        [Timer]
        OnActiveSec=20
        OnUnitActiveSec=1d
        RandomizedDelaySec=10

        [Install]
        WantedBy=timers.target

        """
}
