internal import FoundationEssentials
internal import Metadata

/// What brings a machine's SSH host certificates to it: a systemd timer in the installed system that asks the metadata
/// service for them once it has called home, and again every day, since they are good for thirty.
enum HostCertificateDelivery {
    private static let program = "/usr/local/sbin/hostler-host-certificates"
    private static let units = "/etc/systemd/system/hostler-host-certificates"

    /// A shell script that puts it there. Does nothing on a system without systemd or sshd.
    ///
    /// - Parameter starts: whether the timer starts now; else with the next start.
    static func script(starts: Bool) -> String {
        let files = [(program, "755", fetch), (units + ".service", "644", service), (units + ".timer", "644", timer)]
        var lines = ["#!/bin/sh", "[ -d /etc/systemd/system ] && [ -d /etc/ssh ] || exit 0"]
        lines += files.map { path, mode, text in
            "echo \(Data(text.utf8).base64EncodedString()) | base64 -d > \(path) && chmod \(mode) \(path)"
        }
        if starts { lines.append("systemctl daemon-reload") }
        lines.append("systemctl enable -q \(starts ? "--now " : "")hostler-host-certificates.timer")
        return lines.joined(separator: "\n") + "\n"
    }

    /// cloud-init's own Python does it: it is in every image that this reaches.
    private static let fetch = #"""
        #!/usr/bin/python3
        """Brings this machine's SSH host certificates from Hostler's metadata service. Made by its installation."""
        import os, subprocess, sys, tempfile, urllib.request

        labels = [f"/dev/disk/by-label/{label}" for label in ("CIDATA", "CONFIG-2")]
        volume = next((path for path in labels if os.path.exists(path)), None)
        if volume is None:
            sys.exit("the volume with this machine's key is not there")
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["mount", "-o", "ro", volume, folder], check=True)
            try:
                key = open(f"{folder}/hostler/key").read().strip()
            finally:
                subprocess.run(["umount", folder], check=True)
        request = urllib.request.Request(
            "http://169.254.169.254/hostler/v1/ssh-host-certificates", headers={"X-Hostler-Key": key})
        lines = urllib.request.urlopen(request, timeout=20).read().decode().splitlines()
        kinds = {"ssh-ed25519": "ed25519", "ecdsa-sha2": "ecdsa", "ssh-rsa": "rsa"}
        settings = []
        for line in lines:
            kind = next((name for start, name in kinds.items() if line.startswith(start)), None)
            if kind is None or not os.path.exists(f"/etc/ssh/ssh_host_{kind}_key"):
                continue
            path = f"/etc/ssh/ssh_host_{kind}_key-cert.pub"
            with open(path + ".new", "w") as file:
                file.write(line + "\n")
            os.replace(path + ".new", path)
            settings.append(f"HostCertificate {path}\n")
        os.makedirs("/etc/ssh/sshd_config.d", exist_ok=True)
        with open("/etc/ssh/sshd_config.d/60-hostler-host-certificates.conf", "w") as file:
            file.write("".join(settings))
        subprocess.run(["systemctl", "try-reload-or-restart", "ssh.service"], check=True)

        """#

    /// Refused until the installation has ended, which its call home brings about: it tries again.
    private static let service = """
        [Unit]
        Description=SSH host certificates from Hostler
        Wants=network-online.target
        After=network-online.target
        StartLimitIntervalSec=0

        [Service]
        Type=oneshot
        ExecStart=\(program)
        Restart=on-failure
        RestartSec=20

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
