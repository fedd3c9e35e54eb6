import ArgumentParser
import FoundationEssentials
import Logging
import Model
import Store

struct StoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store", abstract: "Look whether the record on this host is sound, and take out what is not.",
        subcommands: [Check.self, Repair.self])

    /// What a look through the record found.
    struct Report: Encodable {
        var path: String
        var revision: Int64
        var mark: Int64?
        /// What is wrong with the file, or with what is missing from it.
        var faults: [String]
        var findings: [RecordCheck.Finding]
        var counts: [String: Int]

        var isSound: Bool { faults.isEmpty && findings.isEmpty }
    }

    /// Looks as the owner of the state directory, while a server runs on it or not.
    static func look(_ stateDirectory: String) throws -> (report: Report, check: RecordCheck, values: [String: StoredValue]) {
        let path = stateDirectory + "/hostler.db"
        return try StateOwner.acting(for: stateDirectory) {
            var check = RecordCheck(seal: try ServerKeys(stateDirectory: stateDirectory).seal.sealingKey())
            var kept: [String: StoredValue] = [:]
            let inspection = try SQLiteStore.inspect(path: path) { stored in
                let before = check.findings.count
                check.add(stored)
                if check.findings.count > before { kept[stored.key] = stored }
            }
            check.finish()
            var faults = inspection.faults.map { "the file is damaged: \($0)" }
            if let loss = inspection.loss {
                faults.append("\(loss.count) acknowledged changes are not in the database any more: revisions \(loss.first) to \(loss.last)")
            }
            if inspection.isMarkDamaged { faults.append("the high-water mark, \(path).mark, cannot be read: a loss would not be seen") }
            if check.seal == nil { faults.append("there is no seal.key in \(stateDirectory): secrets were not looked at") }
            if check.isSealForeign {
                faults.append("the secrets were not sealed with the seal.key in \(stateDirectory): they were not looked at")
            }
            let report = Report(
                path: path, revision: inspection.revision.rawValue, mark: inspection.mark?.rawValue, faults: faults, findings: check.findings,
                counts: check.counts)
            return (report, check, kept)
        }
    }

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check the record: the file, every record in it, what they refer to, and whether acknowledged changes are missing.",
            discussion: "Changes nothing, and may be used while the server runs. Ends with 0 where all is sound, else with 1.")
        @Option(help: "The server's state directory. Else $HOSTLER_STATE_DIR.") var stateDir = StateDirectory.standard
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let report = try StoreCommand.look(stateDir).report
            try output.print(report) { StoreCommand.text($0) }
            if !report.isSound { throw ExitCode(ExitStatus.failure.rawValue) }
        }
    }

    static func text(_ report: Report) -> String {
        var lines = report.faults.map { "✘ \($0)" }
        lines += report.findings.map { "✘ \($0.key): \($0.what)" }
        let counts = report.counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        lines.append("\(report.path): revision \(report.revision)\(report.mark.map { ", mark \($0)" } ?? ", no mark yet"); readable: \(counts)")
        if report.isSound {
            lines.append("all is sound")
        } else if report.findings.contains(where: \.isDamaged) {
            lines.append("Restore a backup, or take out what cannot be read, with the server stopped: hostler store repair")
        } else if !report.faults.isEmpty {
            let isOfTheKey = report.faults.allSatisfy { $0.contains("seal.key") }
            lines.append(
                isOfTheKey
                    ? "Put the record's seal.key back, or restore a backup that has it: hostler restore FILE --passphrase-file FILE"
                    : "Restore the newest backup: hostler restore FILE")
        }
        return lines.joined(separator: "\n")
    }

    struct Repair: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take records that cannot be read out of the state, into a file beside it. The server must not run.",
            discussion: """
                Nothing is deleted that is not in that file. A machine that is taken out comes back into the record when it boots; its \
                system is known again by the marker on its disk. Take a backup first: hostler backup --offline FILE.
                """)
        @Option(help: "The server's state directory. Else $HOSTLER_STATE_DIR.") var stateDir = StateDirectory.standard
        @Flag(help: "Do not ask.") var yes = false

        func run() async throws {
            let (report, check, kept) = try StoreCommand.look(stateDir)
            guard !report.faults.contains(where: { $0.hasPrefix("the file is damaged") }) else {
                throw Problem(
                    "store-damaged", status: 500, title: "The file \(report.path) itself is damaged", detail: report.faults.first,
                    remedy: "Restore the newest backup: hostler restore FILE. The damaged file is kept beside it.")
            }
            // What cannot be judged is not taken out.
            let seal = ServerKeys(stateDirectory: stateDir).seal
            if check.seal == nil, report.counts[RecordCheck.unseen] != nil { throw SealedStore.missing(seal) }
            if check.isSealForeign { throw SealedStore.wrong(seal) }
            let damaged = report.findings.filter(\.isDamaged)
            guard !damaged.isEmpty else {
                print(StoreCommand.text(report))
                return print("There is nothing to take out.")
            }
            let damagedKeys = Set(damaged.map(\.key))
            let operations = check.operations(ofDamagedMachines: damagedKeys)
            let also = (operations + check.belongings(of: damagedKeys.union(operations))).filter { !damagedKeys.contains($0) }
            for finding in damaged { print("\(finding.key): \(finding.what)") }
            for key in also { print("\(key): what it belongs to goes, and it with it") }
            try confirm(yes, "\(damaged.count + also.count) records will be taken out of the state in \(stateDir).")
            try StateOwner.become(of: stateDir)
            let now = Timestamp.now
            let logger = Logger(label: "hostler") { _ in SwiftLogNoOpLogHandler() }
            let store = try SQLiteStore(path: report.path, logger: logger)
            if let loss = store.loss {
                print("\(loss.count) acknowledged changes are not in the database any more: revisions \(loss.first) to \(loss.last)")
            }
            do {
                let path = SetAsideFile.path(in: stateDir, at: now)
                var lines: [SetAsideFile.Line] = []
                for (key, why) in damaged.map({ ($0.key, $0.what) }) + also.map({ ($0, "what it belongs to was taken out") }) {
                    guard let stored = try kept[key] ?? current(key, in: report.path) else { continue }
                    lines.append(
                        .init(key: key, revision: stored.modifiedRevision.rawValue, why: why, value: Data(stored.value).base64EncodedString()))
                }
                try SetAsideFile.write(lines, to: path)
                try await store.setAside(
                    lines.map(\.key), beginsNewLife: lines.contains { $0.key.hasPrefix("/rack/") || SecretKeys.contains($0.key) },
                    atMilliseconds: now.milliseconds)
                try await store.close()
                print("\(lines.count) records were taken out; they are in \(path)")
                for bmc in check.bmcs(ofMachines: damagedKeys) {
                    print("\(bmc.id) is bound to a machine that was taken out. Once the server runs: hostler bmc unbind \(bmc.id)")
                }
            } catch {
                try? await store.close()
                throw error
            }
        }

        private func current(_ key: String, in path: String) throws -> StoredValue? {
            var found: StoredValue?
            _ = try SQLiteStore.inspect(path: path) { if $0.key == key { found = $0 } }
            return found
        }
    }
}
