import Foundation
import Model
import NIOHTTP1
import Testing

@testable import API

@Suite("What bad requests get") struct ProblemTests {
    @Test("every refusal is problem+json with its code, its type and its status") func forms() async throws {
        try await Rack.with { rack in
            try await rack.machine("one")
            let huge = "{\"image\":\"\(String(repeating: "x", count: 2 << 20))\"}"
            let cases: [(HTTPMethod, String, String?, Int, String)] = [
                (.GET, "/nowhere", nil, 404, "route-not-found"),
                (.GET, "/v1/machines/none", nil, 404, "machine-not-found"),
                (.PUT, "/v1/machines", nil, 405, "method-not-allowed"),
                (.GET, "/v1/machines?stat=ready", nil, 400, "query-unknown"),
                (.GET, "/v1/machines?state=broken", nil, 400, "query-invalid"),
                (.GET, "/v1/machines?limit=0", nil, 400, "query-invalid"),
                (.POST, "/v1/machines/one/install", nil, 400, "json-missing"),
                (.POST, "/v1/machines/one/install", "{\"image\":", 400, "json-invalid"),
                (.POST, "/v1/machines/one/install", "{\"image\":1}", 400, "json-invalid"),
                (.POST, "/v1/machines/one/install", "{}", 400, "json-invalid"),
                (.POST, "/v1/machines/one/install", "{\"image\":\"a\",\"sshkeys\":[]}", 400, "field-unknown"),
                (.POST, "/v1/machines/one/wipe", huge, 413, "body-too-large"),
                (.GET, "/v1/operations/op-none", nil, 404, "operation-not-found"),
                (.POST, "/v1/images", #"{"name":"a","url":"file:///etc/passwd"}"#, 422, "url-invalid"),
                (.POST, "/v1/backup", nil, 501, "backup-impossible"),
                (.POST, "/v1/machines/one/install", "{\"image\":\"broken\"}", 500, "internal"),
            ]
            for (method, path, body, status, code) in cases {
                let answer = try await rack.send(method, path, body: body)
                #expect(answer.status == status, "\(method) \(path): \(answer.text.prefix(300))")
                #expect(answer.code == code, "\(method) \(path)")
                #expect(answer.headers.first(name: "Content-Type") == "application/problem+json")
                #expect(try answer.json["type"] == .string("urn:hostler:problem:\(code)"))
                #expect(try answer.json["status"] == .number(Double(status)))
            }
        }
    }

    @Test("a mistyped field is named, with what was probably meant") func typo() async throws {
        try await Rack.with { rack in
            try await rack.machine("one")
            let answer = try await rack.send(
                .POST, "/v1/machines/one/install", body: #"{"image":"debian-12","user_data":"eA=="}"#)
            #expect(answer.text.contains("Did you mean “userData”?"))
        }
    }

    @Test("what is wrong with JSON is told with its place") func place() async throws {
        try await Rack.with { rack in
            let answer = try await rack.send(.PATCH, "/v1/machines/one", body: #"{"labels":{"a":7}}"#)
            #expect(answer.text.contains("$.labels.a"))
        }
    }

    @Test("broken percent-encoding is refused") func percent() {
        #expect("%F0%9F%8E%84+a".percentDecoded == "🎄+a")
        for broken in ["%", "%4", "%zz", "%ff", "a%C3"] { #expect(broken.percentDecoded == nil, "\(broken)") }
    }

    @Test("an unforeseen error says no more than its id") func unforeseen() async throws {
        try await Rack.with { rack in
            try await rack.machine("one")
            let answer = try await rack.send(.POST, "/v1/machines/one/install", body: "{\"image\":\"broken\"}")
            #expect(answer.text.contains("urn:hostler:error:"))
            #expect(!answer.text.contains("a test"))
        }
    }

    @Test("tokens that are no tokens are refused, whatever they look like") func badTokens() async throws {
        try await Rack.with { rack in
            let good = try #require(rack.secrets[.admin])
            let wrong = String(good.dropLast()) + (good.last == "0" ? "1" : "0")
            for token in [wrong, "hst__", "", "hst_t-0000_" + String(repeating: "0", count: 64)] {
                #expect(try await rack.send(.GET, "/v1/machines", token: token).status == 401)
            }
        }
    }

    @Test("failures from one address are answered ever later, up to a limit, and forgotten after a success")
    func slowing() {
        let attempts = FailedAttempts()
        let now = ContinuousClock.now
        let delays = (0..<12).map { _ in attempts.failed("192.0.2.1", at: now) }
        #expect(delays.prefix(3).allSatisfy { $0 == .zero })
        #expect(delays[3] == .milliseconds(100) && delays[4] == .milliseconds(200))
        #expect(delays.last == .seconds(5))
        #expect(attempts.failed("192.0.2.2", at: now) == .zero)
        attempts.succeeded("192.0.2.1")
        #expect(attempts.failed("192.0.2.1", at: now) == .zero)
        for number in 0..<5000 { _ = attempts.failed("\(number)", at: now + .milliseconds(number)) }
        #expect(attempts.count("192.0.2.1") == 0)
    }
}
