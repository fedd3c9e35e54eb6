import Model

/// What went wrong, why, what to do about it, and its code.
enum ProblemText {
    static func text(_ problem: Problem, terminal: Terminal) -> String {
        var text = terminal.paint("✘ \(problem.title)", .red)
        if let detail = problem.detail { text += "\n  why:    \(detail)" }
        if let remedy = problem.remedy { text += "\n  remedy: \(remedy)" }
        return text + "\n  code:   \(problem.code)"
    }
}
