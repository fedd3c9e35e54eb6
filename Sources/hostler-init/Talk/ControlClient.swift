internal import AsyncHTTPClient
internal import CLinux
internal import FoundationEssentials
internal import Model
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// Why a request got no usable answer.
enum TalkError: Error, CustomStringConvertible {
    /// The server answered with an error.
    case status(Int, Problem?)
    case transport(String)
    /// The answer was not of the form that was agreed on.
    case unexpected(String)

    var description: String {
        switch self {
        case .status(let code, let problem):
            "HTTP \(code)" + (problem.map { ": \($0.title) [\($0.code)]" } ?? "")
        case .transport(let text), .unexpected(let text): text
        }
    }
}

/// Talks JSON over HTTP with the control plane, and fetches bytes from it.
///
/// Two pools of connections: data is given up after a few silent seconds, so
/// that the write goes on soon after a cut network is back; a question for
/// work may be held for half a minute.
final class ControlClient: Sendable {
    /// The longest JSON answer: a task with its seed's path and keys is far below.
    private static let answerLimit = 4 << 20
    private let place: Mutex<String>
    /// When the server said something last that only it says, by the uptime in milliseconds.
    private let heard = Mutex(agent_uptime_milliseconds())
    private let talk: HTTPClient
    private let data: HTTPClient
    private let bearer = Mutex<String?>(nil)

    init(base: String) {
        place = Mutex(base)
        func client(readTimeout: TimeAmount, connections: Int) -> HTTPClient {
            var configuration = HTTPClient.Configuration(
                redirectConfiguration: .disallow,
                timeout: .init(connect: .seconds(5), read: readTimeout),
                connectionPool: .init(
                    idleTimeout: .seconds(20), concurrentHTTP1ConnectionsPerHostSoftLimit: connections),
                decompression: .disabled)
            configuration.httpVersion = .http1Only
            // Else the pool waits longer and longer between its own tries, up to a minute after a long cut.
            configuration.connectionPool.retryConnectionEstablishment = false
            return HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration)
        }
        talk = client(readTimeout: .seconds(45), connections: 6)
        data = client(readTimeout: .seconds(8), connections: 8)
    }

    /// Closes its connections. An agent never does: it ends with its machine's restart.
    func shutdown() async {
        try? await talk.shutdown()
        try? await data.shutdown()
    }

    /// `http://address:port`, without a slash at its end.
    var base: String { place.withLock { $0 } }
    /// The server is there now. The caller has seen that it is the same.
    func move(to base: String) {
        place.withLock { $0 = base }
        hear()
    }

    /// For how long the server has not answered.
    var silence: Duration { .milliseconds(agent_uptime_milliseconds() - heard.withLock { $0 }) }
    private func hear() {
        let now = agent_uptime_milliseconds()
        heard.withLock { $0 = now }
    }

    var session: String? { bearer.withLock { $0 } }
    func use(session: String) { bearer.withLock { $0 = session } }

    /// One try of a request whose answer is `Answer`.
    func post<Answer: Decodable>(
        _ path: String, _ body: some Encodable, answer: Answer.Type, timeoutSeconds: Int64 = 15
    ) async throws(TalkError) -> Answer {
        let bytes = try await exchange(path, body, timeoutSeconds: timeoutSeconds)
        do {
            let answer = try JSONDecoder().decode(Answer.self, from: Data(bytes.readableBytesView))
            hear()
            return answer
        } catch {
            throw .unexpected("the answer to \(path) cannot be read: \(error)")
        }
    }

    /// One try of a request that is answered without a body.
    func post(_ path: String, _ body: some Encodable, timeoutSeconds: Int64 = 15) async throws(TalkError) {
        _ = try await exchange(path, body, timeoutSeconds: timeoutSeconds)
    }

    /// Asks another server than the present one, which is shown no session.
    func ask(_ base: String, _ question: ServerQuestion) async throws -> ServerProof {
        var request = HTTPClientRequest(url: "\(base)/agent/v1/prove")
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(question)))
        let response = try await talk.execute(request, timeout: .seconds(10))
        let bytes = try await response.body.collect(upTo: 4096)
        return try JSONDecoder().decode(ServerProof.self, from: Data(bytes.readableBytesView))
    }

    private func exchange(
        _ path: String, _ body: some Encodable, timeoutSeconds: Int64
    ) async throws(TalkError) -> ByteBuffer {
        var request = HTTPClientRequest(url: "\(base)/agent/v1/\(path)")
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        authorize(&request)
        do {
            request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(body)))
            let response = try await talk.execute(request, timeout: .seconds(timeoutSeconds))
            let bytes = try await response.body.collect(upTo: Self.answerLimit)
            guard (200..<300).contains(response.status.code) else { throw Self.refusal(response.status, bytes) }
            return bytes
        } catch let error as TalkError {
            // Whoever has taken the server's address says other things than these.
            if case .status(_, .some) = error { hear() }
            throw error
        } catch {
            throw .transport("\(base): \(error)")
        }
    }

    /// One try to fetch a file or a range of it. Exactly the wanted bytes, or an error.
    ///
    /// - Parameter range: in bytes; nil for the whole file of at most `limit` bytes.
    func fetch(_ path: String, range: Range<UInt64>? = nil, limit: Int = 1 << 30) async throws(TalkError) -> ByteBuffer {
        var request = HTTPClientRequest(url: base + path)
        authorize(&request)
        if let range {
            request.headers.add(name: "range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)")
        }
        do {
            let response = try await data.execute(request, timeout: .seconds(120))
            guard response.status == (range == nil ? .ok : .partialContent) else {
                throw Self.refusal(response.status, try await response.body.collect(upTo: 65_536))
            }
            let wanted = range.map { Int($0.upperBound - $0.lowerBound) }
            var bytes = ByteBuffer()
            bytes.reserveCapacity(wanted ?? 65_536)
            for try await part in response.body {
                guard bytes.readableBytes + part.readableBytes <= wanted ?? limit else {
                    throw TalkError.unexpected("\(path) is longer than \(wanted ?? limit) bytes")
                }
                bytes.writeImmutableBuffer(part)
            }
            if let wanted, bytes.readableBytes != wanted {
                throw TalkError.unexpected("\(path): \(bytes.readableBytes) bytes came instead of \(wanted)")
            }
            hear()
            return bytes
        } catch let error as TalkError {
            throw error
        } catch {
            throw .transport("\(base): \(error)")
        }
    }

    private func authorize(_ request: inout HTTPClientRequest) {
        guard let session else { return }
        request.headers.add(name: "authorization", value: "Bearer \(session)")
    }

    private static func refusal(_ status: HTTPResponseStatus, _ body: ByteBuffer) -> TalkError {
        .status(Int(status.code), try? JSONDecoder().decode(Problem.self, from: Data(body.readableBytesView)))
    }
}
