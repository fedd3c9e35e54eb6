internal import FoundationEssentials
internal import Model
internal import Subprocess

/// `qemu-img`, which reads qcow2 for us.
enum QemuImage {
    private struct Information: Decodable {
        struct Specific: Decodable {
            struct Values: Decodable {
                var dataFile: String?
                enum CodingKeys: String, CodingKey { case dataFile = "data-file" }
            }
            var data: Values?
        }
        var format: String
        var virtualSize: UInt64
        var backingFilename: String?
        var encrypted: Bool?
        var formatSpecific: Specific?
        enum CodingKeys: String, CodingKey {
            case format, encrypted
            case virtualSize = "virtual-size"
            case backingFilename = "backing-filename"
            case formatSpecific = "format-specific"
        }
    }

    /// Converts a qcow2 file, after a look at what it refers to: a file that names other files of this host as its
    /// backing or data would otherwise let whoever made it read them.
    static func convert(_ path: String, to raw: String, limitBytes: UInt64) async throws {
        let text = try await run(["info", "-f", "qcow2", "--output=json", "--", path])
        let information: Information
        do {
            information = try JSONDecoder().decode(Information.self, from: Data(text.utf8))
        } catch {
            throw refused("qemu-img's answer could not be read: \(error)")
        }
        guard information.backingFilename == nil else { throw refused("it has a backing file") }
        guard information.formatSpecific?.data?.dataFile == nil else { throw refused("it has an external data file") }
        guard information.encrypted != true else { throw refused("it is encrypted") }
        guard information.virtualSize <= limitBytes else { throw Problem.tooLarge(limitBytes: limitBytes) }
        _ = try await run(["convert", "-f", "qcow2", "-O", "raw", "--", path, raw])
    }

    private static func run(_ arguments: [String]) async throws -> String {
        let result: ExecutionResult<Void, StringOutput<UTF8>, StringOutput<UTF8>>
        do {
            result = try await Subprocess.run(
                .name("qemu-img"), arguments: Arguments(arguments), output: .string(limit: 1 << 20),
                error: .string(limit: 64 << 10))
        } catch {
            throw Problem(
                "program-missing", status: 500, title: "qemu-img could not be run", detail: "\(error)",
                remedy: "Install it: apt install qemu-utils")
        }
        guard result.terminationStatus.isSuccess else {
            throw Problem(
                "image-unreadable", title: "qemu-img could not read the image", detail: result.standardError,
                remedy: "Check it with: qemu-img check FILE")
        }
        return result.standardOutput
    }

    private static func refused(_ why: String) -> Problem {
        Problem(
            "image-refused", title: "This qcow2 image cannot be added", detail: why,
            remedy: "Make a self-contained copy on the machine it came from: qemu-img convert -O raw IN OUT.raw")
    }
}
