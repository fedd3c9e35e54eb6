import Model
internal import Wire

/// What went wrong, why, what to do about it, and its code.
enum ProblemText {
    static func text(_ problem: Problem, terminal: Terminal) -> String {
        var text = terminal.paint("✘ \(PrintableText.line(problem.title))", .red)
        if let detail = problem.detail { text += "\n  why:    \(PrintableText.lines(detail))" }
        if let remedy = problem.remedy { text += "\n  remedy: \(PrintableText.lines(remedy))" }
        return text + "\n  code:   \(PrintableText.line(problem.code))"
    }
}
