internal import FoundationEssentials
internal import Model

/// What brings ``CallHomeProgram`` into an installed system and has it run at each start until it has done its work: a systemd
/// unit, and where there is no systemd, cloud-init's own folder of what runs at each start.
struct CallHomeDelivery: Sendable {
    let operation: OperationID
    let key: CallHomeKey
    /// `host:port`, where the server is when the system is installed.
    let server: String

    private static let program = "/etc/hostler/call-home"
    private static let name = "hostler-call-home"

    /// - Parameter base: `http://address:port` of the server as the machine reaches it.
    init(operation: OperationID, key: CallHomeKey, base: String) {
        self.operation = operation
        self.key = key
        server = String(base.drop { $0 != "/" }.drop { $0 == "/" }.prefix { $0 != "/" })
    }

    /// A shell script that puts it there.
    ///
    /// - Parameter starts: whether it runs now; else with the next start.
    func script(starts: Bool) -> String {
        let unit = "$root/etc/systemd/system/\(Self.name).service"
        let perBoot = "$root/var/lib/cloud/scripts/per-boot"
        return """
            #!/bin/sh
            # Has this system tell Hostler that it is up, at each start until Hostler has acknowledged it.
            umask 077
            root=${1:-}
            mkdir -p "$root/etc/hostler" || exit 0
            echo \(base64(CallHomeProgram.text + "\n")) | base64 -d > "$root\(Self.program)" || exit 0
            cat > "$root\(Self.program).settings" <<END
            OPERATION=\(operation)
            KEY=\(key.hex)
            SERVERS='\(server)'
            PORT=\(server.split(separator: ":").last ?? "8080")
            END
            if [ -d "$root/run/systemd/system" ]; then
                echo \(base64(Self.unit)) | base64 -d > "\(unit)" && chmod 644 "\(unit)"
                systemctl daemon-reload
                systemctl enable -q \(Self.name).service\(starts ? "\n    systemctl start --no-block \(Self.name).service" : "")
            else
                mkdir -p "\(perBoot)"
                echo \(base64(Self.launcher)) | base64 -d > "\(perBoot)/\(Self.name)" && chmod 755 "\(perBoot)/\(Self.name)"\
            \(starts ? "\n    sh \"\(perBoot)/\(Self.name)\" \"$root\"" : "")
            fi
            # The key is in this script, too, and cloud-init runs it once.
            case $0 in */scripts/vendor/*) rm -f "$0" ;; esac

            """
    }

    private func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }

    // Not after cloud-final.service, which some distributions start after multi-user.target: that would be a cycle. The program
    // waits for cloud-init itself.
    private static let unit = """
        [Unit]
        Description=Tells Hostler that this system is up, until Hostler has acknowledged it
        ConditionPathExists=\(program).settings
        StartLimitIntervalSec=0

        [Service]
        ExecStart=/bin/sh \(program)
        Restart=on-failure
        RestartSec=60
        UMask=0077

        [Install]
        WantedBy=multi-user.target

        """

    private static let launcher = """
        #!/bin/sh
        [ -f "${1:-}\(program).settings" ] && sh "${1:-}\(program)" "${1:-}" >/dev/null 2>&1 </dev/null &
        exit 0

        """
}
