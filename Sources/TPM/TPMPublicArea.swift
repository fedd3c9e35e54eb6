internal import Wire

/// TPMT_PUBLIC: the public half of a key in a TPM (Part 2 §12.2.4). Asymmetric keys only.
public struct TPMPublicArea: Sendable, Equatable {
    /// TPMA_OBJECT (Part 2 §8.3).
    public struct Attributes: OptionSet, Sendable, Equatable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let fixedTPM = Self(rawValue: 1 << 1)
        public static let stClear = Self(rawValue: 1 << 2)
        public static let fixedParent = Self(rawValue: 1 << 4)
        public static let sensitiveDataOrigin = Self(rawValue: 1 << 5)
        public static let userWithAuth = Self(rawValue: 1 << 6)
        public static let adminWithPolicy = Self(rawValue: 1 << 7)
        public static let noDA = Self(rawValue: 1 << 10)
        public static let restricted = Self(rawValue: 1 << 16)
        public static let decrypt = Self(rawValue: 1 << 17)
        public static let sign = Self(rawValue: 1 << 18)
    }

    public struct Symmetric: Sendable, Equatable {
        public var algorithm: TPMAlgorithm
        public var keyBits: UInt16
        public var mode: TPMAlgorithm
        public init(algorithm: TPMAlgorithm, keyBits: UInt16, mode: TPMAlgorithm) {
            self.algorithm = algorithm
            self.keyBits = keyBits
            self.mode = mode
        }
    }

    public struct Scheme: Sendable, Equatable {
        public var algorithm: TPMAlgorithm
        public var hash: TPMAlgorithm
        public init(algorithm: TPMAlgorithm, hash: TPMAlgorithm) {
            self.algorithm = algorithm
            self.hash = hash
        }
    }

    public enum Key: Sendable, Equatable {
        /// `exponent` 0 stands for 65537 (Part 2 §12.2.3.5).
        case rsa(keyBits: UInt16, exponent: UInt32, modulus: [UInt8])
        /// TPM_ECC_CURVE: 3 is NIST P-256, 4 is P-384 (Part 2 §6.4).
        case ecc(curve: UInt16, x: [UInt8], y: [UInt8])
    }

    public var nameAlgorithm: TPMAlgorithm
    public var attributes: Attributes
    public var authPolicy: [UInt8]
    /// What a storage key encrypts its children with; nil for others.
    public var symmetric: Symmetric?
    public var scheme: Scheme?
    public var key: Key

    public init(
        nameAlgorithm: TPMAlgorithm, attributes: Attributes, authPolicy: [UInt8], symmetric: Symmetric?, scheme: Scheme?, key: Key
    ) {
        self.nameAlgorithm = nameAlgorithm
        self.attributes = attributes
        self.authPolicy = authPolicy
        self.symmetric = symmetric
        self.scheme = scheme
        self.key = key
    }

    /// RSA up to 4096 bits.
    static let limitModulusBytes = 512
    /// Up to P-521.
    static let limitCoordinateBytes = 66

    /// From a TPM2B_PUBLIC (Part 2 §12.2.5).
    public init(parsingSized bytes: [UInt8]) throws(TPMFormatError) {
        var reader = TPMReader(bytes)
        let inner = try reader.sized(limit: 2048)
        try reader.finish()
        try self.init(parsing: inner)
    }

    public init(parsing bytes: [UInt8]) throws(TPMFormatError) {
        var reader = TPMReader(bytes)
        let type = try reader.algorithm()
        nameAlgorithm = try reader.algorithm()
        attributes = Attributes(rawValue: try reader.u32())
        authPolicy = try reader.sized(limit: 64)
        let method = try reader.algorithm()
        if method == .null {
            symmetric = nil
        } else {
            symmetric = Symmetric(algorithm: method, keyBits: try reader.u16(), mode: try reader.algorithm())
        }
        let schemeAlgorithm = try reader.algorithm()
        switch schemeAlgorithm {
        case .null: scheme = nil
        case .rsaES: scheme = Scheme(algorithm: .rsaES, hash: .null)
        case .rsaSSA, .rsaPSS, .oaep, .ecdsa, .ecdh, .ecSchnorr:
            scheme = Scheme(algorithm: schemeAlgorithm, hash: try reader.algorithm())
        default: throw TPMFormatError("scheme \(schemeAlgorithm) is not known")
        }
        switch type {
        case .rsa:
            let keyBits = try reader.u16()
            let exponent = try reader.u32()
            key = .rsa(keyBits: keyBits, exponent: exponent, modulus: try reader.sized(limit: Self.limitModulusBytes))
        case .ecc:
            let curve = try reader.u16()
            let kdf = try reader.algorithm()
            guard kdf == .null else { throw TPMFormatError("a key with a KDF of its own") }
            key = .ecc(
                curve: curve, x: try reader.sized(limit: Self.limitCoordinateBytes), y: try reader.sized(limit: Self.limitCoordinateBytes))
        default: throw TPMFormatError("a key of type \(type)")
        }
        try reader.finish()
    }

    /// TPMT_PUBLIC as the TPM marshals it: what its name is the hash of.
    public func serialize() -> [UInt8] {
        var writer = ByteWriter()
        if case .rsa = key { writer.write(TPMAlgorithm.rsa) } else { writer.write(TPMAlgorithm.ecc) }
        writer.write(nameAlgorithm)
        writer.write(attributes.rawValue)
        writer.writeSized(authPolicy)
        if let symmetric {
            writer.write(symmetric.algorithm)
            writer.write(symmetric.keyBits)
            writer.write(symmetric.mode)
        } else {
            writer.write(TPMAlgorithm.null)
        }
        writer.write(scheme?.algorithm ?? .null)
        if let scheme, scheme.algorithm != .rsaES { writer.write(scheme.hash) }
        switch key {
        case .rsa(let keyBits, let exponent, let modulus):
            writer.write(keyBits)
            writer.write(exponent)
            writer.writeSized(modulus)
        case .ecc(let curve, let x, let y):
            writer.write(curve)
            writer.write(TPMAlgorithm.null)
            writer.writeSized(x)
            writer.writeSized(y)
        }
        return writer.bytes
    }

    /// TPM2B_PUBLIC.
    public func serializeSized() -> [UInt8] {
        var writer = ByteWriter()
        writer.writeSized(serialize())
        return writer.bytes
    }
}
