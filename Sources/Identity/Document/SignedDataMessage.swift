internal import SwiftASN1
internal import X509

/// A CMS SignedData (RFC 5652 §5.1) with its content inside, one certificate,
/// and one signer without signed attributes: the form in which EC2 serves
/// `pkcs7`, and from which its readers take the document.
struct SignedDataMessage {
    /// The encapsulated content.
    var content: [UInt8]
    var certificate: Certificate
    /// RSASSA-PKCS1-v1_5 with SHA-256 over the content.
    var signature: [UInt8]

    private static let signedData: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 7, 2]
    private static let data: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 7, 1]
    private static let sha256: ASN1ObjectIdentifier = [2, 16, 840, 1, 101, 3, 4, 2, 1]
    private static let rsaEncryption: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 1, 1]

    private static let explicitZero = ASN1Identifier(tagWithNumber: 0, tagClass: .contextSpecific)

    func derBytes() throws -> [UInt8] {
        var certificateDER = DER.Serializer()
        try certificateDER.serialize(certificate)
        let certificateBytes = certificateDER.serializedBytes
        var coder = DER.Serializer()
        // ContentInfo, RFC 5652 §3.
        try coder.appendConstructedNode(identifier: .sequence) { coder in
            try coder.serialize(Self.signedData)
            try coder.appendConstructedNode(identifier: Self.explicitZero) { coder in
                try coder.appendConstructedNode(identifier: .sequence) { coder in
                    try coder.serialize(1)
                    try coder.appendConstructedNode(identifier: .set) { try Self.algorithm(Self.sha256, into: &$0) }
                    try coder.appendConstructedNode(identifier: .sequence) { coder in
                        try coder.serialize(Self.data)
                        try coder.appendConstructedNode(identifier: Self.explicitZero) { coder in
                            try coder.serialize(ASN1OctetString(contentBytes: content[...]))
                        }
                    }
                    coder.appendConstructedNode(identifier: Self.explicitZero) { coder in
                        coder.serializeRawBytes(certificateBytes)
                    }
                    try coder.appendConstructedNode(identifier: .set) { try signerInfo(into: &$0) }
                }
            }
        }
        return coder.serializedBytes
    }

    /// RFC 5652 §5.3, version 1: the signer is named by its certificate's issuer and serial number.
    private func signerInfo(into coder: inout DER.Serializer) throws {
        try coder.appendConstructedNode(identifier: .sequence) { coder in
            try coder.serialize(1)
            try coder.appendConstructedNode(identifier: .sequence) { coder in
                try coder.serialize(certificate.issuer)
                try coder.serialize(certificate.serialNumber.bytes)
            }
            try Self.algorithm(Self.sha256, into: &coder)
            try Self.algorithm(Self.rsaEncryption, into: &coder)
            try coder.serialize(ASN1OctetString(contentBytes: signature[...]))
        }
    }

    /// AlgorithmIdentifier with NULL parameters (RFC 3370 §2.1, §3.2).
    private static func algorithm(_ identifier: ASN1ObjectIdentifier, into coder: inout DER.Serializer) throws {
        try coder.appendConstructedNode(identifier: .sequence) { coder in
            try coder.serialize(identifier)
            try coder.serialize(ASN1Null())
        }
    }
}
