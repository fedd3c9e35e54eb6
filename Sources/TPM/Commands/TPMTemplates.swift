/// The keys that every boot makes anew from the TPM's own seed, and that are so the same at every boot.
public enum TPMTemplates {
    /// `PolicySecret(TPM_RH_ENDORSEMENT)`: whoever may use the endorsement hierarchy may use the endorsement
    /// key (TCG EK Credential Profile 2.5 §B.6.2, PolicyA for SHA-256).
    private static let endorsementPolicy: [UInt8] = [
        0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
        0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
    ]

    private static func endorsement(_ key: TPMPublicArea.Key) -> TPMPublicArea {
        TPMPublicArea(
            nameAlgorithm: .sha256,
            attributes: [.fixedTPM, .fixedParent, .sensitiveDataOrigin, .adminWithPolicy, .restricted, .decrypt],
            authPolicy: endorsementPolicy, symmetric: .init(algorithm: .aes, keyBits: 128, mode: .cfb), scheme: nil, key: key)
    }

    /// Template L-1 (EK Credential Profile §B.3.3): the key that the maker's certificate at ``rsaCertificate`` is of.
    public static let rsaEndorsement = endorsement(.rsa(keyBits: 2048, exponent: 0, modulus: [UInt8](repeating: 0, count: 256)))
    /// Template L-2 (§B.3.4).
    public static let eccEndorsement = endorsement(
        .ecc(curve: 3, x: [UInt8](repeating: 0, count: 32), y: [UInt8](repeating: 0, count: 32)))

    /// A key that signs what the TPM itself made, and nothing else. A wrong password cannot lock it out: it has none.
    public static let attestation = TPMPublicArea(
        nameAlgorithm: .sha256, attributes: [.fixedTPM, .fixedParent, .sensitiveDataOrigin, .userWithAuth, .noDA, .restricted, .sign],
        authPolicy: [], symmetric: nil, scheme: .init(algorithm: .ecdsa, hash: .sha256), key: .ecc(curve: 3, x: [], y: []))

    /// Where makers leave the endorsement keys' certificates (§2.2.1.4).
    public static let rsaCertificate: UInt32 = 0x01c0_0002
    public static let eccCertificate: UInt32 = 0x01c0_000a
}
