import Foundation
import Model
import Testing

@testable import Control

@Suite("The program that calls home")
struct CallHomeProgramTests {
    private static let settings = "/etc/hostler/call-home.settings"

    static let shells: [[String]] = [["/usr/bin/dash"], ["/usr/bin/bash"], ["/usr/bin/bash", "--posix"], ["/usr/bin/busybox", "ash"]]

    @Test(
        "says who it is with a code that the server can check, and takes itself away once that is acknowledged",
        arguments: shells, ["curl", "wget", "python3", "bash"])
    func speaks(_ shell: [String], _ client: String) throws {
        var harness = CallHomeHarness()
        // busybox takes its own wget before all others. Debian 12's ends with a segmentation fault where the body has more than one
        // line; then another has its turn.
        let isBusybox = shell[0].hasSuffix("busybox")
        harness.shell = shell
        harness.programs = [client, "sha256sum"] + (isBusybox && client == "wget" ? ["python3"] : [])
        harness.pauses = isBusybox ? 6 : 3
        let run = try harness.run()
        #expect(run.status == 0 && run.install == "", "\(run.said) \(run.install)")
        #expect(run.modes == [Self.settings: "0o600", "/etc/hostler": "0o700"])
        let asked = try #require(run.asked.first)
        #expect(run.asked.count == 1 && asked.path == "/call-home/\(CallHomeHarness.operation)" && asked.type == "text/plain")
        let message = try CallHomeMessage(parsing: Array(asked.body.utf8))
        #expect(message.code == CallHomeHarness.key.code(message.text))
        #expect(message.operation == CallHomeHarness.operation && message.instance == "op-7f3k2q9a" && message.cloudInit == "finished")
        #expect(message.hostKeys == ["ssh-ed25519 AAAA+/ed25519==", "ssh-rsa AAAA+/rsa=="])
        // The key has left the machine in no request and in no list of processes, and is not there any more.
        #expect(!asked.hasKey && !run.isKeyInArguments && !run.vendorLeft)
        #expect(run.left.isEmpty, "\(run.left)")
        #expect(run.systemctl == ["daemon-reload", "enable -q hostler-call-home.service", "disable -q hostler-call-home.service"])
    }

    @Test(
        "goes on after every answer but its own server's, each time with another nonce, ever more seldom",
        arguments: ["curl", "wget", "python3", "bash"])
    func insists(_ client: String) throws {
        var harness = CallHomeHarness()
        harness.programs = [client, "sha256sum"]
        harness.answers = ["500", "409", "403", "close", "hang", "welcome", "forged", "replayed", "page", "binary", "acknowledged"]
        let run = try harness.run()
        #expect(run.status == 0 && run.asked.count == harness.answers.count, "\(run.said)")
        #expect(run.asked.allSatisfy { $0.isSigned && !$0.hasKey } && Set(run.asked.map(\.nonce)).count == run.asked.count)
        for (number, pause) in run.pauses.enumerated() {
            let step = min(300, 8 << number)
            #expect((step / 2...step).contains(pause), "pause \(number) is \(pause)")
        }
    }

    @Test("goes on for days while the server is away, half an hour apart at most, and is heard when it is back")
    func days() throws {
        var harness = CallHomeHarness()
        harness.start = []
        harness.pauses = 200
        harness.happenings = ["100": ["up 127.0.0.1"]]
        let run = try harness.run()
        #expect(run.status == 0 && run.asked.count == 1 && run.pauses.count == 101, "\(run.said)")
        #expect(run.pauses.reduce(0, +) > 86_400 / 2 && run.pauses.allSatisfy { $0 <= 1800 })
        // A rack does not ask at one moment.
        #expect(Set(run.pauses.suffix(30)).count > 15)
    }

    @Test("a server that has other work of later on the record ends the calls; nobody else's word does")
    func superseded() throws {
        var harness = CallHomeHarness()
        harness.answers = ["superseded"]
        let run = try harness.run()
        #expect(run.status == 0 && run.asked.count == 1 && run.left.isEmpty)
        harness.answers = ["forged"]
        harness.pauses = 5
        let other = try harness.run()
        #expect(other.status == -9 && other.left.contains(Self.settings) && other.asked.count == 5)
    }

    static let ways = [
        "write /run/systemd/netif/leases/2 SERVER_ADDRESS=127.0.0.2",
        "write /var/lib/NetworkManager/internal-1-eth0.lease SERVER_ADDRESS=127.0.0.2",
        "write /var/lib/dhcp/dhclient.eth0.leases   option dhcp-server-identifier 127.0.0.2;",
        "write /proc/net/route eth0\tFEA9FEA9\t0200007F\t0007\t0",
        "write /etc/hostler/servers 127.0.0.2:PORT", "write /etc/hostler/servers 127.0.0.2",
    ]

    @Test("finds a server that has another address now", arguments: ways)
    func moved(_ way: String) throws {
        var harness = CallHomeHarness()
        harness.answers = ["500", "acknowledged"]
        harness.pauses = 8
        harness.happenings = ["0": ["down 127.0.0.1", "up 127.0.0.2"], "2": [way]]
        let run = try harness.run()
        #expect(run.status == 0 && run.asked.map(\.host) == ["127.0.0.1", "127.0.0.2"], "\(run.said)")
        #expect(run.pauses.count == 3 && run.left == (way.contains("servers") ? ["/etc/hostler/servers"] : []))
    }

    @Test(
        "what is written in a lease is an address or nothing",
        arguments: ["$(touch x)", "`id`:80", "-o/etc/passwd", ";reboot", "0.0.0.0", "127.0.0.2/..#"])
    func hostile(_ text: String) throws {
        var harness = CallHomeHarness()
        harness.answers = ["500"]
        harness.pauses = 3
        harness.happenings = [
            "0": ["up 127.0.0.2", "write /etc/hostler/servers \(text)", "write /run/systemd/netif/leases/2 SERVER_ADDRESS=\(text)"]
        ]
        let run = try harness.run()
        #expect(run.status == -9 && Set(run.asked.map(\.host)) == ["127.0.0.1"] && run.asked.count == 3, "\(run.said)")
    }

    @Test("a client that does not work is passed over")
    func brokenClient() throws {
        var harness = CallHomeHarness()
        harness.programs = ["bash", "sha256sum"]
        harness.broken = ["curl", "wget", "python3"]
        let run = try harness.run()
        #expect(run.status == 0 && run.asked.count == 1 && run.pauses.count == 3, "\(run.said)")
    }

    @Test("without sha256sum the code is made by what there is", arguments: ["openssl", "python3"])
    func otherHash(_ program: String) throws {
        var harness = CallHomeHarness()
        harness.programs = ["curl", program]
        let run = try harness.run()
        #expect(run.status == 0 && run.asked.map(\.isSigned) == [true], "\(run.said)")
    }

    @Test("waits until cloud-init has done what the user wanted")
    func waitsForCloudInit() throws {
        var harness = CallHomeHarness()
        harness.isFinished = false
        harness.happenings = ["5": ["finish"]]
        let run = try harness.run()
        #expect(run.status == 0 && run.pauses == [5, 5, 5, 5, 5, 5] && run.asked.count == 1)
        #expect(run.asked.first?.body.contains("\ncloud-init finished\n") == true)
        // What never ends is told of as it is.
        harness.happenings = [:]
        harness.pauses = 400
        let hung = try harness.run()
        #expect(hung.status == 0 && hung.pauses.reduce(0, +) == 1500 && hung.asked.first?.body.contains("\ncloud-init not finished\n") == true)
    }

    @Test("where there is no systemd, cloud-init starts it each time")
    func withoutSystemd() throws {
        var harness = CallHomeHarness()
        harness.folders = []
        let run = try harness.run()
        #expect(run.status == 0 && run.asked.count == 1 && run.left.isEmpty && run.systemctl.isEmpty)
        harness.answers = ["500"]
        harness.pauses = 1
        #expect(
            try harness.run().left == ["/etc/hostler/call-home", Self.settings, "/var/lib/cloud/scripts/per-boot/hostler-call-home"])
    }
}
