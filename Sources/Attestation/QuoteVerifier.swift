public import TPM
internal import Wire

/// What a machine's registers must hold: pinned by a person, or recorded at the
/// machine's first boot (trust on first use).
public struct PCRPolicy: Sendable, Equatable {
    public var bank: PCRBank
    /// The log of the boot at which the values were recorded, to tell later what changed.
    public var log: EventLog?

    public init(bank: PCRBank, log: EventLog? = nil) {
        self.bank = bank
        self.log = log
    }
}

/// A quote with all that came with it.
public struct QuoteEvidence: Sendable {
    /// TPMS_ATTEST as it was signed.
    public var attest: [UInt8]
    /// TPMT_SIGNATURE.
    public var signature: [UInt8]
    /// The register values that the machine says were quoted.
    public var bank: PCRBank
    /// The firmware's event log, if the machine has one.
    public var log: [UInt8]?

    public init(attest: [UInt8], signature: [UInt8], bank: PCRBank, log: [UInt8]? = nil) {
        self.attest = attest
        self.signature = signature
        self.bank = bank
        self.log = log
    }
}

/// A register that does not hold what it must.
public struct PCRDifference: Sendable, Equatable, CustomStringConvertible {
    public var register: Int
    public var expected: [UInt8]
    public var found: [UInt8]
    /// The first measurement that differs, where both logs are there.
    public var why: String?

    public var description: String {
        "PCR \(register) is \(Hex.encode(found)), not \(Hex.encode(expected))" + (why.map { ": \($0)" } ?? "")
    }
}

/// What a quote proves.
public enum QuoteVerdict: Sendable, Equatable {
    /// The registers were measured now, and hold what they must.
    case attested(QuoteFacts)
    /// The quote itself is not to be believed.
    case refused(String)
    /// The quote is good, and tells that something else was booted.
    case differs([PCRDifference])
}

/// What is remembered of a good quote.
public struct QuoteFacts: Sendable, Equatable {
    public var bank: PCRBank
    public var log: EventLog?
    /// It counts boots of the machine; it never goes down while the TPM is the same.
    public var resetCount: UInt32
    public var firmwareVersion: UInt64
}

/// Decides what a quote proves: a pure function of the quote, the enrolled
/// attestation key, the nonce that was asked with, and the policy.
public enum QuoteVerifier {
    /// - Parameters:
    ///   - policy: nil at the first boot: whatever a good quote says is then taken on trust.
    ///   - registers: those that must be quoted, policy or not.
    public static func verify(
        _ evidence: QuoteEvidence, key: TPMPublicArea, nonce: [UInt8], policy: PCRPolicy?, registers: [Int]
    ) -> QuoteVerdict {
        // A key that also signs what it is given could be made to sign a quote that no TPM made (Part 1 §31.5).
        guard key.attributes.isSuperset(of: [.fixedTPM, .fixedParent, .sensitiveDataOrigin, .restricted, .sign]),
            !key.attributes.contains(.decrypt)
        else { return .refused("the key is no attestation key: it is not restricted to its TPM and to signing what that made") }
        let quote: TPMQuote
        let signature: TPMSignature
        do throws(TPMFormatError) {
            quote = try TPMQuote(parsing: evidence.attest)
            signature = try TPMSignature(parsing: evidence.signature)
        } catch {
            return .refused("the quote cannot be read: \(error)")
        }
        guard QuoteSignature.isValid(signature, of: evidence.attest, by: key) else {
            return .refused("the quote is not signed by this machine's attestation key")
        }
        guard nonce.count >= 16, quote.extraData == nonce else {
            return .refused("the quote does not carry the nonce that was asked with: it is an old one")
        }
        guard quote.selection.banks.count == 1, let selected = quote.selection.banks.first, selected.hash == evidence.bank.hash,
            Set(selected.registers) == Set(evidence.bank.values.keys)
        else { return .refused("the quote is over other registers than those that came with it") }
        let needed = Set(registers).union(policy.map { $0.bank.values.keys } ?? [:].keys)
        let lacking = needed.subtracting(selected.registers).sorted()
        guard lacking.isEmpty else {
            return .refused("PCR \(lacking.map(String.init).joined(separator: ", ")) is not in the quote")
        }
        if let policy, policy.bank.hash != selected.hash {
            return .refused("the quote is of the \(selected.hash) bank; the policy is for \(policy.bank.hash)")
        }
        guard evidence.bank.digest(of: selected.registers, with: signature.hash) == quote.digest else {
            return .refused("the register values are not those that the TPM signed")
        }
        return compare(evidence, quote, policy)
    }

    /// The registers are believed from here on; the log only where it leads to them.
    private static func compare(_ evidence: QuoteEvidence, _ quote: TPMQuote, _ policy: PCRPolicy?) -> QuoteVerdict {
        var log: EventLog?
        if let bytes = evidence.log {
            do throws(TPMFormatError) {
                log = try EventLog(parsing: bytes)
            } catch {
                return .refused("the event log cannot be read: \(error)")
            }
        }
        let replayed = log.flatMap { PCRBank(replaying: $0, hash: evidence.bank.hash) }
        if log != nil, replayed == nil { return .refused("the event log has no \(evidence.bank.hash) digests") }
        let different = (policy?.bank.values ?? [:]).filter { evidence.bank.values[$0.key] != $0.value }.keys.sorted()
        guard different.isEmpty else {
            return .differs(
                different.map { register in
                    let found = evidence.bank.values[register] ?? []
                    let isExplained = replayed?.values[register] == found
                    return PCRDifference(
                        register: register, expected: policy?.bank.values[register] ?? [], found: found,
                        why: isExplained ? firstChange(policy?.log, log, register, evidence.bank.hash) : nil)
                })
        }
        return .attested(
            QuoteFacts(bank: evidence.bank, log: log, resetCount: quote.resetCount, firmwareVersion: quote.firmwareVersion))
    }

    /// The first measurement of `register` that the new log has and the old has not, in words.
    private static func firstChange(_ old: EventLog?, _ new: EventLog?, _ register: Int, _ hash: TPMAlgorithm) -> String? {
        guard let new else { return nil }
        let after = new.measurements(of: register)
        guard let old else { return nil }
        let before = old.measurements(of: register)
        for (index, event) in after.enumerated() {
            guard index < before.count else { return "measurement \(index + 1) is new: \(event.summary)" }
            if event.digests[hash] != before[index].digests[hash] {
                return "measurement \(index + 1) changed: \(event.summary)"
            }
        }
        return before.count > after.count ? "measurement \(after.count + 1) is missing: \(before[after.count].summary)" : nil
    }
}
