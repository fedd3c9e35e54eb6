internal import Wire

/// Rows of text in columns that line up, whatever script they are in.
struct Table {
    private var rows: [[String]]
    private let columnCount: Int

    init(_ heading: [String]) {
        rows = [heading]
        columnCount = heading.count
    }

    mutating func add(_ row: [String?]) {
        let texts = row.map { $0.flatMap { $0.isEmpty ? nil : $0 } ?? "-" }
        rows.append(Array((texts + Array(repeating: "-", count: columnCount)).prefix(columnCount)))
    }

    func text(terminal: Terminal) -> String {
        let cleaned = rows.map { $0.map(Self.printable) }
        let widths = (0..<columnCount).map { column in cleaned.map { $0[column].columns }.max() ?? 0 }
        return cleaned.enumerated().map { index, row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                if column < columnCount - 1 { line += String(repeating: " ", count: widths[column] - cell.columns + 2) }
            }
            return index == 0 ? terminal.paint(line, .bold) : line
        }.joined(separator: "\n")
    }

    /// One line; what came from a machine may not move the cursor.
    static func printable(_ text: String) -> String { PrintableText.line(text) }
}

extension String {
    /// How many columns of a terminal it takes.
    var columns: Int { reduce(0) { $0 + $1.columns } }

    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - columns)) }
}

extension Character {
    /// 2 for emoji and for East Asian wide characters (UAX #11), else 1; 0 for lone marks.
    var columns: Int {
        guard let first = unicodeScalars.first else { return 0 }
        if unicodeScalars.contains("\u{fe0f}") || first.properties.isEmojiPresentation { return 2 }
        switch first.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: return Self.wide.contains { $0.contains(first.value) } ? 2 : 1
        }
    }

    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF,
        0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F,
        0x1F900...0x1F9FF, 0x20000...0x3FFFD,
    ]
}
