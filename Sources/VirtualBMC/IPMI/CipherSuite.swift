internal import Crypto
internal import CryptoExtras
internal import FoundationEssentials

/// How a session is protected (IPMI 2.0 §13.28 to §13.29, table 22-20): those suites that both authenticate and encrypt.
enum CipherSuite: UInt8, CaseIterable {
    /// RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128.
    case sha1 = 3
    /// RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128.
    case sha256 = 17

    /// The suite of these algorithms, as Open Session Request names them; nil: it is not offered.
    init?(authentication: UInt8, integrity: UInt8, confidentiality: UInt8) {
        guard let suite = Self.allCases.first(where: { $0.algorithms == [authentication, integrity, confidentiality] }) else { return nil }
        self = suite
    }

    /// Authentication (table 13-17), integrity (13-18), confidentiality (13-19).
    var algorithms: [UInt8] {
        switch self {
        case .sha1: [1, 1, 1]
        case .sha256: [3, 4, 1]
        }
    }

    /// A standard suite's record (table 22-19).
    var record: [UInt8] { [0xc0, rawValue, algorithms[0], 0x40 | algorithms[1], 0x80 | algorithms[2]] }

    /// In bytes, of the integrity code after each packet, and of the one in RAKP 4.
    var codeBytes: Int {
        switch self {
        case .sha1: 12
        case .sha256: 16
        }
    }

    func code(_ bytes: [UInt8], key: [UInt8]) -> [UInt8] {
        let key = SymmetricKey(data: key)
        switch self {
        case .sha1: return Array(HMAC<Insecure.SHA1>.authenticationCode(for: bytes, using: key))
        case .sha256: return Array(HMAC<SHA256>.authenticationCode(for: bytes, using: key))
        }
    }

    /// §13.29: IV, then the data with a padding of 1, 2, 3, … and its length. Nil: it does not open.
    static func decrypt(_ bytes: [UInt8], key: [UInt8]) -> [UInt8]? {
        guard bytes.count >= 32, bytes.count % 16 == 0, let iv = try? AES._CBC.IV(ivBytes: bytes[0..<16]),
            let plain = try? AES._CBC.decrypt(Data(bytes[16...]), using: SymmetricKey(data: key), iv: iv, noPadding: true),
            let padding = plain.last, Int(padding) < plain.count, padding < 16
        else { return nil }
        return Array(plain.dropLast(Int(padding) + 1))
    }

    /// - Parameter iv: 16 bytes, new each time.
    static func encrypt(_ bytes: [UInt8], key: [UInt8], iv: [UInt8]) -> [UInt8]? {
        let padding = (16 - (bytes.count + 1) % 16) % 16
        let padded = bytes + (0..<padding).map { UInt8($0 + 1) } + [UInt8(padding)]
        guard let vector = try? AES._CBC.IV(ivBytes: iv),
            let sealed = try? AES._CBC.encrypt(Data(padded), using: SymmetricKey(data: key), iv: vector, noPadding: true)
        else { return nil }
        return iv + sealed
    }
}
