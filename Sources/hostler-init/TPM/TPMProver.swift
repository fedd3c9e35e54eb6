internal import FoundationEssentials
internal import Model
internal import TPM
internal import Wire

/// Makes the keys of a machine's TPM, opens the control plane's challenge and
/// quotes the registers. All of it is remade at each boot from the TPM's seed;
/// nothing is left in the TPM.
struct TPMProver<Transport: TPMTransport> {
    private var client: TPMClient<Transport>
    private var endorsementKey: UInt32 = 0
    private var attestationKey: UInt32 = 0
    let enrolment: TPMEnrolment

    /// Makes both keys. The endorsement key is of the kind that the maker certified, else on a curve, which takes less time.
    init(_ transport: Transport) throws {
        client = TPMClient(transport)
        let eccCertificate = try client.read(index: TPMTemplates.eccCertificate)
        let rsaCertificate = eccCertificate == nil ? try client.read(index: TPMTemplates.rsaCertificate) : nil
        let endorsement = try client.createPrimary(rsaCertificate == nil ? TPMTemplates.eccEndorsement : TPMTemplates.rsaEndorsement)
        let attestation = try client.createPrimary(TPMTemplates.attestation)
        endorsementKey = endorsement.handle
        attestationKey = attestation.handle
        enrolment = TPMEnrolment(
            endorsementKey: Base64Bytes(endorsement.area), attestationKey: Base64Bytes(attestation.area),
            endorsementCertificate: (eccCertificate ?? rsaCertificate).map { Base64Bytes($0) })
    }

    /// - Parameter log: the firmware's event log.
    mutating func answer(_ challenge: TPMChallenge, log: [UInt8]?) throws -> TPMProof {
        guard let blob = challenge.credentialBlob.bytes, let encrypted = challenge.encryptedSecret.bytes,
            let nonce = challenge.nonce.bytes, nonce.count <= 64, challenge.registers.allSatisfy({ (0..<24).contains($0) })
        else { throw TPMFormatError("the control plane's challenge cannot be read") }
        let secret = try client.activate(
            attestationKey: attestationKey, endorsementKey: endorsementKey, credentialBlob: blob, encryptedSecret: encrypted,
            nonce: Array(nonce.prefix(32)))
        // Read first: were a register extended in between, the values would not fit the quote, and that shows.
        let values = try client.registers(challenge.registers, of: .sha256)
        let quote = try client.quote(
            key: attestationKey, nonce: nonce, selection: PCRSelection(banks: [.init(hash: .sha256, registers: challenge.registers)]))
        return TPMProof(
            enrolment: enrolment, secret: Base64Bytes(secret), attest: Base64Bytes(quote.attest), signature: Base64Bytes(quote.signature),
            registers: Dictionary(uniqueKeysWithValues: values.map { (String($0.key), Hex.encode($0.value)) }),
            log: log.map { Base64Bytes($0) })
    }

    /// Frees what a transport without resource manager would keep.
    mutating func finish() throws {
        try client.flush(attestationKey)
        try client.flush(endorsementKey)
    }
}

extension Base64Bytes {
    init(_ bytes: [UInt8]) { self.init(base64: Data(bytes).base64EncodedString()) }
    /// Nil for text that is not base64.
    var bytes: [UInt8]? { Data(base64Encoded: text).map { Array($0) } }
}
