import Model
import Synchronization

@testable import Hardware

/// A recorded conversation with a BMC, played back: each question must be one that was recorded, changes in their order.
///
/// A line of a recording is `METHOD PATH [BODY] -> STATUS [HEADER: VALUE; …] [BODY]`, bodies in JSON. A question of the
/// same method and path is answered by the next such line; the last one stays for reads.
final class ReplayedBMC: RedfishTransport {
    struct Exchange: Sendable {
        var method: String
        var path: String
        var question: JSON?
        var reply: RedfishReply
    }

    let origin = "https://bmc.example:443"
    private struct State {
        var left: [Exchange]
        var unexpected: [String] = []
    }
    private let state: Mutex<State>

    init(_ recording: String) throws {
        let exchanges = try recording.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { try Self.exchange(String($0)) }
        state = Mutex(State(left: exchanges))
    }

    private struct Unreadable: Error { var line: String }

    private static func exchange(_ line: String) throws -> Exchange {
        guard let arrow = line.firstRange(of: " -> ") else { throw Unreadable(line: line) }
        let asked = line[..<arrow.lowerBound].split(separator: " ", maxSplits: 2)
        let answered = line[arrow.upperBound...]
        guard asked.count >= 2, let status = Int(answered.prefix(3)) else { throw Unreadable(line: line) }
        var headers = ["content-type": "application/json"]
        var rest = answered.dropFirst(3)
        if let open = rest.firstIndex(of: "["), let close = rest.firstIndex(of: "]"), open < (rest.firstIndex(of: "{") ?? rest.endIndex) {
            for header in rest[rest.index(after: open)..<close].split(separator: ";") {
                let parts = header.split(separator: ":", maxSplits: 1).map { $0.drop { $0 == " " } }
                headers[parts[0].lowercased()] = String(parts[1])
            }
            rest = rest[rest.index(after: close)...]
        }
        let body = rest.drop { $0 == " " }
        return Exchange(
            method: String(asked[0]), path: String(asked[1]), question: asked.count > 2 ? try JSONParser.parse(Array(asked[2].utf8)) : nil,
            reply: RedfishReply(status: status, headers: headers, body: Array(body.utf8)))
    }

    /// What was asked and stands nowhere in the recording.
    var unexpected: [String] { state.withLock { $0.unexpected } }
    /// The changes of the recording that were not asked for.
    var missing: [String] { state.withLock { $0.left.filter { $0.method != "GET" }.map { "\($0.method) \($0.path)" } } }

    func send(_ request: RedfishRequest) async throws -> RedfishReply {
        state.withLock { state in
            let method = request.method.rawValue
            func isMeant(_ exchange: Exchange) -> Bool { exchange.method == method && exchange.path == request.path.text }
            guard let index = state.left.firstIndex(where: isMeant) else {
                state.unexpected.append("\(method) \(request.path)")
                return RedfishReply(status: 404)
            }
            let exchange = state.left[index]
            if case .json(let body)? = request.body, let recorded = exchange.question, body != recorded {
                state.unexpected.append("\(method) \(request.path) \(String(decoding: body.encoded, as: UTF8.self))")
            }
            if method != "GET" || state.left[(index + 1)...].contains(where: isMeant) { state.left.remove(at: index) }
            return exchange.reply
        }
    }

    func stream(_ request: RedfishRequest, _ receive: (StreamPart) async throws -> Void) async throws {
        try await receive(.head(RedfishReply(status: 404)))
    }

    func close() async {}

    /// A client of this conversation that knows the BMC's quirks as the record would.
    func bmc(_ vendor: String, _ model: String, _ firmware: String? = nil) -> RedfishBMC {
        let quirks = QuirkTable.quirks(for: .init(vendor: vendor, model: model, firmware: firmware))
        return RedfishBMC(
            client: RedfishClient(
                transport: self, address: "bmc.example", credentials: .init(userName: "root", password: "secret"), quirks: quirks))
    }
}
