/// TPM_ALG_ID (TCG Algorithm Registry; TPM 2.0 Library Part 2 §6.3).
public struct TPMAlgorithm: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let rsa = Self(rawValue: 0x0001)
    public static let sha1 = Self(rawValue: 0x0004)
    public static let aes = Self(rawValue: 0x0006)
    public static let sha256 = Self(rawValue: 0x000b)
    public static let sha384 = Self(rawValue: 0x000c)
    public static let sha512 = Self(rawValue: 0x000d)
    public static let null = Self(rawValue: 0x0010)
    public static let rsaSSA = Self(rawValue: 0x0014)
    public static let rsaES = Self(rawValue: 0x0015)
    public static let rsaPSS = Self(rawValue: 0x0016)
    public static let oaep = Self(rawValue: 0x0017)
    public static let ecdsa = Self(rawValue: 0x0018)
    public static let ecdh = Self(rawValue: 0x0019)
    public static let ecdaa = Self(rawValue: 0x001a)
    public static let ecSchnorr = Self(rawValue: 0x001c)
    public static let ecc = Self(rawValue: 0x0023)
    public static let cfb = Self(rawValue: 0x0043)

    /// The size of a hash algorithm's digest in bytes; nil for what is no hash known here.
    public var digestBytes: Int? {
        switch self {
        case .sha1: 20
        case .sha256: 32
        case .sha384: 48
        case .sha512: 64
        default: nil
        }
    }

    public var description: String {
        switch self {
        case .sha1: "sha1"
        case .sha256: "sha256"
        case .sha384: "sha384"
        case .sha512: "sha512"
        default: "0x" + String(rawValue, radix: 16)
        }
    }
}

/// Bytes that are not the TPM structure they should be.
public struct TPMFormatError: Error, Equatable, Sendable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}
