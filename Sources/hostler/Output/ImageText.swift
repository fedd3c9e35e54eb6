import Model

/// What an image is made for, as people read it.
enum ImageText {
    static func lines(_ facts: ImageFacts) -> [String] {
        guard facts.scheme != .none else { return ["table:   none that can be read: it cannot be installed"] }
        let starts = facts.firmware.map { $0 == .uefi ? "UEFI" : "BIOS" }.joined(separator: " and ")
        var lines = [
            "table:   \(facts.scheme.rawValue.uppercased()) for sectors of \(facts.sectorBytes) bytes"
                + (facts.hasFreeEntry ? "" : ", without a free entry for the first-boot data: it cannot be installed"),
            "used:    \(Quantity.bytes(facts.endBytes)), up to the end of its last partition",
            "starts:  " + (starts.isEmpty ? "by no firmware: it cannot be installed" : "by \(starts)"),
        ]
        if !facts.loaders.isEmpty { lines.append("loaders: " + facts.loaders.joined(separator: ", ")) }
        return lines
    }
}
