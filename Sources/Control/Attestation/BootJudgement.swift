internal import Attestation
internal import FoundationEssentials
internal import Model
internal import TPM
internal import Wire

/// Judges what a machine's TPM proved of its boot: a pure function of the
/// proof, of what was enrolled before, and of the secret and nonce that this
/// boot's challenge had.
struct BootJudgement {
    /// Quoted at each boot: firmware, boot programs, Secure Boot, and what boot loaders measure (TCG PC Client
    /// Platform Firmware Profile §3.3.4).
    static let quoted = Array(0...9) + [14]
    /// What must stay the same: firmware (0), option ROMs (2), boot programs and the kernel (4), Secure Boot's keys
    /// (7). The others change with settings, boot order, or the kernel's command line, which carries a new nonce each time.
    static let judged = [0, 2, 4, 7]

    var record: MachineAttestation
    /// What goes into the audit log, by register.
    var evidence: [String: String] = [:]
    /// The event log, where it is that of the policy from now on.
    var policyLog: [UInt8]?

    /// What was enrolled before stays; a TPM that is not the enrolled one is told.
    static func enrolled(_ keys: TPMKeys, before: MachineAttestation?, now: Timestamp) throws(Problem) -> MachineAttestation {
        let name = Hex.encode(keys.endorsementName)
        guard let before else {
            return MachineAttestation(
                endorsementKey: name, endorsementCertificate: keys.certificateDigest, attestationKey: keys.attestationText, enrolledAt: now)
        }
        guard before.endorsementKey == name else {
            throw Problem(
                "tpm-changed", status: 403, title: "The machine's TPM is not the one that was enrolled",
                detail: "its endorsement key is \(name.prefix(24))…, not \(before.endorsementKey.prefix(24))…",
                remedy: "If its board was replaced: hostler machine attestation forget MACHINE. Else find out who answers for it.")
        }
        var record = before
        // The endorsement key vouches for it anew at each boot.
        record.attestationKey = keys.attestationText
        return record
    }

    init(
        _ proof: TPMProof, keys: TPMKeys, enrolled: MachineAttestation, policyLog: EventLog?, boot: String, nonce: [UInt8], now: Timestamp
    ) {
        record = enrolled
        record.boot = boot
        record.judgedAt = now
        guard let attest = proof.attest.decoded, let signature = proof.signature.decoded, let values = Self.values(proof.registers) else {
            refuse("quote-refused", "The machine's quote was refused", "it is not base64, or its registers are not hex")
            return
        }
        let policy = enrolled.policy.flatMap(Self.values).map { PCRPolicy(bank: PCRBank(hash: .sha256, values: $0), log: policyLog) }
        let verdict = QuoteVerifier.verify(
            QuoteEvidence(attest: attest, signature: signature, bank: PCRBank(hash: .sha256, values: values), log: proof.log?.decoded),
            key: keys.attestation, nonce: nonce, policy: policy, registers: Self.quoted)
        switch verdict {
        case .refused(let why): refuse("quote-refused", "The machine's quote was refused", why)
        case .differs(let differences):
            record.registers = proof.registers
            for difference in differences { evidence["pcr\(difference.register)"] = difference.why ?? Hex.encode(difference.found) }
            let names = differences.map { "PCR \($0.register)" }.joined(separator: ", ")
            refuse(
                "boot-differs", "The machine booted something else than before: \(names)",
                differences.map(\.description).joined(separator: "; "))
        case .attested(let facts):
            record.standing = .attested
            record.problem = nil
            record.registers = proof.registers
            record.resetCount = facts.resetCount
            if enrolled.policy == nil {
                record.policy = Self.policy(of: proof.registers)
                self.policyLog = proof.log?.decoded
            }
        }
    }

    /// The registers that a later boot is judged by.
    static func policy(of registers: [String: String]) -> [String: String] {
        registers.filter { pair in judged.contains { String($0) == pair.key } }
    }

    private mutating func refuse(_ code: String, _ title: String, _ detail: String) {
        record.standing = .failed
        record.problem = Problem(
            code, status: 403, title: title, detail: detail,
            remedy: code == "boot-differs"
                ? "If that is as it should be, as after an update: hostler machine attestation accept MACHINE"
                : "Boot the machine again; if it stays so, look at its TPM.")
    }

    private static func values(_ registers: [String: String]) -> [Int: [UInt8]]? {
        var values: [Int: [UInt8]] = [:]
        for (name, text) in registers {
            // Written in one way only: what is judged is found by its name.
            guard let register = Int(name), String(register) == name, (0..<24).contains(register), text.utf8.count == 64, let bytes = Hex.decode(text)
            else { return nil }
            values[register] = bytes
        }
        return values
    }
}

/// The keys that an agent brought, parsed.
struct TPMKeys {
    let endorsement: TPMPublicArea
    let attestation: TPMPublicArea
    let endorsementName: [UInt8]
    let attestationName: [UInt8]
    let attestationText: Base64Bytes
    /// The maker's certificate, DER.
    let certificate: [UInt8]?

    /// Both names: what was opened for one pair of keys is of no use with another.
    var names: [UInt8] { endorsementName + attestationName }
    /// SHA-256 in hex.
    var certificateDigest: String? { certificate.map(TPMKeys.digest) }

    init(_ enrolment: TPMEnrolment) throws(Problem) {
        func malformed(_ why: String) -> Problem { Problem("tpm-keys-invalid", title: "The TPM's keys cannot be read", detail: why) }
        guard let first = enrolment.endorsementKey.decoded, let second = enrolment.attestationKey.decoded else {
            throw malformed("they are not base64")
        }
        do throws(TPMFormatError) {
            endorsement = try TPMPublicArea(parsingSized: first)
            attestation = try TPMPublicArea(parsingSized: second)
        } catch {
            throw malformed(error.description)
        }
        guard let endorsementName = endorsement.name, let attestationName = attestation.name else {
            throw malformed("their name algorithm is not known")
        }
        self.endorsementName = endorsementName
        self.attestationName = attestationName
        attestationText = enrolment.attestationKey
        certificate = enrolment.endorsementCertificate?.decoded
        guard certificate?.count ?? 0 <= 8192 else { throw malformed("the certificate has \(certificate?.count ?? 0) bytes") }
    }
}

extension Base64Bytes {
    /// Nil for text that is not base64.
    var decoded: [UInt8]? { Data(base64Encoded: text).map { Array($0) } }
}
