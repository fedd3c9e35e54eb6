import API
import ArgumentParser
import Control
import FoundationEssentials
import Images
import Logging
import Model
import Store

/// `hostler image remove`
struct ImageRemove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Remove an image, and what only it needed.",
        discussion: """
            One that a machine is being installed from stays. With --offline it works on the files of a server that does not run, \
            as root or as the files' owner, and keeps to the same rule.
            """)
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var consent: ConsentOptions
    @Argument var name: String
    @Flag(help: "The server of this host does not run: work on its files.") var offline = false

    func run() async throws {
        if offline { return try await removeOffline() }
        try await APIClient.with(connection) { client in
            let path = "/v1/images/\(name.percentEncoded)"
            guard let agreed = try await consent.ask(client, .DELETE, path, output) else { return }
            try await client.delete(path, query: agreed)
            print("\(name)  removed")
        }
    }

    private func removeOffline() async throws {
        let state = connection.stateDir
        try StateOwner.become(of: state)
        let database = state + "/hostler.db"
        // Without a record there are no operations; with one, nobody else has it open from here on.
        var store: SQLiteStore?
        if FileManager.default.fileExists(atPath: database) { store = try SQLiteStore(path: database, logger: Logger(label: "hostler")) }
        let record = store.map { StoppedRecord(store: $0) }
        let images = try ImageStore(path: state + "/images")
        let short = try ImageName.short(of: name)
        guard let image = try await images.summary(named: short) else { throw Problem.notFound("image", short) }
        let isLast = try await images.summaries().count { $0.digest == image.digest } == 1
        if isLast { try await record?.refuseIfInUse(imageDigest: image.digest, names: [short, short + ":latest"]) }
        let consequence = "The image “\(short)” will be gone: \(Quantity.bytes(image.storedBytes)), \(image.digest)."
        if consent.dryRun { return print(consequence) }
        try confirm(consent.yes, consequence)
        try await images.removeImage(named: short)
        try await record?.recordEvent(
            kind: "image.removed", actor: "command line on the server", message: "The image “\(short)” was removed",
            evidence: ["image": short, "digest": image.digest], at: .now)
        try await store?.close()
        print("\(short)  removed")
    }
}
