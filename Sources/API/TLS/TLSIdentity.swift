internal import FoundationEssentials
internal import Logging
internal import NIOCore
internal import NIOSSL
internal import Synchronization

/// The certificate that the server shows; one of our own CA's is renewed while it runs.
final class TLSIdentity: Sendable {
    private let authority: CertificateAuthority?
    private let current: Mutex<NIOSSLContextConfigurationOverride>
    /// The times between which the certificate that is shown needs no other.
    private let isGood: Mutex<Range<Date>>

    /// Nil without TLS.
    init?(_ tls: APIConfiguration.TLS) throws {
        switch tls {
        case .off: return nil
        case .generated(let directory):
            let authority = try CertificateAuthority.open(directory: directory)
            let made = try authority.serverCertificate(names: CertificateAuthority.namesOfThisHost())
            self.authority = authority
            current = Mutex(try Self.override(made))
            isGood = Mutex(Self.goodTimes(made))
        case .files(let certificate, let key):
            var override = NIOSSLContextConfigurationOverride()
            override.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) }
            override.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
            authority = nil
            current = Mutex(override)
            isGood = Mutex(.distantPast ..< .distantFuture)
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

    /// Looks every minute whether the certificate is due: the clock may have been set.
    func renewForEver(_ logger: Logger) async throws {
        while true {
            try await Task.sleep(for: .seconds(60))
            renewIfDue(Date(), logger)
        }
    }

    func renewIfDue(_ now: Date, _ logger: Logger) {
        guard let authority, !isGood.withLock({ $0.contains(now) }) else { return }
        do {
            let made = try authority.serverCertificate(names: CertificateAuthority.namesOfThisHost(), now: now)
            let override = try Self.override(made)
            current.withLock { $0 = override }
            isGood.withLock { $0 = Self.goodTimes(made) }
            logger.info("the API's certificate was renewed")
        } catch {
            logger.error("the API's certificate cannot be renewed: \(error)")
        }
    }

    private static func goodTimes(_ made: ServerCertificate) -> Range<Date> { made.notBefore..<max(made.notBefore, made.renewAt) }

    private static func override(_ made: ServerCertificate) throws -> NIOSSLContextConfigurationOverride {
        var override = NIOSSLContextConfigurationOverride()
        override.certificateChain = try NIOSSLCertificate.fromPEMBytes(Array(made.certificatePEM.utf8)).map { .certificate($0) }
        override.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: Array(made.keyPEM.utf8), format: .pem))
        return override
    }
}
