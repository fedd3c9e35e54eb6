/// Whether a machine's boot was measured and found to be what it should be.
public enum AttestationStanding: String, Codable, Sendable, CaseIterable {
    /// Nobody asked it for a quote.
    case none
    case attested
    /// It was asked, and what it answered was refused.
    case failed
}

/// Whether a machine must prove its boot. A network that asks for proof sets ``required`` when it sees the machine; from then
/// on the rule goes with the machine to every other network. Only a person relaxes it.
public enum AttestationRule: String, Codable, Sendable, CaseIterable {
    case required, relaxed
}

/// What is known of a machine's TPM: the keys that were enrolled, the registers
/// that a boot must have, and how the last boot was judged.
public struct MachineAttestation: Codable, Sendable, Equatable {
    /// The endorsement key's name in hex: it tells one TPM from another.
    public var endorsementKey: String
    /// SHA-256 of the maker's certificate for it in hex, where the TPM has one.
    public var endorsementCertificate: String?
    /// Whether a maker that the operator believes vouches for it. Without, it may be a pair of keys in software.
    public var isProven: Bool?
    /// The attestation key, a TPM2B_PUBLIC.
    public var attestationKey: Base64Bytes
    public var enrolledAt: Timestamp
    /// What registers of the SHA-256 bank must hold, in hex by register; nil: what the next good quote says.
    public var policy: [String: String]?
    public var standing: AttestationStanding
    /// The boot of the agent that was judged.
    public var boot: String?
    public var judgedAt: Timestamp?
    /// Why it failed.
    public var problem: Problem?
    /// All registers as they were last quoted.
    public var registers: [String: String]?
    /// The TPM's count of boots at that quote.
    public var resetCount: UInt32?

    public init(endorsementKey: String, endorsementCertificate: String?, attestationKey: Base64Bytes, enrolledAt: Timestamp) {
        self.endorsementKey = endorsementKey
        self.endorsementCertificate = endorsementCertificate
        self.attestationKey = attestationKey
        self.enrolledAt = enrolledAt
        standing = .none
    }

    /// What a quote can get wrong without a doubt about whose it is.
    static let differences: Set<String> = ["boot-differs"]

    /// Whether this very boot of the agent showed that it has the enrolled TPM, be it that it booted something else.
    public func isOfThisTPM(for boot: String?) -> Bool {
        boot != nil && self.boot == boot && (standing == .attested || problem.map { Self.differences.contains($0.code) } ?? false)
    }

    /// Whether this very boot of the agent was found good.
    public func isGood(for boot: String?) -> Bool { standing == .attested && boot != nil && self.boot == boot }
}

// How the agent proves its machine's TPM, after hello and before it asks for work:
//
//   POST tpm-enrol  TPMEnrolment  → TPMChallenge
//   POST tpm-quote  TPMProof      → 204, or a Problem: the boot is not what it should be

/// The keys of the machine's TPM.
public struct TPMEnrolment: Codable, Sendable {
    /// TPM2B_PUBLIC, as are both keys.
    public var endorsementKey: Base64Bytes
    public var attestationKey: Base64Bytes
    /// The maker's certificate, DER.
    public var endorsementCertificate: Base64Bytes?

    public init(endorsementKey: Base64Bytes, attestationKey: Base64Bytes, endorsementCertificate: Base64Bytes?) {
        self.endorsementKey = endorsementKey
        self.attestationKey = attestationKey
        self.endorsementCertificate = endorsementCertificate
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        endorsementKey = try container.bytes(.endorsementKey, limit: AgentLimits.tpmStructureBytes)
        attestationKey = try container.bytes(.attestationKey, limit: AgentLimits.tpmStructureBytes)
        endorsementCertificate = try container.bytesIfPresent(.endorsementCertificate, limit: AgentLimits.certificateBytes)
    }
}

/// What only that TPM can open, and what it is to quote with.
public struct TPMChallenge: Codable, Sendable {
    /// TPM2B_ID_OBJECT.
    public var credentialBlob: Base64Bytes
    /// TPM2B_ENCRYPTED_SECRET.
    public var encryptedSecret: Base64Bytes
    public var nonce: Base64Bytes
    /// Of the SHA-256 bank.
    public var registers: [Int]

    public init(credentialBlob: Base64Bytes, encryptedSecret: Base64Bytes, nonce: Base64Bytes, registers: [Int]) {
        self.credentialBlob = credentialBlob
        self.encryptedSecret = encryptedSecret
        self.nonce = nonce
        self.registers = registers
    }
}

/// The opened secret and a quote, with the same keys as in the enrolment.
public struct TPMProof: Codable, Sendable {
    public var enrolment: TPMEnrolment
    public var secret: Base64Bytes
    /// TPMS_ATTEST.
    public var attest: Base64Bytes
    /// TPMT_SIGNATURE.
    public var signature: Base64Bytes
    /// In hex by register.
    public var registers: [String: String]
    /// The firmware's event log.
    public var log: Base64Bytes?

    public init(
        enrolment: TPMEnrolment, secret: Base64Bytes, attest: Base64Bytes, signature: Base64Bytes, registers: [String: String],
        log: Base64Bytes?
    ) {
        self.enrolment = enrolment
        self.secret = secret
        self.attest = attest
        self.signature = signature
        self.registers = registers
        self.log = log
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        enrolment = try container.decode(TPMEnrolment.self, forKey: .enrolment)
        secret = try container.bytes(.secret, limit: AgentLimits.tpmStructureBytes)
        attest = try container.bytes(.attest, limit: AgentLimits.tpmStructureBytes)
        signature = try container.bytes(.signature, limit: AgentLimits.tpmStructureBytes)
        registers = try container.decode([String: String].self, forKey: .registers)
        guard registers.count <= AgentLimits.registers, registers.allSatisfy({ $0.key.utf8.count <= 2 && $0.value.utf8.count <= 128 }) else {
            throw DecodingError.dataCorruptedError(forKey: .registers, in: container, debugDescription: "no bank of a TPM's has these registers")
        }
        log = try container.bytesIfPresent(.log, limit: AgentLimits.eventLogBytes)
    }
}
