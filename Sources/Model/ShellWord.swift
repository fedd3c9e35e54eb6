/// Text as one word of a shell's command line, for commands that people are to copy.
public enum ShellWord {
    /// `text`, in single quotes where a shell would read it otherwise (POSIX.1-2017, Shell §2.2).
    public static func quoted(_ text: String) -> String {
        if !text.isEmpty, text.utf8.allSatisfy(isPlain) { return text }
        return "'" + text.replacing("'", with: #"'\''"#) + "'"
    }

    /// An option and its value; a value with a dash in front would be taken for another option.
    public static func option(_ name: String, _ value: String) -> String {
        value.hasPrefix("-") ? "\(name)=\(quoted(value))" : "\(name) \(quoted(value))"
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: "@%_+=:,./-".utf8.contains(byte)
        }
    }
}
