internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// How a client on this host reaches a server whose certificate the operator gave.
public struct ServedCertificate: Sendable {
    /// The certificate to trust, where it has signed itself; nil: one of the system's authorities vouches for it.
    public let authorityPEM: String?
    private let names: [String]

    /// - Parameter file: the chain in PEM, the server's certificate first.
    public init(pemFile file: String) throws {
        let documents = try PEMDocument.parseMultiple(pemString: String(contentsOfFile: file, encoding: .utf8))
        guard let first = documents.first else { throw ASN1Error.invalidPEMDocument(reason: "\(file) has no certificate") }
        let leaf = try Certificate(pemDocument: first)
        authorityPEM = leaf.issuer == leaf.subject ? first.pemString + "\n" : nil
        names = try (leaf.extensions.subjectAlternativeNames ?? SubjectAlternativeNames([])).compactMap { name in
            switch name {
            case .dnsName(let name): name
            case .ipAddress(let address): Self.text(Array(address.bytes))
            default: nil
            }
        }
    }

    /// What to call the server by, that listens at `address`: a name that its certificate has, if it has any.
    public func host(at address: String) -> String {
        // Who trusts the certificate itself asks for no name.
        if authorityPEM != nil || names.contains(address) { return address }
        return names.first { !$0.contains("*") } ?? address
    }

    private static func text(_ bytes: [UInt8]) -> String? {
        bytes.count == 4 ? bytes.map { String($0) }.joined(separator: ".") : nil
    }
}
