import API
public import ArgumentParser
import FoundationEssentials
import Glibc
public import Images
import Model
import Store

struct ImageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image", abstract: "The images that machines are given.",
        discussion: "build, add and verify work on the image store of this host, as root; list, show and remove ask the server.",
        subcommands: [List.self, Show.self, Build.self, Add.self, Verify.self, ImageRemove.self])

    /// The image store on this host.
    struct LocalStore: ParsableArguments {
        @Option(help: "The server's state directory; images are below it. Else $HOSTLER_STATE_DIR.") var stateDir = StateDirectory.standard

        func open() throws -> ImageStore {
            try PrivateFile.makeDirectory(stateDir)
            return try ImageStore(path: stateDir + "/images")
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List images.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with(connection) { client in
                let images = try await client.get(ListReply<ImageReply>.self, "/v1/images").items
                let heading = ["NAME", "STATE", "DISK", "DATA", "STORED", "CHUNKS"] + (output.isWide ? ["DIGEST"] : [])
                try output.printList(
                    images, heading: heading, none: "There are no images. Make one: hostler image build debian-12"
                ) { reply in
                    let image = reply.image
                    return [
                        reply.name, Self.state(reply), image.map { Quantity.bytes($0.diskBytes) },
                        image.map { Quantity.bytes($0.dataBytes) }, image.map { Quantity.bytes($0.storedBytes) },
                        image.map { "\($0.chunkCount)" }, image?.digest,
                    ]
                }
            }
        }

        private static func state(_ reply: ImageReply) -> String {
            guard reply.state == .importing, let progress = reply.progress else { return reply.state.rawValue }
            return "importing, \(Quantity.bytes(progress.done))"
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show an image, or how its import is doing.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var image: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                let found = try await client.get(ImageReply.self, "/v1/images/\(image.percentEncoded)")
                try output.print(found) { reply in
                    var lines = ["name:    \(reply.name)", "state:   \(reply.state.rawValue)"]
                    if let problem = reply.problem { lines.append(ProblemText.text(problem, terminal: .standard)) }
                    if let image = reply.image {
                        lines += ["digest:  \(image.digest)", "disk:    \(Quantity.bytes(image.diskBytes))"]
                        lines += ["data:    \(Quantity.bytes(image.dataBytes))", "stored:  \(Quantity.bytes(image.storedBytes))"]
                        if let facts = image.facts { lines += ImageText.lines(facts) }
                        lines += image.annotations.sorted { $0.key < $1.key }.map { "  \($0.key): \($0.value)" }
                    }
                    return lines.joined(separator: "\n")
                }
            }
        }
    }

    struct Build: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make an image of Debian from its archive: debian-12 or debian-13. Needs root.")
        @OptionGroup var local: LocalStore
        @Argument(help: "debian-12 or debian-13.") var release: String
        @Option(help: "cloud: drivers for virtual machines only; generic: for real servers too.")
        var kernel: DebianKernel = .generic
        @Option(help: "The image's name. Else the release's.") var name: String?
        @Flag(help: "Do nothing if there is an image of that name.") var ifMissing = false

        func run() async throws {
            guard let debian = DebianRelease(release) else {
                throw ValidationError("“\(release)” is not one of \(DebianRelease.allCases.map(\.imageName).joined(separator: ", "))")
            }
            let store = try StateOwner.acting(for: local.stateDir) { try local.open() }
            let name = name ?? debian.imageName
            if ifMissing, try await store.summary(named: name) != nil { return print("\(name) is there already") }
            try store.refuseIfTaken(name)
            try await build(debian, named: name, in: store)
        }

        /// A function of its own: in one with what is above, the compiler (6.3.1) fails on it.
        private func build(_ debian: DebianRelease, named name: String, in store: ImageStore) async throws {
            let owner = try StateOwner.other(of: local.stateDir)
            let directory = try Self.workDirectory(of: store, isOwn: owner == nil)
            let builder = DebianImageBuilder(
                request: DebianImageRequest(release: debian, kernel: kernel), workDirectory: directory,
                progress: { Terminal.writeError($0) })
            let raw = "\(directory)/\(debian.imageName)-\(ProcessInfo.processInfo.processIdentifier).raw"
            defer {
                try? FileManager.default.removeItem(atPath: raw)
                if owner != nil { rmdir(directory) }
            }
            let facts = try await builder.build(output: raw)
            if let owner {
                // Made by root; read, and removed, by the store's owner.
                for path in [raw, directory] { chown(path, owner.user, owner.group) }
                try StateOwner.become(of: local.stateDir, toRead: raw)
            }
            var options = ImageImporter.Options()
            options.properties.os = debian.imageName
            options.properties.firmware = [.bios, .uefi]
            options.properties.rootUUID = facts.rootUUID
            options.properties.kernelArguments = facts.kernelArguments
            options.properties.seed = "nocloud"
            try await Add.add(raw, name: name, options: options, to: store)
        }

        /// Root builds in a folder that nobody else can change: below a store of its own, else beside.
        private static func workDirectory(of store: ImageStore, isOwn: Bool) throws -> String {
            if isOwn {
                let directory = store.path + "/build"
                try PrivateFile.makeDirectory(directory)
                return directory
            }
            guard let folder = ScratchFolder.make(in: "/var/tmp", named: "hostler-build-") else {
                throw Problem("work-directory", status: 500, title: "No folder can be made in /var/tmp", detail: String(cString: strerror(errno)))
            }
            return folder
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Add a raw, raw.zst or qcow2 image from a file or URL.")
        @OptionGroup var local: LocalStore
        @Argument var name: String
        @Argument(help: "A path, or an http(s) URL.") var source: String
        @Option(help: "SHA-256 of the file as it comes, in hex.") var sha256: String?
        @Option(help: "How often its system may read its user-data from the metadata service: once, until-ready.")
        var userDataAccess: UserDataAccess?
        @Option(help: "The root file system's UUID, for --restart kexec.") var rootUuid: String?
        @Option(help: "Kernel arguments for --restart kexec; {config-url} becomes the URL of a raw configuration.")
        var kernelArguments: String?

        func validate() throws {
            if userDataAccess == .always { throw ValidationError("An image's user-data is read once or until-ready.") }
        }

        func run() async throws {
            var options = ImageImporter.Options()
            options.properties.userDataAccess = userDataAccess?.rawValue
            options.properties.rootUUID = rootUuid
            options.properties.kernelArguments = kernelArguments
            if let sha256 {
                options.expectedDigest = .init("sha256:\(sha256.lowercased())")
                guard options.expectedDigest != nil else { throw ValidationError("--sha256 is not 64 hex digits") }
            }
            try StateOwner.become(of: local.stateDir, toRead: ImageImporter.isWebAddress(source) ? nil : source)
            try await Self.add(source, name: name, options: options, to: local.open())
        }

        static func add(_ source: String, name: String, options: ImageImporter.Options, to store: ImageStore) async throws {
            let meter = ImportMeter()
            let digest = try await ImageImporter(store: store).add(source, name: name, options: options) { meter.show($0) }
            meter.end()
            print("\(name)  \(digest)")
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Read every image again and compare every digest.")
        @OptionGroup var local: LocalStore

        func run() async throws {
            try StateOwner.become(of: local.stateDir)
            let result = try local.open().verify()
            for finding in result.findings {
                let place = finding.chunk.map { " chunk \($0)" } ?? ""
                print("\(finding.image)\(place):\n" + ProblemText.text(finding.problem, terminal: .standard))
            }
            print("\(result.imageCount) images, \(Quantity.bytes(Int64(clamping: result.readBytes))) read, \(result.findings.count) damaged places")
            if !result.findings.isEmpty { throw ExitCode(ExitStatus.failure.rawValue) }
        }
    }
}

extension DebianKernel: ExpressibleByArgument {}

/// Progress of an import: a line that is redrawn on a terminal, nothing in a pipe.
final class ImportMeter: Sendable {
    private let terminal = Terminal.standard

    func show(_ progress: ImageImporter.Progress) {
        guard terminal.isInteractive else { return }
        let text =
            switch progress {
            case .downloaded(let bytes): "downloaded \(Quantity.bytes(Int64(clamping: bytes)))"
            case .converting: "converting"
            case .compressed(let done, let total):
                if let total, total > 0 {
                    "\(OperationView.bar(Double(done) / Double(total), width: 30)) \(Quantity.bytes(Int64(clamping: done)))"
                } else {
                    "\(Quantity.bytes(Int64(clamping: done))) of the disk"
                }
            }
        Terminal.write("\r\u{1b}[K\(text)")
    }

    func end() { if terminal.isInteractive { Terminal.write("\r\u{1b}[K") } }
}
