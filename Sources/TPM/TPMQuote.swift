internal import Wire

/// TPMS_ATTEST of a quote: what a TPM says of its registers, as it signs it (Part 2 §10.12.8).
public struct TPMQuote: Sendable, Equatable {
    /// TPM_GENERATED_VALUE: a restricted key signs nothing with it that did not come from the TPM itself (Part 2 §6.2).
    static let magic: UInt32 = 0xff54_4347
    /// TPM_ST_ATTEST_QUOTE (Part 2 §6.9).
    static let type: UInt16 = 0x8018
    public static let limitBytes = 1024

    /// The qualified name of the key that signs.
    public var qualifiedSigner: [UInt8]
    /// What the caller gave: the nonce.
    public var extraData: [UInt8]
    public var clockMilliseconds: UInt64
    /// How often the TPM was reset: it counts boots.
    public var resetCount: UInt32
    public var restartCount: UInt32
    /// Whether the clock never went back.
    public var isClockSafe: Bool
    public var firmwareVersion: UInt64
    public var selection: PCRSelection
    /// The hash over all selected registers, in the signing scheme's algorithm.
    public var digest: [UInt8]

    public init(parsing bytes: [UInt8]) throws(TPMFormatError) {
        guard bytes.count <= Self.limitBytes else { throw TPMFormatError("a quote of \(bytes.count) bytes") }
        var reader = TPMReader(bytes)
        guard try reader.u32() == Self.magic else { throw TPMFormatError("not made by a TPM: the magic number is missing") }
        let type = try reader.u16()
        guard type == Self.type else { throw TPMFormatError("an attestation of type 0x\(String(type, radix: 16)), not a quote") }
        qualifiedSigner = try reader.sized(limit: 66)
        extraData = try reader.sized(limit: 66)
        clockMilliseconds = try reader.u64()
        resetCount = try reader.u32()
        restartCount = try reader.u32()
        let safe = try reader.u8()
        guard safe <= 1 else { throw TPMFormatError("a yes or no of \(safe)") }
        isClockSafe = safe == 1
        firmwareVersion = try reader.u64()
        selection = try PCRSelection(from: &reader)
        digest = try reader.sized(limit: 64)
        try reader.finish()
    }

    public func serialize() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Self.magic)
        writer.write(Self.type)
        writer.writeSized(qualifiedSigner)
        writer.writeSized(extraData)
        writer.write(clockMilliseconds)
        writer.write(resetCount)
        writer.write(restartCount)
        writer.write(UInt8(isClockSafe ? 1 : 0))
        writer.write(firmwareVersion)
        selection.write(into: &writer)
        writer.writeSized(digest)
        return writer.bytes
    }
}

/// TPMT_SIGNATURE (Part 2 §11.3.4).
public enum TPMSignature: Sendable, Equatable {
    case rsaSSA(hash: TPMAlgorithm, signature: [UInt8])
    case rsaPSS(hash: TPMAlgorithm, signature: [UInt8])
    case ecdsa(hash: TPMAlgorithm, r: [UInt8], s: [UInt8])

    public init(parsing bytes: [UInt8]) throws(TPMFormatError) {
        var reader = TPMReader(bytes)
        let algorithm = try reader.algorithm()
        switch algorithm {
        case .rsaSSA, .rsaPSS:
            let hash = try reader.algorithm()
            let signature = try reader.sized(limit: TPMPublicArea.limitModulusBytes)
            self = algorithm == .rsaSSA ? .rsaSSA(hash: hash, signature: signature) : .rsaPSS(hash: hash, signature: signature)
        case .ecdsa:
            let hash = try reader.algorithm()
            self = .ecdsa(
                hash: hash, r: try reader.sized(limit: TPMPublicArea.limitCoordinateBytes),
                s: try reader.sized(limit: TPMPublicArea.limitCoordinateBytes))
        default: throw TPMFormatError("a signature of type \(algorithm)")
        }
        try reader.finish()
    }

    public var hash: TPMAlgorithm {
        switch self {
        case .rsaSSA(let hash, _), .rsaPSS(let hash, _), .ecdsa(let hash, _, _): hash
        }
    }

    public func serialize() -> [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .rsaSSA(let hash, let signature):
            writer.write(TPMAlgorithm.rsaSSA)
            writer.write(hash)
            writer.writeSized(signature)
        case .rsaPSS(let hash, let signature):
            writer.write(TPMAlgorithm.rsaPSS)
            writer.write(hash)
            writer.writeSized(signature)
        case .ecdsa(let hash, let r, let s):
            writer.write(TPMAlgorithm.ecdsa)
            writer.write(hash)
            writer.writeSized(r)
            writer.writeSized(s)
        }
        return writer.bytes
    }
}
