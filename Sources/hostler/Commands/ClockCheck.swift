import API
import FoundationEssentials
import Glibc
import Model

/// Whether this host's clock can be right, and what was made while it was not.
struct ClockCheck {
    var stateDirectory: String
    var now = Timestamp.now
    /// What shows that a time service keeps the clock: systemd-timesyncd leaves the first once it has the time, chronyd the others
    /// while it runs.
    var signs = ["/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/run/chronyd.pid", "/run/ntpd.pid"]
    /// 2025-01-01: no clock that is right says less.
    static let earliest = Timestamp(milliseconds: 1_735_689_600_000)
    /// A file may be written between two looks at the clock.
    static let patience = Duration.seconds(60)

    func findings() -> [HostCheck.Finding] {
        if now < Self.earliest {
            return [.init(what: "clock", level: .bad, found: "it says \(now)", remedy: "Set it: timedatectl set-ntp true")]
        }
        if let newest = newestFile(), newest - now > Self.patience {
            return [
                .init(
                    what: "clock", level: .bad, found: "it says \(now), and in \(stateDirectory) is a file of \(newest)",
                    remedy: "It was set back, or was ahead when the file was written. See that it is right now: timedatectl")
            ] + certificates()
        }
        let kept: HostCheck.Finding =
            signs.contains { access($0, F_OK) == 0 }
            ? .init(what: "clock", level: .good, found: "kept by a time service")
            : .init(what: "clock", level: .warning, found: "no time service keeps it", remedy: "timedatectl set-ntp true, or install chrony")
        return [kept] + certificates()
    }

    /// When the newest of the files that the server writes all the time was written.
    private func newestFile() -> Timestamp? {
        ["hostler.db", "hostler.db-wal"].compactMap { name in
            var facts = stat()
            guard stat("\(stateDirectory)/\(name)", &facts) == 0 else { return nil }
            return Timestamp.first + .seconds(facts.st_mtim.tv_sec)
        }.max()
    }

    /// The server makes them anew at its next start; until then clients refuse it.
    private func certificates() -> [HostCheck.Finding] {
        ["ca.pem", "server.pem"].compactMap { name in
            let path = "\(stateDirectory)/tls/\(name)"
            guard let pem = FileManager.default.contents(atPath: path),
                let dates = try? CertificateAuthority.dates(ofPEM: String(decoding: pem, as: UTF8.self))
            else { return nil }
            let (begins, ends) = (Self.moment(dates.begins), Self.moment(dates.ends))
            guard now < begins || now >= ends else { return nil }
            return .init(
                what: "certificate \(name)", level: .bad, found: "good from \(begins) to \(ends), and now it is \(now)",
                remedy: "If the clock is right now, restart the server: it makes it anew.")
        }
    }

    private static func moment(_ date: Date) -> Timestamp { .first + .seconds(Int64(clamping: Int(date.timeIntervalSince1970))) }
}
