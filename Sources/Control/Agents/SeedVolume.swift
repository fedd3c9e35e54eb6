internal import BlockIO
internal import Crypto
internal import FoundationEssentials
internal import Metadata
internal import Model
internal import Wire

/// What a seed is made of.
struct SeedSource {
    var operation: Model.Operation
    var request: InstallRequest
    var secrets: SeedSecrets
    /// Without the proof.
    var callHome: String
    var machine: Machine?
    var placement: Placement?
    /// What the installed system shows the metadata service when it wants an identity.
    var instanceKey: String
    /// What its first boot shows.
    var seedKey: String
    /// What has its system call home until that is acknowledged.
    var delivery: CallHomeDelivery
    /// Whether its SSH host certificates are brought to it.
    var bringsHostCertificates = false

    var hostname: String { request.hostname ?? operation.machine.rawValue }
    var callHomeURL: String { callHome + "/" + secrets.proof }
    /// The seed volume's.
    var label: String { SeedVolume.label(request.dataSource) }
    var vendorData: [UInt8] { Array(SeedVolume.vendorData(callHomeURL, delivery, certificatesFrom: bringsHostCertificates ? label : nil).utf8) }
    /// Where the metadata service is, with the key to it in the path: clients that know no header can have it too.
    var metadataURL: String { "http://169.254.169.254/k/\(seedKey)" }

    func userData() throws -> [UInt8] {
        guard let data = secrets.userData else { return NoCloudSeed.emptyUserData }
        return try InstallAdmission.decode(userData: data)
    }

    /// What was given with the request, else what people want of the machine.
    var networkConfig: [UInt8]? {
        if let text = secrets.networkConfig { return Array(text.utf8) }
        return network.map(NetplanConfig.bytes)
    }

    /// The machine's, with the way to the metadata service in it; nil: DHCP tells it all.
    var network: NetworkConfig? {
        let wanted = machine?.desired.network
        return placement.map { $0.withMetadataRoutes(wanted, port: machine?.observed.agent?.mac) } ?? wanted
    }
}

/// The volume with an installation's first-boot data, as it goes to the disk.
public struct SeedVolume: Sendable {
    public var bytes: [UInt8]
    /// `sha256:…` of the bytes.
    public var digest: String

    /// The same inputs always give the same bytes, so a seed can be made anew at any time.
    /// - Parameter sectorBytes: the disk's; a kernel mounts no FAT with smaller ones.
    init(_ source: SeedSource, sectorBytes: Int = 512) throws {
        // The key to the machine's identity, which only root can read here; no data source looks at it.
        let key = FATVolume.File(name: "hostler/key", contents: Array((source.instanceKey + "\n").utf8))
        // By this the system's disk is found when it is to be started: see packaging/boot/local-disk.cfg.
        let name = FATVolume.File(name: "hostler/\(source.operation.id)", contents: Array("\(source.operation.id)\n".utf8))
        bytes = try FATVolume(label: source.label, files: Self.files(source) + [key, name], sectorBytes: sectorBytes).bytes
        digest = "sha256:" + Hex.encode(SHA256.hash(data: bytes))
    }

    /// How long the volume will be at most, before it can be made: whole MiB.
    static func expectedBytes(_ request: InstallRequest, of machine: Machine) -> Int64 {
        // The metadata service has the user-data of these: it is not on the volume.
        let isFetched = request.dataSource == .noCloudHTTP || request.dataSource == .ec2
        let userData = isFetched ? 0 : (request.userData?.text.utf8.count ?? 0) / 4 * 3
        // A network's configuration may come as base64 text within base64 text.
        let words =
            [request.networkConfig].compactMap { $0 } + request.sshKeys + machine.desired.sshKeys
            + (machine.desired.tags.map { $0.key + $0.value })
        // Beside these there are some ten files and folders of a few KB.
        let contents = userData + 2 * words.reduce(0) { $0 + $1.utf8.count } + (192 << 10)
        return Int64(FATVolume.bytesNeeded(forContents: contents))
    }

    static func label(_ source: DataSource?) -> String { source == .configDrive ? "CONFIG-2" : "CIDATA" }

    private static func files(_ source: SeedSource) throws -> [FATVolume.File] {
        switch source.request.dataSource ?? .noCloud {
        case .noCloud:
            return noCloud(
                metaData: try metaData(source), userData: try source.userData(),
                vendorData: source.vendorData, network: source.networkConfig)
        case .noCloudHTTP:
            // Without the label it is this volume that is looked at no more, and not the URL.
            let settings: JSONTree = ["seedfrom": .string(source.metadataURL + "/nocloud/"), "fs_label": .null]
            return try restarting(source, into: "NoCloud", [("datasource", ["NoCloud": settings])])
        case .ec2:
            let settings: JSONTree = ["strict_id": false, "metadata_urls": [.string(source.metadataURL)], "max_wait": 240, "timeout": 10]
            return try restarting(source, into: "Ec2", [("datasource", ["Ec2": settings])])
        case .configDrive:
            return try configDrive(source)
        }
    }

    private static func noCloud(
        metaData: [UInt8], userData: [UInt8], vendorData: [UInt8]?, network: [UInt8]?
    ) -> [FATVolume.File] {
        var files = [
            FATVolume.File(name: "meta-data", contents: metaData), FATVolume.File(name: "user-data", contents: userData),
        ]
        if let vendorData { files.append(FATVolume.File(name: "vendor-data", contents: vendorData)) }
        if let network { files.append(FATVolume.File(name: "network-config", contents: network)) }
        return files
    }

    private static func metaData(_ source: SeedSource) throws -> [UInt8] {
        struct MetaData: Encodable {
            var instanceID: String
            var hostname: String
            var keys: [String]
            enum CodingKeys: String, CodingKey {
                case instanceID = "instance-id"
                case hostname = "local-hostname"
                case keys = "public-keys"
            }
        }
        let data = MetaData(instanceID: source.operation.id.rawValue, hostname: source.hostname, keys: keys(source))
        // JSON is YAML, and quotes what must be quoted.
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(data))
    }

    private static func keys(_ source: SeedSource) -> [String] {
        let own = source.request.sshKeys
        return own + (source.machine?.desired.sshKeys ?? []).filter { !own.contains($0) }
    }

    /// Vendor data, which the user's own data overrules: the call home at the end of
    /// cloud-init's last stage, when everything of the user's has been applied, and what repeats it from then on. The latter is a
    /// script, so that no key of the user's cloud-config takes its place.
    ///
    /// - Parameter label: of the volume with the key that SSH host certificates are fetched with; nil: none are.
    static func vendorData(_ url: String, _ delivery: CallHomeDelivery, certificatesFrom label: String?) -> String {
        let config = """
            #cloud-config
            phone_home:
              url: \(url)
              post: [instance_id, hostname, pub_key_rsa, pub_key_ecdsa, pub_key_ed25519]
              tries: 20

            """
        // RFC 2046 §5.1.3, as cloud-init reads it.
        var parts = [("text/cloud-config", config), ("text/x-shellscript", delivery.script(starts: true))]
        if let label { parts.append(("text/x-shellscript", HostCertificateDelivery.script(from: label, starts: true))) }
        return "Content-Type: multipart/mixed; boundary=\"hostler\"\nMIME-Version: 1.0\n\n"
            + parts.map { "--hostler\nContent-Type: \($0.0); charset=\"utf-8\"\nMIME-Version: 1.0\n\n\($0.1)\n" }.joined() + "--hostler--\n"
    }

    // MARK: Over the network

    /// A drive that makes an unmodified cloud-init use a data source of the network from its second start on.
    ///
    /// cloud-init finds EC2 by the firmware's UUID, and NoCloud's URL, since its version 23.2, by the kernel's command line
    /// or the firmware's serial number. A second-hand server has none of these; what is left is cloud-init's own
    /// configuration, and that is in the image. So the drive's NoCloud seed, itself another instance, writes that
    /// configuration as the first thing, and restarts. The key stands in the URL: it is what proves this machine.
    private static func restarting(_ source: SeedSource, into name: String, _ settings: [(String, JSONTree)]) throws -> [FATVolume.File] {
        // The call home stands here and not in what is fetched: the key in the URL opens that to every local user.
        let home: JSONTree = [
            "url": .string(source.callHomeURL),
            "post": ["instance_id", "hostname", "pub_key_rsa", "pub_key_ecdsa", "pub_key_ed25519"], "tries": 20,
        ]
        var members: [(String, JSONTree)] = [("datasource_list", [.string(name)])] + settings + [("phone_home", home)]
        if let network = source.network, source.secrets.networkConfig == nil {
            members.append(("network", NetplanConfig.tree(network)))
        }
        // One key a line: ds-identify is a shell script that looks for a line with datasource_list.
        let lines = members.map { Array("\($0.0): ".utf8) + $0.1.bytes + [UInt8(ascii: "\n")] }
        var files = [("/etc/cloud/cloud.cfg.d/95_hostler.cfg", Array(lines.joined()))]
        if let text = source.secrets.networkConfig {
            let body = try GivenNetworkConfig(parsing: text).configuration()
            files.append(("/etc/cloud/cloud.cfg.d/96_hostler_network.cfg", Array(body.utf8)))
        }
        // The key is in it: nobody but root reads it.
        let script =
            (["umask 077"] + files.map { "echo \(Data($0.1).base64EncodedString()) | base64 -d > \($0.0)" }
            + [aside(source.delivery.script(starts: false))]
            + (source.bringsHostCertificates ? [aside(HostCertificateDelivery.script(from: source.label, starts: false))] : [])
            + ["sync", "systemctl reboot --force"]).joined(separator: " && ")
        let userData: JSONTree = ["bootcmd": [["sh", "-c", .string(script)]]]
        let seed: JSONTree = [
            "instance-id": .string(source.operation.id.rawValue + "-seed"), "local-hostname": .string(source.hostname),
        ]
        return noCloud(
            metaData: seed.bytes, userData: Array("#cloud-config\n".utf8) + userData.bytes + [UInt8(ascii: "\n")], vendorData: nil,
            network: source.networkConfig)
    }

    /// Whatever becomes of it, the system is started.
    private static func aside(_ script: String) -> String {
        "{ echo \(Data(script.utf8).base64EncodedString()) | base64 -d | sh || true; }"
    }

    // MARK: Config drive

    private static func configDrive(_ source: SeedSource) throws -> [FATVolume.File] {
        let placement = source.placement ?? Placement(region: "local", zone: "a", prefix: Self.nowhere)
        let name = try DisplayName(source.operation.machine.rawValue)
        var machine =
            source.machine ?? Machine(id: source.operation.machine, name: name, interfaces: [], now: source.operation.createdAt)
        machine.openOperation = source.operation.id
        let mac = machine.observed.agent?.mac ?? machine.interfaces.first?.mac ?? MACAddress(value: 0)
        let view = InstanceView(
            machine: machine, operation: source.operation, placement: placement, address: machine.observed.address ?? .any, mac: mac)
        let folder = "openstack/latest/"
        return [
            FATVolume.File(name: folder + "meta_data.json", contents: OpenStackTree.metaData(view)),
            FATVolume.File(name: folder + "user_data", contents: try source.userData()),
            FATVolume.File(
                name: folder + "vendor_data.json", contents: OpenStackTree.vendorData(source.vendorData)),
            FATVolume.File(name: folder + "network_data.json", contents: OpenStackTree.networkData(view)),
        ]
    }

    private static var nowhere: IPv4Prefix { IPv4Prefix(address: .any, length: 0).unsafelyUnwrapped }
}
