public import BlockIO
internal import FoundationEssentials
public import Model
public import OCI

/// What a machine is to be told at its first boot.
public struct SeedInput: Sendable {
    /// A new one for every installation: cloud-init runs again where it changes.
    public var instanceID: String
    /// An RFC 1123 host name.
    public var hostname: String
    /// One line each, as in `authorized_keys`.
    public var sshKeys: [String]
    /// Passed on byte for byte; at most ``SeedBuilder/limitUserDataBytes``.
    public var userData: [UInt8]
    /// cloud-init network configuration, YAML.
    public var networkConfig: String?
    public var vendorData: [UInt8]?

    public init(
        instanceID: String, hostname: String, sshKeys: [String] = [], userData: [UInt8] = [],
        networkConfig: String? = nil, vendorData: [UInt8]? = nil
    ) {
        self.instanceID = instanceID
        self.hostname = hostname
        self.sshKeys = sshKeys
        self.userData = userData
        self.networkConfig = networkConfig
        self.vendorData = vendorData
    }
}

/// A NoCloud seed, ready to be written to a disk.
public struct Seed: Sendable {
    /// A FAT volume labelled `CIDATA`.
    public let volume: [UInt8]
    /// SHA-256 of the volume.
    public let digest: OCI.Digest
    /// What goes into the last 4 KiB of the volume's partition.
    public let marker: InstallMarker
}

/// Builds the volume that cloud-init's NoCloud data source reads.
public enum SeedBuilder {
    /// 16 MiB.
    public static let limitUserDataBytes = 16 << 20
    /// 1 MiB.
    public static let limitNetworkConfigBytes = 1 << 20

    private struct MetaData: Encodable {
        var instanceID: String
        var hostname: String
        var keys: [String]
        enum CodingKeys: String, CodingKey {
            case instanceID = "instance-id"
            case hostname = "local-hostname"
            case keys = "public-keys"
        }
    }

    /// The same input gives the same volume.
    /// - Parameters:
    ///   - markerPayload: JSON that names the installation, at most ``InstallMarker/limitPayloadBytes``.
    ///   - sectorBytes: 4096 for a disk that has only such sectors.
    public static func build(
        _ input: SeedInput, markerPayload: [UInt8], sectorBytes: Int = 512
    ) throws(Problem) -> Seed {
        try check(input)
        var files = [
            FATVolume.File(name: "meta-data", contents: try metaData(input)),
            // NoCloud wants the file to be there even where there is nothing to say.
            FATVolume.File(
                name: "user-data", contents: input.userData.isEmpty ? Array("#cloud-config\n{}\n".utf8) : input.userData),
        ]
        if let config = input.networkConfig {
            files.append(FATVolume.File(name: "network-config", contents: Array(config.utf8)))
        }
        if let data = input.vendorData { files.append(FATVolume.File(name: "vendor-data", contents: data)) }
        let volume: FATVolume
        do throws(FATError) {
            let serial = CRC32.checksum(input.instanceID.utf8)
            volume = try FATVolume(label: "CIDATA", files: files, sectorBytes: sectorBytes, serial: serial)
        } catch {
            throw .seed("The seed volume could not be built", "\(error)")
        }
        let marker: InstallMarker
        do throws(InstallMarkerError) {
            marker = try InstallMarker(payload: markerPayload)
        } catch {
            throw .seed("The install marker could not be built", "\(error)")
        }
        return Seed(volume: volume.bytes, digest: BlobHasher.digest(volume.bytes), marker: marker)
    }

    /// JSON, which is YAML too.
    private static func metaData(_ input: SeedInput) throws(Problem) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        let values = MetaData(instanceID: input.instanceID, hostname: input.hostname, keys: input.sshKeys)
        do {
            return Array(try encoder.encode(values)) + [UInt8(ascii: "\n")]
        } catch {
            throw .seed("The meta-data could not be written", "\(error)")
        }
    }

    private static func check(_ input: SeedInput) throws(Problem) {
        guard (1...255).contains(input.instanceID.utf8.count), isVisibleASCII(input.instanceID) else {
            throw .seed("“\(input.instanceID)” is not an instance id", "It has 1 to 255 ASCII characters.")
        }
        let labels = input.hostname.split(separator: ".", omittingEmptySubsequences: false)
        guard input.hostname.utf8.count <= 253, labels.allSatisfy(isLabel) else {
            throw .seed("“\(input.hostname)” is not a host name", "RFC 1123: letters, digits and inner dashes.")
        }
        for key in input.sshKeys {
            guard key.utf8.count <= 16 << 10, !key.isEmpty, key.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
                throw .seed("An SSH key is not one line of text", "It begins “\(key.prefix(20))”.")
            }
        }
        guard input.userData.count <= limitUserDataBytes else {
            throw Problem(
                "user-data-too-large", status: 413, title: "The user-data has \(input.userData.count) bytes",
                detail: "At most 16 MiB (16,777,216 bytes) are taken.",
                remedy: "Let the user-data fetch what is large from a server of yours.")
        }
        guard (input.networkConfig?.utf8.count ?? 0) <= limitNetworkConfigBytes,
            (input.vendorData?.count ?? 0) <= limitUserDataBytes
        else { throw .seed("The network-config or vendor-data is too large", "1 MiB and 16 MiB are taken.") }
    }

    private static func isVisibleASCII(_ text: String) -> Bool {
        text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
    }

    private static func isLabel(_ label: Substring) -> Bool {
        func isWord(_ byte: UInt8) -> Bool {
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
        }
        guard let first = label.utf8.first, let last = label.utf8.last, label.utf8.count <= 63 else { return false }
        return isWord(first) && isWord(last) && label.utf8.allSatisfy { isWord($0) || $0 == UInt8(ascii: "-") }
    }
}

extension Problem {
    static func seed(_ title: String, _ detail: String) -> Problem {
        Problem("invalid-seed", title: title, detail: detail)
    }
}
