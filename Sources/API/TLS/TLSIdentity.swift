internal import FoundationEssentials
internal import Logging
internal import NIOCore
internal import NIOSSL
internal import Synchronization

/// The certificate that the server shows; one of our own CA's is renewed while it runs.
final class TLSIdentity: Sendable {
    private let authority: CertificateAuthority?
    private let current: Mutex<NIOSSLContextConfigurationOverride>
    private let renewAt: Mutex<Date>

    /// Nil without TLS.
    init?(_ tls: APIConfiguration.TLS) throws {
        switch tls {
        case .off: return nil
        case .generated(let directory):
            let authority = try CertificateAuthority.open(directory: directory)
            let made = try authority.serverCertificate(names: CertificateAuthority.namesOfThisHost())
            self.authority = authority
            current = Mutex(try Self.override(made))
            renewAt = Mutex(made.renewAt)
        case .files(let certificate, let key):
            var override = NIOSSLContextConfigurationOverride()
            override.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) }
            override.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            authority = nil
            current = Mutex(override)
            renewAt = Mutex(.distantFuture)
        }
    }

    /// The CA to trust, where it is ours.
    var authorityPEM: String? { authority?.certificatePEM }

    func configuration() throws -> TLSConfiguration {
        let now = current.withLock { $0 }
        guard let chain = now.certificateChain, let key = now.privateKey else { throw NIOSSLError.failedToLoadCertificate }
        var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: key)
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        // Asked at each handshake, so that a renewed certificate is shown at once.
        configuration.sslContextCallback = { _, promise in promise.succeed(self.current.withLock { $0 }) }
        return configuration
    }

    /// Looks every hour whether the certificate is due.
    func renewForEver(_ logger: Logger) async throws {
        while true {
            try await Task.sleep(for: .seconds(3600))
            guard let authority, renewAt.withLock({ $0 }) < Date() else { continue }
            do {
                let made = try authority.serverCertificate(names: CertificateAuthority.namesOfThisHost())
                let override = try Self.override(made)
                current.withLock { $0 = override }
                renewAt.withLock { $0 = made.renewAt }
                logger.info("the API's certificate was renewed")
            } catch {
                logger.error("the API's certificate cannot be renewed: \(error)")
            }
        }
    }

    private static func override(_ made: ServerCertificate) throws -> NIOSSLContextConfigurationOverride {
        var override = NIOSSLContextConfigurationOverride()
        override.certificateChain = try NIOSSLCertificate.fromPEMBytes(Array(made.certificatePEM.utf8)).map { .certificate($0) }
        override.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: Array(made.keyPEM.utf8), format: .pem))
        return override
    }
}
