internal import AsyncHTTPClient
internal import FoundationEssentials
internal import Model
internal import NIOCore

/// Fetches a file by HTTP into a temporary file, going on where a broken connection left off.
///
/// Every name is looked up here, once, and the connection goes to the address that was judged: a name that means another
/// address a second later leads nowhere.
struct ImageDownload {
    let url: String
    let limitBytes: UInt64
    let bounds: ImportBounds
    /// How often in a row a connection may break without a byte having come.
    var limitAttempts = 5
    var resolve: @Sendable (String) async throws -> [HostAddress] = HostAddress.resolve
    /// How long a server may be silent.
    private static let silence = TimeAmount.seconds(60)
    /// Between two looks at the room that is left.
    private static let lookBytes: UInt64 = 16 << 20

    private enum Failure: Error {
        /// Worth another try.
        case broken(String)
    }

    /// How far it is, and what a continuation must match.
    private struct Progress {
        var offset: UInt64 = 0
        var validator: String?
        /// What each host's name stood for when it was first needed.
        var addresses: [String: [HostAddress]] = [:]
        var attempt = 0

        mutating func startAgain() { (offset, validator) = (0, nil) }
    }

    func fetch(into file: DiskFile, report: (UInt64) -> Void) async throws {
        guard let origin = WebAddress(url) else {
            throw Problem("url-invalid", status: 422, title: "The URL cannot be read", remedy: "Write http://HOST/PATH or https://HOST/PATH.")
        }
        var progress = Progress()
        while true {
            let before = progress.offset
            let reason: String
            do {
                try await fetchOnce(origin, into: file, &progress, report)
                return
            } catch let problem as Problem {
                throw problem
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                reason = "\(error)"
            }
            progress.attempt = progress.offset > before ? 1 : progress.attempt + 1
            guard progress.attempt < limitAttempts else {
                throw Problem(
                    "download-failed", status: 502, title: "Could not fetch \(origin)", detail: reason,
                    remedy: "Check the address and the network, then try again.")
            }
            try bounds.check()
            try await Task.sleep(for: .milliseconds(250 << progress.attempt))
        }
    }

    /// From the origin over all redirects to the last byte.
    private func fetchOnce(
        _ origin: WebAddress, into file: DiskFile, _ progress: inout Progress, _ report: (UInt64) -> Void
    ) async throws {
        let rule = RedirectRule(origin: origin)
        var current = origin
        for _ in 0...RedirectRule.limitHops {
            let address = try await address(of: current, rule, &progress)
            let location: String? = try await withClient(current.host, address) { client in
                let response = try await ask(client, current, credentials: current.hasSameOrigin(as: origin) ? origin.credentials : nil, progress)
                if let location = Self.location(response) { return location }
                try await take(response, of: current, into: file, &progress, report)
                return nil
            }
            guard let location else { return }
            guard let next = current.following(location) else {
                throw RedirectRule.refused(current, location, "It is not an http or https URL.")
            }
            try rule.check(from: current, to: next)
            current = next
        }
        throw Problem(
            "download-redirect-refused", status: 502, title: "\(origin) leads from one address to the next",
            detail: "More than \(RedirectRule.limitHops) redirects are not followed.", remedy: "Give the URL of the image itself.")
    }

    private func address(of target: WebAddress, _ rule: RedirectRule, _ progress: inout Progress) async throws -> HostAddress {
        let found: [HostAddress]
        if let known = progress.addresses[target.host] {
            found = known
        } else {
            found = try await resolve(target.host)
            progress.addresses[target.host] = found
        }
        try rule.check(found, of: target)
        // The next one at the next attempt: this host may reach one family of addresses only.
        guard !found.isEmpty else { throw Failure.broken("\(target.host) has no address") }
        return found[progress.attempt % found.count]
    }

    /// A client whose every connection to `host` goes to `address`; TLS still asks for the name.
    private func withClient<Value>(
        _ host: String, _ address: HostAddress, _ body: (HTTPClient) async throws -> Value
    ) async throws -> Value {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.timeout = .init(connect: .seconds(20), read: Self.silence)
        configuration.dnsOverride = [host: address.description]
        let client = HTTPClient(eventLoopGroupProvider: .shared(HTTPClient.defaultEventLoopGroup), configuration: configuration)
        let result: Value
        do {
            result = try await body(client)
        } catch {
            try? await client.shutdown()
            throw error
        }
        try? await client.shutdown()
        return result
    }

    private func ask(
        _ client: HTTPClient, _ target: WebAddress, credentials: String?, _ progress: Progress
    ) async throws -> HTTPClientResponse {
        var request = HTTPClientRequest(url: target.description)
        // A server that cannot say which version it has is asked for all of it again.
        if progress.offset > 0, let validator = progress.validator {
            request.headers.add(name: "range", value: "bytes=\(progress.offset)-")
            request.headers.add(name: "if-range", value: validator)
        }
        if let credentials {
            request.headers.add(name: "authorization", value: "Basic \(Data(credentials.utf8).base64EncodedString())")
        }
        let left = max(0, (bounds.deadline - .now).components.seconds)
        return try await client.execute(request, timeout: .seconds(left + 1))
    }

    private static func location(_ response: HTTPClientResponse) -> String? {
        guard [301, 302, 303, 307, 308].contains(response.status.code) else { return nil }
        return response.headers.first(name: "location")
    }

    private func take(
        _ response: HTTPClientResponse, of target: WebAddress, into file: DiskFile, _ progress: inout Progress, _ report: (UInt64) -> Void
    ) async throws {
        switch response.status.code {
        case 206:
            guard contentRangeStart(response) == progress.offset else {
                progress.startAgain()
                throw Failure.broken("the server sent another range than was asked for")
            }
        case 200:
            progress.startAgain()
            progress.validator = validator(response)
        case 408, 429, 500...599: throw Failure.broken("the server answered \(response.status)")
        default:
            throw Problem(
                "download-refused", status: 502, title: "The server does not give \(target)",
                detail: "It answered \(response.status).", remedy: "Check the address.")
        }
        let length = response.headers.first(name: "content-length").flatMap { UInt64($0) }
        let (sum, overflow) = progress.offset.addingReportingOverflow(length ?? 0)
        let expected = length == nil ? nil : sum
        guard !overflow, sum <= limitBytes else { throw Problem.tooLarge(limitBytes: limitBytes) }
        try bounds.check(for: length ?? 0)
        var looked = progress.offset
        for try await buffer in response.body {
            guard progress.offset + UInt64(buffer.readableBytes) <= limitBytes else {
                throw Problem.tooLarge(limitBytes: limitBytes)
            }
            try file.write(Array(buffer.readableBytesView), at: progress.offset)
            progress.offset += UInt64(buffer.readableBytes)
            report(progress.offset)
            // The client's own limit of time ends with the head of the answer.
            try bounds.checkTime()
            if progress.offset - looked >= Self.lookBytes {
                looked = progress.offset
                try bounds.check()
            }
        }
        if let expected, progress.offset != expected {
            throw Failure.broken("\(progress.offset) of \(expected) bytes came")
        }
        guard try file.byteCount() == progress.offset else {
            throw Failure.broken("the file became shorter on the server")
        }
    }

    /// A strong ETag, or the date (RFC 9110 §13.1.5).
    private func validator(_ response: HTTPClientResponse) -> String? {
        if let tag = response.headers.first(name: "etag"), !tag.hasPrefix("W/") { return tag }
        return response.headers.first(name: "last-modified")
    }

    /// The start of `bytes 5-9/10`.
    private func contentRangeStart(_ response: HTTPClientResponse) -> UInt64? {
        response.headers.first(name: "content-range")?.split(separator: " ").last?.split(separator: "-").first
            .flatMap { UInt64($0) }
    }
}
