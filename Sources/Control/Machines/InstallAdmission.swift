internal import FoundationEssentials
internal import Model

/// Checks a request to install before anything is written down.
enum InstallAdmission {
    /// Limit of user-data: what the common clouds allow is 16 KiB; 16 MiB carries a whole boot script with its payload.
    static let userDataLimitBytes = 16 << 20
    static let keyLimit = 64

    /// The request with everything pinned, or the first thing that is wrong with it.
    static func check(
        _ request: InstallRequest, image: InstallableImage?, machine: Machine
    ) throws(Problem) -> InstallRequest {
        guard let image else {
            throw Problem.notFound(
                "image", request.image, remedy: "See hostler image list; build one with: hostler image build debian-12")
        }
        var pinned = request
        pinned.digest = image.digest
        let hostname = request.hostname ?? machine.desired.hostname ?? defaultHostname(of: machine)
        guard HostLabel.isValid(hostname) else {
            throw Problem(
                "hostname-invalid", status: 422, title: "“\(hostname)” is not a host name",
                remedy: "Use 1 to 63 of a–z, 0–9 and dash, as in --hostname web-1.")
        }
        pinned.hostname = hostname
        pinned.restart = request.restart ?? .reboot
        try check(keys: request.sshKeys)
        if let data = request.userData { try UserDataAdmission.check(decode(userData: data)) }
        if let config = request.networkConfig { _ = try GivenNetworkConfig(parsing: config) }
        if request.dataSource == .configDrive, request.networkConfig != nil {
            throw Problem(
                "network-config-form", status: 422, title: "A config drive has no place for cloud-init's network-config",
                remedy: "Give the machine's network with: hostler machine set NAME --network FILE")
        }
        // What is chosen now is what is written, whatever disks the machine shows when it comes to that.
        try DiskAdmission.pin(&pinned, image: image, machine: machine)
        return pinned
    }

    static func decode(userData: Base64Bytes) throws(Problem) -> [UInt8] {
        guard userData.text.utf8.count <= userDataLimitBytes / 3 * 4 + 8 else { throw userDataTooLarge }
        guard let data = Data(base64Encoded: userData.text) else {
            throw Problem("user-data-encoding", status: 422, title: "user-data is not base64 text", remedy: "Encode it by RFC 4648 §4.")
        }
        guard data.count <= userDataLimitBytes else { throw userDataTooLarge }
        return Array(data)
    }

    private static let userDataTooLarge = Problem(
        "user-data-too-large", status: 413, title: "user-data is larger than 16 MiB",
        remedy: "Put the payload on a server and let user-data fetch it.")

    private static func defaultHostname(of machine: Machine) -> String {
        let name = machine.name.text.lowercased()
        return HostLabel.isValid(name) ? name : machine.id.rawValue
    }

    static func check(keys: [String]) throws(Problem) {
        guard keys.count <= keyLimit else {
            throw Problem("ssh-keys-too-many", status: 422, title: "More than \(keyLimit) SSH keys", remedy: "Give fewer.")
        }
        for key in keys {
            let parts = key.split(separator: " ")
            guard parts.count >= 2, key.utf8.count <= 16_384, !key.contains(where: \.isNewline),
                ["ssh-", "ecdsa-", "sk-"].contains(where: { parts[0].hasPrefix($0) }), Data(base64Encoded: String(parts[1])) != nil
            else {
                throw Problem(
                    "ssh-key-invalid", status: 422, title: "That is not an SSH public key: \(key.prefix(40))…",
                    remedy: "Give the public half, the file that ends in .pub.")
            }
        }
    }
}
