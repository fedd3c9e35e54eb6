internal import API
internal import AsyncHTTPClient
internal import FoundationEssentials
internal import Model
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL

/// The API from the caller's side.
struct APIClient: Sendable {
    let saved: SavedServer
    private let http: HTTPClient

    /// A client for the length of `body`.
    static func with<T: Sendable>(
        _ options: ConnectionOptions, _ body: (APIClient) async throws -> T
    ) async throws -> T {
        try await with(options.resolve(), body)
    }

    static func with<T: Sendable>(
        _ saved: SavedServer, trustAnyone: Bool = false, _ body: (APIClient) async throws -> T
    ) async throws -> T {
        let tls = try saved.tls(trustAnyone: trustAnyone)
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls, redirectConfiguration: .disallow)
        configuration.timeout = .init(connect: .seconds(5), read: .seconds(60))
        let http = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration)
        let result: T
        do {
            result = try await body(APIClient(saved: saved, http: http))
        } catch {
            try? await http.shutdown()
            throw error
        }
        try await http.shutdown()
        return result
    }

    func get<T: Decodable>(_ type: T.Type, _ path: String, query: [String: String?] = [:]) async throws -> T {
        try decode(type, await bytes(.GET, path, query: query))
    }

    /// All pages of a list.
    func list<T: Codable & Sendable>(_ type: T.Type, _ path: String, query: [String: String?] = [:]) async throws -> [T] {
        var items: [T] = []
        var query = query
        query["limit"] = "500"
        repeat {
            let page = try await get(ListReply<T>.self, path, query: query)
            items += page.items
            query["after"] = page.next
        } while query["after"].flatMap(\.self) != nil
        return items
    }

    @discardableResult
    func send<T: Decodable>(
        _ type: T.Type, _ method: HTTPMethod, _ path: String, query: [String: String?] = [:],
        body: (any Encodable & Sendable)? = nil, headers: [String: String] = [:]
    ) async throws -> T {
        try decode(type, await bytes(method, path, query: query, body: body, headers: headers))
    }

    /// Sends a file.
    func put<T: Decodable>(_ type: T.Type, _ path: String, query: [String: String?] = [:], bytes: [UInt8]) async throws -> T {
        let response = try await open(
            .PUT, path, query: query, content: .bytes(ByteBuffer(bytes: bytes)), deadline: .now() + .seconds(600))
        return try decode(type, await response.body.collect(upTo: 1 << 20))
    }

    func delete(_ path: String, query: [String: String?] = [:]) async throws { _ = try await bytes(.DELETE, path, query: query) }

    func text(_ path: String) async throws -> String { String(buffer: try await bytes(.GET, path)) }

    /// The response as it comes, for streams. What is not 2xx is thrown as a `Problem`.
    func open(
        _ method: HTTPMethod, _ path: String, query: [String: String?] = [:], body: (any Encodable & Sendable)? = nil,
        content: HTTPClientRequest.Body? = nil, headers: [String: String] = [:], deadline: NIODeadline
    ) async throws -> HTTPClientResponse {
        let pairs = query.compactMap { name, value in value.map { "\(name)=\($0.percentEncoded)" } }.sorted()
        var request = HTTPClientRequest(url: saved.server + path + (pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&")))
        request.method = method
        request.headers.add(name: "Authorization", value: "Bearer \(saved.token)")
        request.headers.add(name: "User-Agent", value: "hostler/\(Hostler.version)")
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(body)))
        }
        if let content { request.body = content }
        let response: HTTPClientResponse
        do {
            response = try await http.execute(request, deadline: deadline)
        } catch {
            throw await refused(error)
        }
        if let reason = response.headers.first(name: "Hostler-Frozen") { FreezeBanner.show(reason) }
        guard (200..<300).contains(response.status.code) else {
            let bytes = try? await response.body.collect(upTo: 1 << 20)
            let problem = bytes.flatMap { try? JSONDecoder().decode(Problem.self, from: Data($0.readableBytesView)) }
            throw problem
                ?? Problem(
                    "http-\(response.status.code)", status: Int(response.status.code),
                    title: "The server answered \(response.status)", detail: "without saying why",
                    remedy: "Is \(saved.server) a Hostler server?")
        }
        return response
    }

    static func isOfTLS(_ error: any Error) -> Bool {
        error is NIOSSLError || "\(error)".contains("handshake") || "\(error)".contains("CERTIFICATE")
    }

    func unreachable(_ error: any Error) -> Problem {
        let isTLS = Self.isOfTLS(error)
        return Problem(
            "server-unreachable", status: 0, title: "\(saved.server) cannot be reached", detail: "\(error)",
            remedy: isTLS
                ? "Its certificate is not of the CA that was trusted. If the server is new: hostler login \(saved.server) --token hst_…"
                : "Is it running (systemctl status hostler), and is the address right?")
    }

    /// The body of an answer.
    func bytes(
        _ method: HTTPMethod, _ path: String, query: [String: String?] = [:], body: (any Encodable & Sendable)? = nil,
        headers: [String: String] = [:]
    ) async throws -> ByteBuffer {
        let response = try await open(
            method, path, query: query, body: body, headers: headers, deadline: .now() + .seconds(120))
        do {
            return try await response.body.collect(upTo: 256 << 20)
        } catch {
            throw unreachable(error)
        }
    }

    private func decode<T: Decodable>(_ type: T.Type, _ bytes: ByteBuffer) throws -> T {
        do {
            let reply = try JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
            if let skipped = (reply as? any PartialReply)?.skipped, !skipped.isEmpty {
                Terminal.writeError(
                    "\(skipped.count) of them cannot be read and are not shown: \(skipped.prefix(5).joined(separator: ", "))\(skipped.count > 5 ? ", …" : ""); see hostler store check"
                )
            }
            return reply
        } catch {
            throw Problem(
                "reply-invalid", status: 502, title: "The server's reply was not understood", detail: "\(error)",
                remedy: "Use the hostler command of the server's version.")
        }
    }
}

/// A reply of which nothing is needed.
struct Ignored: Decodable {}
