import Foundation
import Model
import Testing
import Wire

@testable import Images

@Suite("A redirect")
struct RedirectTests {
    @Test(
        "may lead to the same host, or to another by https, and never from https to http",
        arguments: [
            ("http://mirror.lan/a", "http://mirror.lan/b", true), ("http://mirror.lan/a", "/b?c=d", true),
            ("http://mirror.lan/a", "http://mirror.lan:8080/b", true), ("http://mirror.lan/a", "https://MIRROR.lan./b", true),
            ("http://mirror.lan/a", "https://cdn.example/b", true), ("http://mirror.lan/a", "//other.lan/b", false),
            ("http://mirror.lan/a", "http://cdn.example/b", false), ("https://mirror.lan/a", "http://mirror.lan/a", false),
            ("https://mirror.lan/a", "https://cdn.example:444/b", true), ("http://10.0.0.1/a", "http://10.0.0.2/a", false),
        ])
    func rule(_ from: String, _ location: String, _ isAllowed: Bool) throws {
        let origin = try #require(WebAddress(from))
        let next = try #require(origin.following(location))
        let rule = RedirectRule(origin: origin)
        if isAllowed {
            try rule.check(from: origin, to: next)
        } else {
            let problem = #expect(throws: Problem.self) { try rule.check(from: origin, to: next) }
            #expect(problem?.code == "download-redirect-refused")
        }
    }

    @Test(
        "leads nowhere by anything but http and https",
        arguments: [
            "file:///etc/shadow", "ftp://a/b", "gopher://a/", "http+unix://%2Frun%2Fx/", "http:///x", "data:,x", "http://a b/",
            "http://[::1%25eth0]/", "http://a:0/", "http://a:99999/",
        ])
    func schemes(_ location: String) throws {
        #expect(try #require(WebAddress("http://mirror.lan/a")).following(location) == nil)
    }

    @Test("carries no name and password of the server's choosing")
    func userInformation() throws {
        let origin = try #require(WebAddress("http://ann:s3cret@mirror.lan/a"))
        #expect(origin.credentials == "ann:s3cret")
        #expect(origin.description == "http://mirror.lan:80/a")
        #expect(try #require(origin.following("https://root:x@cdn.example/")).credentials == nil)
        #expect(ImageImporter.shown("http://ann:s3cret@mirror.lan/a") == "http://mirror.lan:80/a")
    }

    @Test("to another host is followed to public addresses only: one that is not is enough")
    func addresses() throws {
        let origin = try #require(WebAddress("https://mirror.example/a"))
        let other = try #require(WebAddress("https://cdn.example/a"))
        let rule = RedirectRule(origin: origin)
        func address(_ text: String) throws -> HostAddress {
            if let four = IPv4Address(text) { return .v4(four) }
            return .v6(try #require(IPv6Address(text)))
        }
        let open = ["1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "2a00::1", "64:ff9b::808:808"]
        for text in open { try rule.check([address(text)], of: other) }
        let inner = [
            "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.1.1",
            "192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:7f00:1", "::ffff:808:808",
            "fe80::1", "fd00:ec2::254", "fc00::1", "ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
            "3fff::1",
        ]
        for text in inner {
            let found = try [address("8.8.8.8"), address(text)]
            let problem = #expect(throws: Problem.self, "\(text)") { try rule.check(found, of: other) }
            #expect(problem?.code == "download-redirect-refused")
            // What the operator named is asked wherever it is.
            try rule.check(found, of: origin)
        }
    }
}

@Suite("A download that is led elsewhere")
struct LedDownloadTests {
    static func moved(_ location: String) -> [UInt8] {
        ScriptedServer.answer("302 Found", ["Location: \(location)", "Content-Length: 0"], [])
    }

    /// Runs a download in which names mean what the test says; returns what came, or throws.
    private func fetch(_ url: String, names: [String: String] = [:], limitSeconds: Int = 60) async throws -> [UInt8] {
        let workshop = try Workshop()
        let file = try DiskFile(workshop.path + "/download", .create)
        var download = ImageDownload(
            url: url, limitBytes: 1 << 20, bounds: ImportBounds(limit: .seconds(limitSeconds), folder: workshop.path, reserveBytes: 0))
        download.limitAttempts = 1
        download.resolve = { host in
            if let named = names[host] ?? (IPv4Address(host) == nil ? nil : host) { return [.v4(try #require(IPv4Address(named)))] }
            throw Problem("test", title: "\(host) was looked up")
        }
        try await download.fetch(into: file) { _ in }
        return try file.read(Int(file.byteCount()), at: 0)
    }

    private static let body = Array("a disk".utf8)
    private static func whole() -> [UInt8] { ScriptedServer.answer("200 OK", ["Content-Length: \(body.count)"], body) }

    @Test("follows its own host, with the name and password there, and not to another port with them")
    func sameHost() async throws {
        let other = try ScriptedServer([Self.whole()])
        let first = try ScriptedServer([Self.moved("/second"), Self.moved("http://127.0.0.1:\(other.port)/third")])
        #expect(try await fetch("http://ann:s3cret@127.0.0.1:\(first.port)/disk") == Self.body)
        let credentials = "authorization: basic \(Data("ann:s3cret".utf8).base64EncodedString().lowercased())"
        #expect(first.requests.count == 2)
        #expect(first.requests.allSatisfy { $0.contains(credentials) })
        #expect(other.requests.count == 1)
        #expect(other.requests.allSatisfy { !$0.contains("authorization") })
    }

    @Test("asks nothing of an inner address, by whatever name, and says so")
    func innerAddresses() async throws {
        let victim = try ScriptedServer([Self.whole()])
        let ways = [
            "http://127.0.0.2:\(victim.port)/", "https://127.0.0.2:\(victim.port)/", "https://inner.example:\(victim.port)/",
            "http://169.254.169.254/latest/meta-data", "https://localhost:\(victim.port)/", "file:///etc/shadow",
        ]
        for way in ways {
            let server = try ScriptedServer([Self.moved(way)])
            let problem = await #expect(throws: Problem.self, "\(way)") {
                try await fetch(
                    "http://mirror.example:\(server.port)/disk",
                    names: ["mirror.example": "127.0.0.1", "inner.example": "127.0.0.2", "localhost": "127.0.0.1"])
            }
            #expect(problem?.code == "download-redirect-refused", "\(way): \(String(describing: problem))")
        }
        #expect(victim.requests.isEmpty)
    }

    @Test("connects to the address that was judged, though the name means another one a moment later")
    func rebinding() async throws {
        let server = try ScriptedServer([Self.moved("/again"), Self.whole()])
        let workshop = try Workshop()
        let file = try DiskFile(workshop.path + "/download", .create)
        let count = Counter()
        var download = ImageDownload(
            url: "http://mirror.example:\(server.port)/disk", limitBytes: 1 << 20,
            bounds: ImportBounds(limit: .seconds(60), folder: workshop.path, reserveBytes: 0))
        download.limitAttempts = 1
        download.resolve = { _ in [.v4(IPv4Address(value: count.next() == 1 ? 0x7f00_0001 : 0x7f00_0009))] }
        try await download.fetch(into: file) { _ in }
        #expect(count.value == 1)
        #expect(server.requests.count == 2)
        #expect(server.requests.allSatisfy { $0.contains("host: mirror.example") })
    }

    @Test("is not led in circles")
    func hops() async throws {
        let server = try ScriptedServer(Array(repeating: Self.moved("/again"), count: 20))
        let problem = await #expect(throws: Problem.self) { try await fetch("http://127.0.0.1:\(server.port)/disk") }
        #expect(problem?.code == "download-redirect-refused")
        #expect(server.requests.count == RedirectRule.limitHops + 1)
    }

    @Test("ends with its time, however slowly the server goes on, and before it fills the disk")
    func bounds() async throws {
        let slow = try ScriptedServer([ScriptedServer.answer("200 OK", ["Content-Length: 100"], [1])], holdsFirst: true)
        defer { slow.mayClose.signal() }
        let problem = await #expect(throws: Problem.self) { try await fetch("http://127.0.0.1:\(slow.port)/disk", limitSeconds: 0) }
        #expect(problem?.code == "image-import-too-long")
        let workshop = try Workshop()
        let file = try DiskFile(workshop.path + "/download", .create)
        let server = try ScriptedServer([Self.whole()])
        let download = ImageDownload(
            url: "http://127.0.0.1:\(server.port)/disk", limitBytes: 1 << 20,
            bounds: ImportBounds(limit: .seconds(60), folder: workshop.path, reserveBytes: 1 << 60))
        let full = await #expect(throws: Problem.self) { try await download.fetch(into: file) { _ in } }
        #expect(full?.code == "disk-full")
        #expect(try file.byteCount() == 0)
    }
}

/// Counts calls from any thread.
final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var count = 0
    var value: Int { lock.withLock { count } }
    func next() -> Int {
        lock.withLock {
            count += 1
            return count
        }
    }
}
