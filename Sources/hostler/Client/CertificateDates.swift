internal import FoundationEssentials
internal import Model
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Whether a certificate is refused for its dates alone: then it is a clock that is wrong, and not the certificate.
struct CertificateDates: Sendable, Equatable {
    var begins: Timestamp
    var ends: Timestamp

    init(begins: Timestamp, ends: Timestamp) {
        self.begins = begins
        self.ends = ends
    }

    init(_ certificate: NIOSSLCertificate) {
        func moment(_ seconds: Int) -> Timestamp { .first + .seconds(seconds) }
        begins = moment(certificate.notValidBefore)
        ends = moment(certificate.notValidAfter)
    }

    /// What is wrong with the dates now; nil: nothing is.
    func problem(of what: String, at server: String, now: Timestamp) -> Problem? {
        guard now < begins || now >= ends else { return nil }
        let why =
            now < begins
            ? "\(what) is good from \(begins) on, and here it is \(now)" : "\(what) was good until \(ends), and here it is \(now)"
        return Problem(
            "certificate-date", status: 0, title: "\(server) is not trusted: \(why)",
            detail: "The clock of this host or of the server is wrong, or was.",
            remedy: "Compare `date -u` here and on the server, and set the one that is wrong (timedatectl set-ntp true). If both are right, "
                + "restart the server: it makes certificates anew that are not good now. Then, if its CA is new: hostler login \(server) --token hst_…"
        )
    }

    /// Of the CA that is trusted, or of the certificate that the server shows.
    static func problem(_ saved: SavedServer, now: Timestamp = .now) async -> Problem? {
        guard saved.server.hasPrefix("https://") else { return nil }
        if let pem = saved.ca, let authority = try? NIOSSLCertificate.fromPEMBytes(Array(pem.utf8)).first,
            let problem = CertificateDates(authority).problem(of: "the CA's certificate", at: saved.server, now: now)
        {
            return problem
        }
        return await shown(by: saved)?.problem(of: "its certificate", at: saved.server, now: now)
    }

    /// Of the certificate that a server shows. It is only looked at: nothing is sent.
    private static func shown(by saved: SavedServer) async -> CertificateDates? {
        guard let url = URL(string: saved.server), let host = url.host,
            let context = try? NIOSSLContext(configuration: .makeClientConfiguration())
        else { return nil }
        let port = url.port ?? 443
        let isNumeric = (try? SocketAddress(ipAddress: host, port: port)) != nil
        let (found, tell) = AsyncStream.makeStream(of: CertificateDates?.self)
        let connecting = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(.seconds(5))
            .channelInitializer { channel in
                channel.closeFuture.whenComplete { _ in tell.finish() }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        NIOSSLClientHandler(
                            context: context, serverHostname: isNumeric ? nil : host,
                            customVerificationCallback: { chain, verdict in
                                tell.yield(chain.first.map(CertificateDates.init))
                                verdict.succeed(.failed)
                            }))
                }
            }
        guard let channel = try? await connecting.connect(host: host, port: port).get() else { return nil }
        let alarm = channel.eventLoop.scheduleTask(in: .seconds(5)) { channel.close(promise: nil) }
        defer {
            alarm.cancel()
            channel.close(promise: nil)
        }
        for await dates in found { return dates }
        return nil
    }
}

extension APIClient {
    /// Why the server did not answer: a certificate that is refused for its dates speaks of a clock.
    func refused(_ error: any Error) async -> Problem {
        if Self.isOfTLS(error), let problem = await CertificateDates.problem(saved) { return problem }
        return unreachable(error)
    }
}
