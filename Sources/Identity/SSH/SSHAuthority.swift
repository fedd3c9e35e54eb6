internal import FoundationEssentials
public import Model
internal import Wire

/// What is asked of the SSH authority for a person's key.
public struct UserCertificateRequest: Codable, Sendable {
    /// One line, as in a `.pub` file.
    public var publicKey: String
    /// The user names that it may log in as.
    public var principals: [String]
    public var lifetimeSeconds: Int?
    /// Addresses and networks that it may come from, as `10.0.0.0/8`.
    public var sourceAddresses: [String]?
    /// The one command that it may run.
    public var forceCommand: String?

    public init(
        publicKey: String, principals: [String], lifetimeSeconds: Int? = nil, sourceAddresses: [String]? = nil,
        forceCommand: String? = nil
    ) {
        self.publicKey = publicKey
        self.principals = principals
        self.lifetimeSeconds = lifetimeSeconds
        self.sourceAddresses = sourceAddresses
        self.forceCommand = forceCommand
    }
}

/// What is asked of the SSH authority for a host's key.
public struct HostCertificateRequest: Codable, Sendable {
    public var publicKey: String
    /// Host names and addresses, as clients type them.
    public var principals: [String]
    public var lifetimeSeconds: Int?

    public init(publicKey: String, principals: [String], lifetimeSeconds: Int? = nil) {
        self.publicKey = publicKey
        self.principals = principals
        self.lifetimeSeconds = lifetimeSeconds
    }
}

/// The public halves of the two authorities, as lines of `.pub` files.
public struct SSHAuthorities: Codable, Sendable, Equatable {
    /// For `TrustedUserCAKeys` of a server.
    public var user: String
    /// For `@cert-authority` in `known_hosts`.
    public var host: String
}

/// Signs SSH certificates: one authority for users, another for hosts, so that
/// a host's certificate can never log in.
struct SSHAuthority: Sendable {
    static let userLifetimes = 60...(7 * 86_400)
    static let usualUserSeconds = 8 * 3600
    static let hostLifetimes = 3600...(366 * 86_400)
    static let usualHostSeconds = 30 * 86_400
    /// The clock of whoever checks a certificate may be behind ours by so much, and ours may be ahead by as much.
    static let backdate: Duration = .seconds(2 * 86_400)

    let user: SSHAuthorityKey
    let host: SSHAuthorityKey

    static func open(user: KeyVault, host: KeyVault, now: Timestamp) async throws -> SSHAuthority {
        func key(_ vault: KeyVault) async throws -> SSHAuthorityKey {
            try SSHAuthorityKey(await vault.only(now: now) { ("ca", SSHAuthorityKey.random()) }.secret)
        }
        return SSHAuthority(user: try await key(user), host: try await key(host))
    }

    var authorities: SSHAuthorities { SSHAuthorities(user: user.publicKey.line, host: host.publicKey.line) }

    func sign(_ request: UserCertificateRequest, serial: UInt64, keyID: String, now: Timestamp) throws -> SignedSSHCertificate {
        var options: [String: String] = [:]
        if let sources = request.sourceAddresses, !sources.isEmpty {
            for source in sources { try Self.check(source: source) }
            options["source-address"] = sources.joined(separator: ",")
        }
        if let command = request.forceCommand {
            guard (1...4096).contains(command.utf8.count) else { throw Self.invalid("The forced command has 1 to 4096 bytes") }
            options["force-command"] = command
        }
        let life = try Self.seconds(request.lifetimeSeconds, usual: Self.usualUserSeconds, in: Self.userLifetimes)
        let certificate = SSHCertificate(
            key: try Self.key(request.publicKey), kind: .user, serial: serial, keyID: keyID,
            principals: try Self.names(request.principals), validAfter: Timestamp(milliseconds: now.milliseconds - Self.backdate.wholeMilliseconds),
            validBefore: now + .seconds(life), criticalOptions: options,
            extensions: request.forceCommand == nil ? SSHCertificate.usualExtensions : [])
        return SignedSSHCertificate(certificate, line: try user.sign(certificate))
    }

    func sign(_ request: HostCertificateRequest, serial: UInt64, keyID: String, now: Timestamp) throws -> SignedSSHCertificate {
        let life = try Self.seconds(request.lifetimeSeconds, usual: Self.usualHostSeconds, in: Self.hostLifetimes)
        let certificate = SSHCertificate(
            key: try Self.key(request.publicKey), kind: .host, serial: serial, keyID: keyID,
            principals: try Self.names(request.principals), validAfter: Timestamp(milliseconds: now.milliseconds - Self.backdate.wholeMilliseconds),
            validBefore: now + .seconds(life))
        return SignedSSHCertificate(certificate, line: try host.sign(certificate))
    }

    // MARK: What is refused

    private static func key(_ line: String) throws(Problem) -> SSHPublicKey {
        do throws(SSHFormatError) {
            return try SSHPublicKey(line)
        } catch {
            throw Problem(
                "ssh-key-invalid", status: 422, title: "That is no SSH public key that can be signed", detail: error.description,
                remedy: "Send one line of a .pub file: ed25519, ecdsa, rsa from 2048 bits, or a security key's.")
        }
    }

    /// A certificate without principals is good for every name: never made here.
    private static func names(_ names: [String]) throws(Problem) -> [String] {
        guard (1...64).contains(names.count), names.allSatisfy(isName) else {
            throw invalid("1 to 64 principals are named, each 1 to 255 visible ASCII characters without comma")
        }
        return names
    }

    private static func isName(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count) && name.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != UInt8(ascii: ",") }
    }

    private static func check(source: String) throws(Problem) {
        let plain = Set("0123456789abcdefABCDEF.:/".utf8)
        guard (2...64).contains(source.utf8.count), source.utf8.allSatisfy(plain.contains) else {
            throw invalid("“\(source.prefix(64))” is not an address or a network")
        }
    }

    private static func seconds(_ wanted: Int?, usual: Int, in range: ClosedRange<Int>) throws(Problem) -> Int {
        guard range.contains(wanted ?? usual) else {
            throw invalid("Such a certificate lives \(range.lowerBound) to \(range.upperBound) seconds")
        }
        return wanted ?? usual
    }

    private static func invalid(_ title: String) -> Problem { Problem("certificate-invalid", status: 422, title: title) }
}

/// A certificate as it is handed out.
public struct SignedSSHCertificate: Codable, Sendable, Equatable {
    /// The content of a `-cert.pub` file.
    public var certificate: String
    /// Decimal, since JSON's numbers end at 2^53.
    public var serial: String
    public var keyID: String
    public var principals: [String]
    public var expiresAt: Timestamp

    init(_ certificate: SSHCertificate, line: String) {
        self.certificate = line
        serial = String(certificate.serial)
        keyID = certificate.keyID
        principals = certificate.principals
        expiresAt = certificate.validBefore
    }
}
