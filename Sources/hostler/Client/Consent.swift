import API
import ArgumentParser
import FoundationEssentials
import Glibc
import Model
import NIOHTTP1
import Synchronization

/// For every verb that destroys, stops or forgets something.
struct ConsentOptions: ParsableArguments {
    @Flag(help: "Do not ask.") var yes = false
    @Flag(help: "Do nothing; show what would be lost.") var dryRun = false

    /// Asks the server what an order will cost, and then, where something is lost, the person.
    ///
    /// - Parameters:
    ///   - query: of the order.
    ///   - always: what is asked about although nothing is lost.
    /// - Returns: what the order's query carries beside its own; nil: it was a dry run, and is over.
    func ask(
        _ client: APIClient, _ method: HTTPMethod, _ path: String, query: [String: String?] = [:],
        body: (any Encodable & Sendable)? = nil, always: String? = nil, _ output: OutputOptions
    ) async throws -> [String: String?]? {
        let consequence = try await client.send(
            Consequence.self, method, path, query: query.merging(["dryRun": "true"]) { $1 }, body: body)
        if dryRun {
            try output.print(consequence) { Consent.text($0) }
            return nil
        }
        switch Consent.decide(consequence, isAsked: always != nil, yes: yes, isInteractive: Consent.isInteractive) {
        case .goOn: break
        case .tell: Terminal.writeError(Consent.text(consequence))
        case .ask: try Consent.prompt([always, Consent.text(consequence)].compactMap(\.self).joined(separator: "\n"))
        case .refuse: throw Consent.refused(Consent.text(consequence))
        }
        return ["confirm": consequence.confirmation]
    }
}

/// Asking a person before something is lost.
enum Consent {
    enum Decision { case goOn, tell, ask, refuse }

    /// - Parameter isAsked: it is asked about although nothing is lost.
    static func decide(_ consequence: Consequence, isAsked: Bool, yes: Bool, isInteractive: Bool) -> Decision {
        let isPlain = consequence.losses.isEmpty && consequence.warnings.isEmpty && consequence.waits == nil
        if isPlain, !isAsked { return .goOn }
        if yes { return isPlain ? .goOn : .tell }
        if isInteractive { return .ask }
        // A warning alone stops no script.
        return consequence.losses.isEmpty && !isAsked ? .tell : .refuse
    }

    /// Whether somebody is there to answer: both what is shown and what is typed go by the terminal.
    static var isInteractive: Bool { Terminal.standard.isInteractive && isatty(STDIN_FILENO) == 1 }

    static func text(_ consequence: Consequence) -> String {
        let name = consequence.name == consequence.target ? consequence.name : "\(consequence.name) (\(consequence.target))"
        var lines =
            consequence.losses.isEmpty
            ? ["Nothing is lost by \(consequence.act.gerund) \(name)."] : ["What is lost by \(consequence.act.gerund) \(name):"]
        lines += consequence.losses.map { "  " + $0.kind.rawValue.padded(to: 10) + $0.what }
        lines += consequence.warnings.map { "Warning: \($0.title)" + ($0.remedy.map { "\n  \($0)" } ?? "") }
        if let waits = consequence.waits { lines.append("It will wait for an admin's second word: \(waits.title).") }
        return lines.joined(separator: "\n")
    }

    static func refused(_ consequence: String) -> Problem {
        Problem("not-confirmed", title: "Nothing was done: nobody is there to ask", detail: consequence, remedy: "If that is wanted, give --yes.")
    }

    /// Asks; throws unless the answer is yes.
    static func prompt(_ consequence: String) throws(Problem) {
        Terminal.writeError(consequence)
        Terminal.write("Go on? [y/N] ", to: STDERR_FILENO)
        guard ["y", "yes"].contains(readLine()?.lowercased() ?? "") else {
            throw Problem("not-confirmed", title: "Nothing was done", remedy: "Answer y, or give --yes.")
        }
    }
}

/// Asks on a terminal; elsewhere `--yes` is needed.
func confirm(_ yes: Bool, _ consequence: String) throws(Problem) {
    if yes { return }
    guard Consent.isInteractive else { throw Consent.refused(consequence) }
    try Consent.prompt(consequence)
}

/// Says once in a command that the rack is frozen.
enum FreezeBanner {
    private static let isShown = Mutex(false)

    /// - Parameter encoded: the reason, as the server's header has it.
    static func show(_ encoded: String) {
        let isFirst = isShown.withLock { shown in
            defer { shown = true }
            return !shown
        }
        guard isFirst else { return }
        Terminal.writeError(Terminal.standardError.paint("❄ " + text(encoded), .yellow))
    }

    static func text(_ encoded: String) -> String {
        "The rack is frozen: \(encoded.percentDecoded ?? encoded). Nothing may change a machine; an admin ends it with: hostler thaw"
    }
}
