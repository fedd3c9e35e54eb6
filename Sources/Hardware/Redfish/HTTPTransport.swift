internal import AsyncHTTPClient
internal import Model
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL

/// How to reach a Redfish service.
public struct RedfishAddress: Sendable, Equatable, CustomStringConvertible {
    public var scheme: String
    public var host: String
    public var port: Int

    /// `host`, `host:port`, `https://host:port`, or `http://host:port` where someone means it. IPv6 in brackets.
    public init?(_ text: String) {
        var rest = text[...]
        scheme = "https"
        if let separator = rest.firstRange(of: "://") {
            scheme = rest[..<separator.lowerBound].lowercased()
            rest = rest[separator.upperBound...]
        }
        while rest.hasSuffix("/") { rest.removeLast() }
        guard scheme == "https" || scheme == "http", !rest.isEmpty, rest.utf8.count <= 255 else { return nil }
        port = scheme == "https" ? 443 : 80
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("]"), rest.hasPrefix("[") || rest.firstIndex(of: ":") == colon {
            guard let number = Int(rest[rest.index(after: colon)...]), (1...65535).contains(number) else { return nil }
            port = number
            rest = rest[..<colon]
        }
        guard !rest.isEmpty,
            rest.utf8.allSatisfy({ byte in
                Character(Unicode.Scalar(byte)).isLetter || Character(Unicode.Scalar(byte)).isNumber || ".-[]:_".utf8.contains(byte)
            })
        else { return nil }
        host = String(rest)
    }

    public var origin: String { "\(scheme)://\(host):\(port)" }
    public var description: String { port == (scheme == "https" ? 443 : 80) ? host : "\(host):\(port)" }
}

/// HTTP to one BMC: one address, its own certificate trust, no redirects, bounded answers.
public final class HTTPTransport: RedfishTransport {
    public let origin: String
    public let trust: CertificateTrust
    private let address: RedfishAddress
    private let client: HTTPClient
    private let timeout: Duration
    private let network: BMCNetwork

    /// - Parameters:
    ///   - timeout: for one answer, where the request has none of its own.
    ///   - trustsAuthorities: a certificate that the host's CAs vouch for is enough.
    public init(
        _ address: RedfishAddress, trust: CertificateTrust, trustsAuthorities: Bool = false, timeout: Duration = .seconds(20),
        network: BMCNetwork = .own
    ) {
        self.network = network
        self.address = address
        self.trust = trust
        self.timeout = timeout
        origin = address.origin
        var tls = TLSConfiguration.makeClientConfiguration()
        if !trustsAuthorities {
            // Judged by ``CertificateTrust`` before the first byte is sent. Old BMCs speak nothing newer than TLS 1.0.
            tls.certificateVerification = .none
            tls.minimumTLSVersion = .tlsv1
        }
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls, redirectConfiguration: .disallow)
        configuration.httpVersion = .http1Only
        // BMCs are small: some die of the fifth connection, and a handshake costs them a second. One is kept from
        // sweep to sweep.
        configuration.connectionPool = .init(idleTimeout: .seconds(75), concurrentHTTP1ConnectionsPerHostSoftLimit: 2)
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.timeout.connect = .seconds(5)
        if address.scheme == "https", !trustsAuthorities {
            configuration.http1_1ConnectionDebugInitializer = { channel in Self.admit(channel, trust) }
        }
        client = HTTPClient(eventLoopGroup: network.group, configuration: configuration)
    }

    public func close() async { try? await client.shutdown() }

    public func send(_ request: RedfishRequest) async throws -> RedfishReply {
        do {
            return try await once(request)
        } catch let error as HTTPClientError where error == .remoteConnectionClosed && request.method == .get {
            // A kept connection that the BMC had closed; a fresh one tells whether it is more than that.
            return try await translating { try await once(request) }
        } catch {
            throw translated(error, request)
        }
    }

    private func translating<T>(_ body: () async throws -> T) async throws -> T {
        do { return try await body() } catch { throw translated(error, nil) }
    }

    public func stream(_ request: RedfishRequest, _ receive: (StreamPart) async throws -> Void) async throws {
        do {
            let response = try await execute(request)
            var reply = Self.head(response)
            guard reply.isSuccess else {
                reply.body = Array(try await response.body.collect(upTo: RedfishAnswer.bodyLimitBytes).readableBytesView)
                return try await receive(.head(reply))
            }
            try await receive(.head(reply))
            for try await part in response.body { try await receive(.bytes(Array(part.readableBytesView))) }
        } catch let problem as Problem {
            throw problem
        } catch {
            throw translated(error, request)
        }
    }

    private func once(_ request: RedfishRequest) async throws -> RedfishReply {
        let response = try await execute(request)
        var reply = Self.head(response)
        reply.body = Array(try await response.body.collect(upTo: RedfishAnswer.bodyLimitBytes).readableBytesView)
        return reply
    }

    private static func head(_ response: HTTPClientResponse) -> RedfishReply {
        var headers: [String: String] = [:]
        for (name, value) in response.headers where headers.count < 64 { headers[name.lowercased()] = value }
        return RedfishReply(status: Int(response.status.code), headers: headers)
    }

    /// Until the answer's head is there.
    private func execute(_ request: RedfishRequest) async throws -> HTTPClientResponse {
        var outgoing = HTTPClientRequest(url: origin + request.path.text)
        outgoing.method = HTTPMethod(rawValue: request.method.rawValue)
        outgoing.headers.add(name: "Accept", value: "application/json")
        outgoing.headers.add(name: "OData-Version", value: "4.0")
        outgoing.headers.add(name: "User-Agent", value: "hostler")
        for (name, value) in request.headers { outgoing.headers.replaceOrAdd(name: name, value: value) }
        switch request.body {
        case .json(let json):
            outgoing.headers.add(name: "Content-Type", value: "application/json")
            outgoing.body = .bytes(ByteBuffer(bytes: json.encoded))
        case .bytes(let bytes, let type):
            outgoing.headers.add(name: "Content-Type", value: type)
            outgoing.body = .bytes(ByteBuffer(bytes: bytes))
        case nil: break
        }
        let limit = request.timeout ?? timeout
        let deadline = NIODeadline.now() + .nanoseconds(limit.wholeMilliseconds * 1_000_000)
        let question = outgoing
        return try await network.run { try await self.client.execute(question, deadline: deadline) }
    }

    private static func admit(_ channel: any Channel, _ trust: CertificateTrust) -> EventLoopFuture<Void> {
        channel.nioSSL_peerCertificate().flatMapThrowing { certificate in
            guard let certificate else { throw NIOSSLError.noCertificateToValidate }
            let shown = try CertificateTrust.fingerprint(of: certificate)
            guard trust.admits(shown) else { throw CertificateChanged(pinned: trust.fingerprint ?? "none", shown: shown) }
        }.flatMapError { error in
            channel.close().flatMapThrowing { throw error }.flatMapErrorThrowing { _ in throw error }
        }
    }

    private func translated(_ error: any Error, _ request: RedfishRequest?) -> any Error {
        let place = address.description
        switch error {
        case is CancellationError: return error
        case let changed as CertificateChanged: return changed.problem(place)
        case is NIOTooManyBytesError:
            return Problem.bmc(
                "too-large", "The BMC at \(place) sent more than \(RedfishAnswer.bodyLimitBytes >> 20) MiB for one answer",
                detail: request.map { "\($0.method.rawValue) \($0.path)" },
                remedy: "It was not read to its end. Clear the BMC's logs if it was one; else update its firmware.")
        case let error as HTTPClientError:
            switch error {
            case .deadlineExceeded, .readTimeout, .connectTimeout, .writeTimeout, .getConnectionFromPoolTimeout:
                return Problem.bmcSilent(place, after: request?.timeout ?? timeout)
            case .remoteConnectionClosed, .uncleanShutdown:
                return Problem.bmc(
                    "truncated", "The BMC at \(place) closed the connection in the middle of its answer",
                    detail: request.map { "\($0.method.rawValue) \($0.path)" },
                    remedy: "It may be restarting, or out of memory: restart the BMC if it goes on.")
            case .cancelled: return CancellationError()
            default: return Problem.bmcUnreachable(place, "\(error)")
            }
        case is HTTPParserError:
            return Problem.bmc(
                "truncated", "The BMC at \(place) broke off in the middle of its answer, or does not speak HTTP",
                detail: "\(error)", remedy: "It may be restarting, or out of memory: restart the BMC if it goes on.")
        case is NIOSSLError, is BoringSSLError:
            return Problem.bmc(
                "certificate-untrusted", "No trusted connection to the BMC at \(place) came about", detail: "\(error)",
                remedy: "Pin its certificate instead of asking CAs: hostler bmc remove, then hostler bmc add without --authorities")
        case let error as IOError: return Problem.bmcUnreachable(place, error.description)
        case let error as NIOConnectionError:
            let cause = error.connectionErrors.first.map { "\($0.error)" } ?? "\(error)"
            return Problem.bmcUnreachable(place, cause)
        default: return Problem.bmcUnreachable(place, "\(error)")
        }
    }
}
