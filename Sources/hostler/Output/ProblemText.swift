import Model
internal import Wire

/// What went wrong, why, what to do about it, and its code.
enum ProblemText {
    static func text(_ problem: Problem, terminal: Terminal) -> String {
        var text = terminal.paint("✘ \(PrintableText.line(problem.title))", .red)
        if let detail = problem.detail { text += "\n  why:    \(indented(detail))" }
        if let remedy = problem.remedy { text += "\n  remedy: \(indented(remedy))" }
        return text + "\n  code:   \(PrintableText.line(problem.code))"
    }

    /// A text of several lines may be a machine's: none of its lines stands where our own begin.
    private static func indented(_ text: String) -> String {
        PrintableText.lines(text).split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).joined(separator: "\n          ")
    }
}
