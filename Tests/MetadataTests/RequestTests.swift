import Testing

@testable import Metadata

@Suite("A request to the metadata service")
struct RequestTests {
    /// As curl 7.88 and botocore 1.34 send them.
    static let curl =
        "GET /latest/meta-data/instance-id HTTP/1.1\r\nHost: 169.254.169.254\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nX-aws-ec2-metadata-token: abc\r\n\r\n"
    static let botocore =
        "PUT /latest/api/token HTTP/1.1\r\nHost: 169.254.169.254\r\nAccept-Encoding: identity\r\nUser-Agent: Boto3/1.34\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\nContent-Length: 0\r\n\r\n"

    private func read(_ text: String) -> RequestHead.Outcome { RequestHead.read(Array(text.utf8)[...]) }
    private func head(_ text: String) -> RequestHead? { if case .head(let head, _) = read(text) { head } else { nil } }
    private func get(_ target: String, _ fields: String = "") -> RequestHead? {
        head("GET \(target) HTTP/1.1\r\nHost: 169.254.169.254\r\n\(fields)\r\n")
    }

    @Test("of real clients is read")
    func captured() throws {
        let get = try #require(head(Self.curl))
        #expect(get.method == .get && get.target.parts == ["latest", "meta-data", "instance-id"] && get.token == "abc" && !get.wantsClose)
        let put = try #require(head(Self.botocore))
        #expect(put.method == .put && put.tokenSeconds == "21600" && put.host == "169.254.169.254")
    }

    @Test("is incomplete at every byte before its end, and then is as long as it is")
    func truncation() {
        for text in [Self.curl, Self.botocore] {
            let bytes = Array(text.utf8)
            for count in 0..<bytes.count { #expect(RequestHead.read(bytes[..<count]) == .incomplete, "\(count)") }
            guard case .head(_, let byteCount) = RequestHead.read((bytes + Array("GET".utf8))[...]) else { Issue.record(); return }
            #expect(byteCount == bytes.count)
        }
    }

    @Test(
        "that is not HTTP as the standard has it is refused",
        arguments: [
            "GET /\r\n\r\n", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\u{0}\r\n\r\n",
            "G\u{7f}T / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\u{80} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "GET /latest/%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a%5cb HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a%f HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a%ff HTTP/1.1\r\nHost: a\r\n\r\n", "GET /./a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX-aws-ec2-metadata-token: a\r\nX-aws-ec2-metadata-token: b\r\n\r\n",
        ])
    func malformed(_ text: String) { #expect(read(text) == .refused(status: 400)) }

    @Test("that is too long is refused, whole or not")
    func tooLong() {
        #expect(read(String(repeating: "a", count: RequestHead.limitBytes + 1)) == .refused(status: 400))
        let long = String(repeating: "a", count: RequestHead.lineLimitBytes)
        #expect(read("GET /\(long) HTTP/1.1\r\nHost: a\r\n\r\n") == .refused(status: 400))
        #expect(read("GET / HTTP/1.1\r\nHost: a\r\nX: \(long)\r\n\r\n") == .refused(status: 400))
        let many = (0...RequestHead.fieldLimit).map { "X\($0): y\r\n" }.joined()
        #expect(read("GET / HTTP/1.1\r\nHost: a\r\n\(many)\r\n") == .refused(status: 400))
        #expect(get("/" + String(repeating: "a/", count: RequestTarget.partLimit + 1)) == nil)
    }

    @Test("has its path taken apart: a last slash does not count, two in a row are told")
    func paths() throws {
        #expect(try #require(get("/latest/meta-data/")).target.parts == ["latest", "meta-data"])
        #expect(try #require(get("/")).target.parts == [])
        #expect(try #require(get("//latest")).target.hasEmptyPart)
        #expect(try #require(get("/a//b/")).target.hasEmptyPart)
        let target = try #require(get("/hostler/v1/self?watch=true&x=%C3%A4&y")).target
        #expect(target.query == ["watch": "true", "x": "ä", "y": ""])
        #expect(try #require(get("/a%3Ab")).target.parts == ["a:b"])
    }

    @Test("names its host by a name or an address, with a port or none, and nothing behind it")
    func hosts() {
        for (text, name) in [
            ("169.254.169.254", "169.254.169.254"), ("169.254.169.254:80", "169.254.169.254"), ("[FD00:EC2::254]", "[fd00:ec2::254]"),
            ("[fd00:ec2::254]:80", "[fd00:ec2::254]"), ("[fd00:ec2::254]:", "[fd00:ec2::254]"),
        ] {
            #expect(RequestHead.hostName(text) == name, "\(text)")
        }
        for text in ["", ":80", "a:b", "[fd00:ec2::254", "[fd00:ec2::254]anything", "[fd00:ec2::254]:80a", "[fd00:ec2::254]80"] {
            #expect(RequestHead.hostName(text) == nil, "\(text)")
        }
    }

    @Test("through a proxy shows it")
    func proxies() throws {
        for field in ["X-Forwarded-For: 10.0.0.1", "x-forwarded-for:", "Via: 1.1 squid", "Forwarded: for=10.0.0.1"] {
            #expect(try #require(get("/", field + "\r\n")).isForwarded, "\(field)")
        }
        let absolute = try #require(head("GET http://other.example/x HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n"))
        #expect(absolute.host == "other.example" && absolute.target.parts == ["x"])
    }

    @Test("of random bytes never traps and never reads beyond its end")
    func random() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = Seeded(state: seed)
        let pieces = ["GET ", "/", " HTTP/1.1\r\n", "Host: a\r\n", "\r\n", ":", "%", "%2f", "..", "\r", "\n", "?", "&=", "http://", "\u{0}", " "]
        for _ in 0..<20_000 {
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0..<12, using: &generator) {
                if Bool.random(using: &generator) {
                    bytes += pieces.randomElement(using: &generator).map { Array($0.utf8) } ?? []
                } else {
                    bytes.append(UInt8.random(in: 0...255, using: &generator))
                }
            }
            if case .head(_, let count) = RequestHead.read(bytes[...]) { #expect(count <= bytes.count, "seed \(seed)") }
        }
    }
}
