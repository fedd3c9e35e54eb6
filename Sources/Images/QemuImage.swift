internal import FoundationEssentials
internal import Glibc
internal import Model

/// `qemu-img`, which reads qcow2 for us, in a sandbox: it parses what strangers made.
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

    private static let program = SandboxedProgram(name: "qemu-img", package: "qemu-utils")
    /// It reads a header and some tables.
    private static let informationSeconds: UInt32 = 20
    /// A terabyte at 100 MB/s takes three hours.
    private static let conversionSeconds: UInt32 = 3 * 3600

    /// Converts a qcow2 file, after a look at what it refers to: a file that names other files of this host as its
    /// backing or data would otherwise let whoever made it read them.
    static func convert(_ path: String, to raw: String, limitBytes: UInt64, bounds: ImportBounds) async throws {
        // An absolute path is a path: `json:{…}`, `nbd:…` and `-o` are something else to qemu-img.
        let source = try absolute(path)
        let target = try absolute(raw)
        let header = try QcowHeader(parsing: DiskFile(source, .read).read(512, at: 0))
        guard !header.hasBackingFile else { throw refused("it has a backing file") }
        guard !header.hasDataFile else { throw refused("it has an external data file") }
        guard !header.isEncrypted else { throw refused("it is encrypted") }
        guard header.byteCount <= limitBytes else { throw Problem.tooLarge(limitBytes: limitBytes) }
        let text = try await run(
            ["info", "-f", "qcow2", "--output=json", "--", source], readable: [source],
            limits: .init(fileBytes: 0, processorSeconds: informationSeconds, bounds: bounds))
        let information: Information
        do {
            information = try JSONDecoder().decode(Information.self, from: Data(text.utf8))
        } catch {
            throw refused("qemu-img's answer could not be read: \(error)")
        }
        guard information.format == "qcow2" else { throw refused("qemu-img takes it for \(information.format)") }
        guard information.backingFilename == nil else { throw refused("it has a backing file") }
        guard information.formatSpecific?.data?.dataFile == nil else { throw refused("it has an external data file") }
        guard information.encrypted != true else { throw refused("it is encrypted") }
        guard information.virtualSize <= limitBytes else { throw Problem.tooLarge(limitBytes: limitBytes) }
        _ = try await run(
            ["convert", "-f", "qcow2", "-O", "raw", "--", source, target], readable: [source], writable: [target],
            limits: .init(fileBytes: information.virtualSize, processorSeconds: conversionSeconds, bounds: bounds))
    }

    private static func absolute(_ path: String) throws(Problem) -> String {
        guard let found = realpath(path, nil) else { throw .file("find", path, errno) }
        defer { free(found) }
        return String(cString: found)
    }

    private static func run(
        _ arguments: [String], readable: [String], writable: [String] = [], limits: SandboxedProgram.Limits
    ) async throws -> String {
        let result = try await program.run(arguments, readable: readable, writable: writable, limits: limits)
        switch result.ending {
        case .exited(0): return result.output
        case .signaled(SIGXCPU), .signaled(SIGKILL):
            throw Problem(
                "image-import-too-long", title: "qemu-img used more time or memory than an image may take",
                remedy: "Unpack it on another host, and add the raw disk.")
        case .exited, .signaled:
            throw Problem(
                "image-unreadable", title: "qemu-img could not read the image", detail: String(result.errors.prefix(2048)),
                remedy: "Check it with: qemu-img check FILE")
        }
    }

    private static func refused(_ why: String) -> Problem {
        Problem(
            "image-refused", title: "This qcow2 image cannot be added", detail: why,
            remedy: "Make a self-contained copy on the machine it came from: qemu-img convert -O raw IN OUT.raw")
    }
}
