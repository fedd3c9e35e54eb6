/// Why a text may not go into an iPXE script.
public enum IPXEScriptError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A character or sequence that iPXE would take for its own syntax, or could not show.
    case unsafeText(String, found: String)
    case badURL(String)
    case tooLong(bytes: Int, limit: Int)

    public var description: String {
        switch self {
        case .unsafeText(let text, let found): "text for an iPXE script has \(found) in it: \(text.debugDescription)"
        case .badURL(let text): "not a URL for an iPXE script: \(text.debugDescription)"
        case .tooLong(let bytes, let limit): "text for an iPXE script of \(bytes) bytes; at most \(limit)"
        }
    }
}

/// What a machine's iPXE is told to do, as the script that tells it.
///
/// Only commands that iPXE had in 2019 are used: that is what Debian 12's
/// `ipxe` package and the ROMs of its QEMU have. No script ends in iPXE's
/// shell: whoever stands at the console of a machine must not get one.
public enum IPXEScript: Equatable, Sendable {
    public enum Platform: Equatable, Sendable { case bios, efi }

    /// What becomes of a machine whose agent could not be fetched or started.
    public enum AgentFailure: Equatable, Sendable {
        /// It waits, and asks for its script at `url` again, as the answer may be another by then.
        case retry(url: String)
        /// Its firmware goes on with its own boot order: nobody knows yet whose machine it is.
        case leave(Platform)
    }

    /// Load a kernel and its ramdisks and start it.
    case agent(kernelURL: String, initrdURLs: [String], commandLine: String, onFailure: AgentFailure)
    /// Go on with what is on the machine's own disk.
    case localDisk(Platform)
    /// Start the UEFI program at `loaderURL`, which starts the disk's own loader.
    case diskLoader(loaderURL: String)
    /// Say why, and hand back to the firmware, which tries what comes next in its boot order.
    case leave(reason: String, Platform)
    /// Start the program at `programURL`, which starts the disk with the machine's system. It only returns where the BIOS shows no
    /// such disk: `missingURL` is asked then. When a fetch fails, `retryURL` is asked, where this script came from: no disk is
    /// started whose system is not known. Nil: the machine has one disk only, which is started without a server, too.
    case markedDisk(programURL: String, missingURL: String, retryURL: String?)
    /// Say why nothing is booted, wait, ask again.
    case refuse(reason: String, retryURL: String, seconds: Int)

    /// The longest command line in bytes: x86 Linux takes 2,048, and the names of the ramdisks come on top.
    public static let maximumCommandLineBytes = 1900
    /// Between a failed fetch and the next try.
    public static let retrySeconds = 5

    /// The script's text; ends with a newline.
    public func render() throws(IPXEScriptError) -> String {
        let lines: [String]
        switch self {
        case .agent(let kernel, let initrds, let commandLine, let failure):
            lines = try Self.agent(kernel, initrds, commandLine, failure)
        case .localDisk(.bios):
            // INT 13h drive 0x80 is the first disk. --no-describe: no iBFT for a disk that is no SAN's. It only
            // returns if that fails; 0 then hands back to the BIOS, which tries its next boot device.
            lines = ["echo Hostler: booting the local disk", "sanboot --no-describe --drive 0x80 || exit 0"]
        case .localDisk(.efi):
            // A UEFI boot manager goes on to the next boot option only if this one failed; after a success it
            // opens its menu (UEFI 2.10 §3.1.1). So the network entry "fails" and the disk's comes next.
            lines = ["echo Hostler: booting the next boot entry", "exit 1"]
        case .diskLoader(let loader):
            lines = ["echo Hostler: booting the local disk", "chain \(try Self.url(loader)) || exit 1"]
        case .leave(let reason, let platform):
            lines = ["echo Hostler: \(try Self.text(reason))", Self.exit(platform)]
        case .markedDisk(let program, let missing, let retry):
            let failed = retry == nil ? "goto only" : "goto retry"
            let onFailure = try retry.map { url throws(IPXEScriptError) in Self.again(try Self.url(url), Self.retrySeconds) }
            lines =
                [
                    "echo Hostler: looking for the disk with the system of this machine", "imgfree ||",
                    "imgfetch --name local-disk \(try Self.url(program)) || \(failed)", "imgexec local-disk ||", "imgfree ||",
                    "chain --replace --autofree \(try Self.url(missing)) || \(failed)",
                ] + (onFailure ?? [":only", "sanboot --no-describe --drive 0x80 || exit 0"])
        case .refuse(let reason, let retry, let seconds):
            lines = ["echo Hostler: \(try Self.text(reason))"] + Self.again(try Self.url(retry), max(1, seconds))
        }
        return (["#!ipxe"] + lines).joined(separator: "\n") + "\n"
    }

    private static func agent(
        _ kernel: String, _ initrds: [String], _ commandLine: String, _ failure: AgentFailure
    ) throws(IPXEScriptError) -> [String] {
        guard commandLine.utf8.count <= maximumCommandLineBytes else {
            throw .tooLong(bytes: commandLine.utf8.count, limit: maximumCommandLineBytes)
        }
        // Without this a failed try's images would be handed to the next kernel too.
        var lines = ["echo Hostler: loading the agent", "imgfree ||"]
        // Under UEFI the kernel itself opens the ramdisks, by these names, from a file system that iPXE shows it;
        // a kernel that a BIOS's iPXE loads passes the words over.
        let names = initrds.indices.map { "initrd=hostler\($0).img" }
        let arguments = ([try text(commandLine)] + names).filter { !$0.isEmpty }.joined(separator: " ")
        let failed = if case .retry = failure { "goto retry" } else { "goto leave" }
        lines.append("kernel --name hostler-kernel \(try url(kernel)) \(arguments) || \(failed)")
        for (number, initrd) in initrds.enumerated() {
            lines.append("initrd --name hostler\(number).img \(try url(initrd)) || \(failed)")
        }
        lines.append("boot || \(failed)")
        switch failure {
        case .retry(let retry): return lines + again(try url(retry), retrySeconds)
        case .leave(let platform):
            return lines + [":leave", "echo Hostler: the agent could not be loaded, going on with the own boot order", "imgfree ||", exit(platform)]
        }
    }

    /// As for the local disk: 0 hands back to a BIOS, and what a UEFI boot manager goes on after is a failure.
    private static func exit(_ platform: Platform) -> String { "exit \(platform == .efi ? 1 : 0)" }

    /// Waits and fetches the script at `url` in this one's place, for ever. An interrupted sleep must not end
    /// the script, hence the `||`.
    private static func again(_ url: String, _ seconds: Int) -> [String] {
        [
            ":retry", "echo Hostler: trying again in \(seconds) s", "sleep \(seconds) ||", "imgfree ||",
            "chain --replace --autofree \(url) || goto retry",
        ]
    }

    /// `text` if iPXE takes it word for word: printable ASCII without variables, quotes, escapes, and without
    /// a word that is an operator or begins a comment.
    private static func text(_ text: String) throws(IPXEScriptError) -> String {
        for byte in text.utf8 where !(0x20...0x7e).contains(byte) {
            throw .unsafeText(text, found: "a character that is not printable ASCII")
        }
        for sequence in ["${", "&&", "||", "\\", "\"", "'", "`"] where text.contains(sequence) {
            throw .unsafeText(text, found: sequence)
        }
        for word in text.split(separator: " ") where word == ";" || word.hasPrefix("#") {
            throw .unsafeText(text, found: String(word))
        }
        return text
    }

    private static func url(_ text: String) throws(IPXEScriptError) -> String {
        guard ["http://", "https://", "tftp://"].contains(where: { text.hasPrefix($0) && text.count > $0.count }),
            !text.contains(" "), text.utf8.count <= 2048
        else { throw .badURL(text) }
        return try Self.text(text)
    }

    /// Any text in the form that a script may show: what may not be in it becomes `?`. For reasons that people
    /// or other programs wrote; at most 200 characters, two lines of a console.
    public static func printable(_ text: String) -> String {
        let forbidden = Set("${}&|\\\"'`;#")
        let kept = text.prefix(200).map { character -> Character in
            if character.isNewline { return " " }
            guard let ascii = character.asciiValue, (0x20...0x7e).contains(ascii), !forbidden.contains(character) else {
                return "?"
            }
            return character
        }
        return String(kept)
    }
}
