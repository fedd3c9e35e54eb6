public import Model
internal import Wire

/// How well a caller has shown who it is.
public enum Proof: UInt8, Sendable, Comparable {
    /// Behind a router, where no MAC address is seen: its address is this machine's. Whoever is on that network can take it.
    case address = 0
    /// Its address, its MAC address and its lease agree. Another machine on the same wire can copy all of them.
    case wire = 1
    /// It also had its seed key, which its first-boot data names: a local user of the machine may have read it.
    case seed = 2
    /// It also had what only root of this machine was given: its instance key.
    case key = 3

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// Makes and checks the tokens of EC2's session-oriented metadata ("IMDSv2"), and checks the keys of installations.
///
/// A token is `kind, proof, expiry, random` and a tag over these and over the machine, its incarnation, its
/// MAC address and its address. Nothing is kept: a token is good where its tag is, and no other machine, no other
/// installation and no other port can make use of it. Behind a router, where there is no MAC address and maybe nothing else
/// that tells the machine, it begins with the machine's ID.
public struct MetadataSessions: Sendable {
    /// A keyed code of 32 bytes over its argument (HMAC-SHA-256).
    public typealias Code = @Sendable ([UInt8]) -> [UInt8]

    /// What EC2 takes: a second to six hours.
    public static let tokenSeconds = 1...21_600
    private static let headBytes = 18
    private static let tagBytes = 32
    /// The length of a token's text, without a machine's ID.
    public static let tokenCharacters = (headBytes + tagBytes) * 2

    /// SHA-256.
    public typealias Digest = @Sendable ([UInt8]) -> [UInt8]

    private let code: Code
    private let digest: Digest

    public init(code: @escaping Code, digest: @escaping Digest) {
        self.code = code
        self.digest = digest
    }

    /// - Parameters:
    ///   - seconds: one of ``tokenSeconds``.
    ///   - random: makes two tokens of the same millisecond differ.
    public func token(for asker: Asker, proof: Proof, seconds: Int, now: Timestamp, random: UInt64) -> String {
        var writer = ByteWriter(reservingCapacity: Self.headBytes)
        writer.write(UInt8(1))
        writer.write(proof.rawValue)
        writer.write(UInt64(bitPattern: (now + .seconds(seconds)).milliseconds))
        writer.write(random)
        return prefix(for: asker) + Hex.encode(writer.bytes) + Hex.encode(tag(writer.bytes, asker, at: asker.address))
    }

    /// What a token proves, and until when; nil: it is malformed, expired, or another's.
    ///
    /// One that proves less than the asker must show by itself is good for nothing (see ``Asker/shows``).
    public func check(_ token: String, of asker: Asker, now: Timestamp) -> (proof: Proof, expires: Timestamp)? {
        let start = prefix(for: asker)
        guard token.hasPrefix(start) else { return nil }
        let token = token.dropFirst(start.count)
        guard token.utf8.count == Self.tokenCharacters, let bytes = Hex.decode(token) else { return nil }
        let head = Array(bytes[..<Self.headBytes])
        var reader = ByteReader(head)
        guard (try? reader.readUInt8()) == 1, let proof = (try? reader.readUInt8()).flatMap(Proof.init),
            let expiry = try? reader.readUInt64()
        else { return nil }
        let expires = Timestamp(milliseconds: Int64(bitPattern: expiry))
        // One that lives longer than any that is made now is of a clock that is not ours any more.
        guard now < expires, expires <= now + .seconds(Self.tokenSeconds.upperBound), proof >= asker.shows ?? .seed,
            ([asker.address] + asker.elsewhere).contains(where: { Self.isSame(bytes[Self.headBytes...], tag(head, asker, at: $0)) })
        else { return nil }
        return (proof, expires)
    }

    public func proves(_ claim: MachineClaim, of asker: Asker, now: Timestamp) -> Bool {
        switch claim.proof {
        case .key(let key): check(key: key, of: asker) != nil
        case .token(let token): check(token, of: asker, now: now) != nil
        }
    }

    private func prefix(for asker: Asker) -> String { asker.isBehindRouter ? "\(asker.machine)." : "" }

    /// What a key proves; nil: it is none of the asker's. Only what the keys are checked with is known here, not the keys.
    public func check(key text: String, of asker: Asker) -> Proof? {
        guard let verifiers = asker.keyVerifiers else { return nil }
        let given = Array(Hex.encode(digest(Array(text.utf8))).utf8)[...]
        if Self.isSame(given, Array(verifiers.instance.utf8)) { return .key }
        if Self.isSame(given, Array(verifiers.seed.utf8)) { return .seed }
        return nil
    }

    private func tag(_ head: [UInt8], _ asker: Asker, at address: IPv4Address) -> [UInt8] {
        let port = asker.isBehindRouter ? "routed" : asker.mac.description
        return code(head + Array("imds|\(asker.machine)|\(asker.incarnation)|\(port)|\(address)".utf8))
    }

    /// In a time that does not tell where they differ.
    private static func isSame(_ left: ArraySlice<UInt8>, _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
