internal import Control
internal import Wire

/// The iPXE script that a machine gets: what the gate decided, in iPXE's words.
///
/// Only commands that iPXE of 2019 knows. A failed download never ends in a
/// shell that waits for nobody: the script is asked for again.
struct BootScript {
    enum Platform: String { case bios, efi }

    var text: String

    /// - Parameter scriptURL: where to ask again.
    init(
        verdict: BootVerdict, platform: Platform, scriptURL: String, baseURL: String, commandLine: @autoclosure () -> String
    ) {
        switch verdict {
        case .agent(let why):
            text = """
                #!ipxe
                echo Hostler: \(Self.plain(why))
                kernel \(baseURL)/boot/vmlinuz initrd=hostler-initrd.img \(commandLine()) || goto again
                initrd --name hostler-initrd.img \(baseURL)/boot/hostler-initrd.img || goto again
                boot || goto again
                :again
                echo Hostler: the download failed; trying again in 5 seconds
                sleep 5
                chain --replace \(scriptURL) || goto again

                """
        case .localDisk(let why):
            // A BIOS is told which disk; UEFI goes on to the next boot option when
            // this one ends with an error. (A success would end in its menu.)
            text = """
                #!ipxe
                echo Hostler: to the local disk: \(Self.plain(why))
                \(platform == .bios ? "sanboot --no-describe --drive 0x80 || exit 1" : "exit 1")

                """
        case .refuse(let why):
            text = """
                #!ipxe
                echo Hostler refuses to boot this machine: \(Self.plain(why))
                :again
                echo Asking again in 30 seconds
                sleep 30
                chain --replace \(scriptURL) || goto again

                """
        }
    }

    /// Text that means nothing to iPXE: no settings, no operators, no line ends.
    static func plain(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { scalar in
            let isPlain = (32...126).contains(scalar.value) && !"$&|;#{}\\\"'".unicodeScalars.contains(scalar)
            return isPlain ? scalar : "_"
        }))
    }
}
