import API
import ArgumentParser
import CLinux
import FoundationEssentials
import Glibc
import Model
import VirtualRack

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Check this host before anything else does, and say what is wrong with it.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Option(help: "Folder with vmlinuz, hostler-initrd.img and iPXE.") var bootFiles = "/usr/share/hostler/boot"
    @Option(help: "Configuration file, whose networks are asked for other DHCP servers.") var config: String?
    @Option(help: "Ask this interface's wire for DHCP servers, too.") var interface: [String] = []
    @Option(help: "Ask the wire of this lab, too.") var lab: String?

    func run() async throws {
        var findings = HostCheck(stateDirectory: connection.stateDir, bootFiles: bootFiles).findings()
        findings += recordFindings()
        findings += await wireFindings()
        findings += await serverFindings()
        try output.print(findings) { findings in
            findings.map { finding in
                let colour: Terminal.Colour = finding.level == .good ? .green : finding.level == .warning ? .yellow : .red
                let sign = finding.level == .good ? "✔" : finding.level == .warning ? "!" : "✘"
                let remedy = finding.remedy.map { "\n    remedy: \($0)" } ?? ""
                return Terminal.standard.paint(sign, colour) + " \(finding.what.padded(to: 22)) \(finding.found)\(remedy)"
            }.joined(separator: "\n")
        }
        if findings.contains(where: { $0.level == .bad }) { throw ExitCode(ExitStatus.failure.rawValue) }
    }

    /// The record on this host, and whether backups of it are taken.
    private func recordFindings() -> [HostCheck.Finding] {
        guard access(connection.stateDir + "/hostler.db", R_OK) == 0 else { return [] }
        var findings: [HostCheck.Finding] = []
        do {
            let report = try StoreCommand.look(connection.stateDir).report
            let wrong = report.faults + report.findings.map { "\($0.key): \($0.what)" }
            findings.append(
                wrong.isEmpty
                    ? .init(what: "record", level: .good, found: "sound, revision \(report.revision)")
                    : .init(what: "record", level: .bad, found: wrong.prefix(3).joined(separator: "; "), remedy: "hostler store check"))
        } catch {
            findings.append(.init(what: "record", level: .bad, found: Hostler.problem(of: error)?.title ?? "\(error)", remedy: "hostler store check"))
        }
        guard let file = try? ServerConfiguration.load(config) else { return findings }
        if let backup = file.backup {
            findings.append(HostCheck.Finding(what: "backups", level: .good, found: "every \(backup.hours) hours to \(backup.path)"))
        } else {
            findings.append(
                HostCheck.Finding(
                    what: "backups", level: .warning, found: "the server takes none by itself",
                    remedy: "Write backup: into the configuration (docs/backup.md), or take them by hand and ignore this."))
        }
        return findings
    }

    /// Who else answers on the wires that are to be served.
    private func wireFindings() async -> [HostCheck.Finding] {
        var wires = interface.map { WireCheck(interface: $0) }
        do {
            wires += try (ServerConfiguration.load(config).networks ?? []).map { WireCheck(try $0.bootNetwork()) }
            if let lab { wires.append(WireCheck(interface: "rack0", namespace: try LabName(lab).namespace)) }
        } catch {
            let problem = error as? Problem
            return [.init(what: "configuration", level: .bad, found: problem?.title ?? "\(error)", remedy: problem?.remedy)]
        }
        var findings: [HostCheck.Finding] = []
        for wire in wires { findings += await wire.findings() }
        return findings
    }

    /// What a running server knows, as another DHCP server on the wire.
    private func serverFindings() async -> [HostCheck.Finding] {
        guard let saved = try? connection.resolve() else { return [] }
        do {
            let status = try await APIClient.with(saved) { try await $0.get(StatusReply.self, "/v1/status") }
            let running = HostCheck.Finding(what: "server", level: .good, found: "\(saved.server) runs, Hostler \(status.version)")
            return [running] + status.warnings.map { HostCheck.Finding(what: $0.code, level: .warning, found: $0.title, remedy: $0.remedy) }
        } catch {
            let problem = error as? Problem
            return [.init(what: "server", level: .warning, found: problem?.title ?? "\(error)", remedy: problem?.remedy)]
        }
    }
}

/// What a host must have to serve machines or to run a lab.
struct HostCheck {
    struct Finding: Encodable {
        enum Level: String, Encodable { case good, warning, bad }
        var what: String
        var level: Level
        var found: String
        var remedy: String?
    }

    var stateDirectory: String
    var bootFiles: String
    static let minimumStateBytes: Int64 = 5 << 30

    func findings() -> [Finding] {
        [root(), file("network namespaces", "/proc/self/ns/net", "Use a kernel with CONFIG_NET_NS."), tun(), sandbox()]
            + tools() + files() + [port(67, "DHCP"), port(69, "TFTP"), port(8080, "HTTP boot", isStream: true), room()]
            + ClockCheck(stateDirectory: stateDirectory).findings()
    }

    private func root() -> Finding {
        geteuid() == 0
            ? Finding(what: "root", level: .good, found: "yes")
            : Finding(
                what: "root", level: .warning, found: "no: labs, and a server that is started by hand, need it",
                remedy: "Run it with sudo; the systemd unit needs no root.")
    }

    private func file(_ what: String, _ path: String, _ remedy: String, isNeeded: Bool = true) -> Finding {
        access(path, F_OK) == 0
            ? Finding(what: what, level: .good, found: path)
            : Finding(what: what, level: isNeeded ? .bad : .warning, found: "there is no \(path)", remedy: remedy)
    }

    private func tun() -> Finding {
        file("tap devices", "/dev/net/tun", "modprobe tun; only labs need it.", isNeeded: false)
    }

    private func sandbox() -> Finding {
        let version = clinux_landlock_abi()
        return version > 0
            ? Finding(what: "Landlock", level: .good, found: "ABI \(version)")
            : Finding(
                what: "Landlock", level: .warning, found: "missing: foreign images are read without its walls around files",
                remedy: "Linux 5.13 or newer, with landlock in its list of security modules (lsm=). See docs/security-hardening.md.")
    }

    private func tools() -> [Finding] {
        let wanted = [
            ("ip", "iproute2", "labs and ssh through them"), ("qemu-system-x86_64", "qemu-system-x86", "labs"),
            ("qemu-img", "qemu-utils", "qcow2 images"), ("mmdebstrap", "mmdebstrap", "hostler image build"),
            ("ssh", "openssh-client", "hostler machine ssh"),
        ]
        let folders = (Environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin").split(separator: ":")
        return wanted.map { name, package, use in
            if let folder = folders.first(where: { access("\($0)/\(name)", X_OK) == 0 }) {
                return Finding(what: name, level: .good, found: "\(folder)/\(name)")
            }
            return Finding(what: name, level: .warning, found: "missing; needed for \(use)", remedy: "apt install \(package)")
        }
    }

    private func files() -> [Finding] {
        ["vmlinuz", "hostler-initrd.img"].map {
            file($0, "\(bootFiles)/\($0)", "Build the boot files with `make boot-files`, and name their folder with --boot-files.", isNeeded: false)
        } + [file("iPXE", "/usr/lib/ipxe/undionly.kpxe", "apt install ipxe", isNeeded: false)]
    }

    /// Whether the port is free on all addresses of this host.
    private func port(_ number: UInt16, _ use: String, isStream: Bool = false) -> Finding {
        let kind = isStream ? SOCK_STREAM : SOCK_DGRAM
        let what = "port \(number)"
        let handle = socket(AF_INET, Int32(kind.rawValue), 0)
        guard handle >= 0 else { return Finding(what: what, level: .warning, found: "no socket can be made") }
        defer { close(handle) }
        var one: Int32 = 1
        if isStream { setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size)) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = number.bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(handle, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        if result == 0 { return Finding(what: what, level: .good, found: "free for \(use)") }
        return Finding(
            what: what, level: .warning, found: "\(use) cannot have it: \(String(cString: strerror(errno)))",
            remedy: "See who has it: ss -lnp | grep :\(number)   (a running Hostler may be the one)")
    }

    private func room() -> Finding {
        var path = stateDirectory
        while access(path, F_OK) != 0, let slash = path.lastIndex(of: "/"), slash != path.startIndex { path = String(path[..<slash]) }
        var facts = statvfs()
        guard statvfs(path, &facts) == 0 else {
            return Finding(what: "disk space", level: .bad, found: "\(path) cannot be looked at", remedy: "Check --state-dir.")
        }
        let free = Int64(clamping: facts.f_bavail) * Int64(clamping: facts.f_frsize)
        let text = "\(Quantity.bytes(free)) free for \(stateDirectory)"
        return free >= Self.minimumStateBytes
            ? Finding(what: "disk space", level: .good, found: text)
            : Finding(what: "disk space", level: .warning, found: text, remedy: "Images need some GiB each; give it more room.")
    }
}
