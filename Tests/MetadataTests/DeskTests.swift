import Model
import Testing
import Wire

@testable import Metadata

@Suite("The metadata desk")
struct DeskTests {
    let desk = MetadataDesk(sessions: testSessions)

    private func head(_ method: String, _ path: String, _ fields: [String] = [], host: String = "169.254.169.254") throws -> RequestHead {
        let text = (["\(method) \(path) HTTP/1.1", "Host: \(host)"] + fields).joined(separator: "\r\n") + "\r\n\r\n"
        guard case .head(let head, _) = RequestHead.read(Array(text.utf8)[...]) else { throw TestProblem.notRead(text) }
        return head
    }
    enum TestProblem: Error { case notRead(String) }

    private func ask(
        _ method: String, _ path: String, _ fields: [String] = [], host: String = "169.254.169.254", from caller: Asker = asker,
        desk: MetadataDesk? = nil, at now: Timestamp = start
    ) throws -> MetadataAnswer {
        (desk ?? self.desk).answer(try head(method, path, fields, host: host), from: caller, view: try view(), now: now)
    }
    private func status(_ answer: MetadataAnswer) -> Int {
        switch answer {
        case .reply(let reply): reply.status
        case .refuse(let status, _): status
        default: 200
        }
    }
    private func token(_ caller: Asker = asker, _ proof: Proof = .wire, seconds: Int = 60) -> [String] {
        ["X-aws-ec2-metadata-token: " + testSessions.token(for: caller, proof: proof, seconds: seconds, now: start, random: 7)]
    }

    @Test("gives a token for a TTL of 1 to 21600 seconds, and 400 for any other")
    func tokens() throws {
        let ttl = "X-aws-ec2-metadata-token-ttl-seconds: "
        #expect(try ask("PUT", "/latest/api/token", [ttl + "21600"]) == .issueToken(seconds: 21_600, .wire))
        #expect(try ask("PUT", "/latest/api/token", [ttl + "1"]) == .issueToken(seconds: 1, .wire))
        for bad in ["0", "21601", "-1", "1.5", "", "x", "999999999999999999999"] {
            #expect(status(try ask("PUT", "/latest/api/token", [ttl + bad])) == 400, "\(bad)")
        }
        #expect(status(try ask("PUT", "/latest/api/token")) == 400)
        #expect(status(try ask("GET", "/latest/api/token", token())) == 405)
    }

    @Test("takes no token that lives longer than any that is given: it is of a clock that was ahead")
    func tokenOfTomorrow() throws {
        let day = start + .seconds(86_400)
        let ahead = "X-aws-ec2-metadata-token: " + testSessions.token(for: asker, proof: .wire, seconds: 60, now: day, random: 7)
        #expect(status(try ask("GET", "/latest/meta-data/instance-id", [ahead])) == 401)
        #expect(status(try ask("GET", "/latest/meta-data/instance-id", [ahead], at: day)) == 200)
        #expect(status(try ask("GET", "/latest/meta-data/instance-id", token(seconds: 21_600))) == 200)
    }

    @Test("wants a token on every read, and the asker's own, and one that is not over")
    func reads() throws {
        #expect(status(try ask("GET", "/latest/meta-data/instance-id")) == 401)
        #expect(status(try ask("GET", "/latest/meta-data/instance-id", token())) == 200)
        #expect(status(try ask("GET", "/latest/meta-data/instance-id", token(), at: start + .seconds(59))) == 200)
        #expect(status(try ask("GET", "/latest/meta-data/instance-id", token(), at: start + .seconds(60))) == 401)
        #expect(status(try ask("GET", "/latest/meta-data/instance-id", ["X-aws-ec2-metadata-token: nonsense"])) == 401)
        // A token that cannot be taken for none: 401 also where no token is needed.
        let open = MetadataDesk(sessions: testSessions, policy: MetadataPolicy(allowsTokenless: true))
        #expect(status(try ask("GET", "/latest/meta-data/instance-id", desk: open)) == 200)
        #expect(status(try ask("GET", "/latest/meta-data/instance-id", ["X-aws-ec2-metadata-token: nonsense"], desk: open)) == 401)
        #expect(status(try ask("GET", "/latest/user-data", desk: open)) == 403)
    }

    @Test("takes no token of another machine, installation, port or address")
    func foreignTokens() throws {
        let others = [
            Asker(machine: MachineID(unchecked: "m-other1"), incarnation: asker.incarnation, address: address, mac: macs[0]),
            Asker(machine: asker.machine, incarnation: "op-ffffffff", address: address, mac: macs[0]),
            Asker(machine: asker.machine, incarnation: asker.incarnation, address: IPv4Address(value: 1), mac: macs[0]),
            Asker(machine: asker.machine, incarnation: asker.incarnation, address: address, mac: macs[1]),
        ]
        for other in others { #expect(status(try ask("GET", "/latest/meta-data/", token(other, .key))) == 401) }
    }

    @Test("takes by IPv6 a token that the machine was given at any of its IPv4 addresses")
    func tokensOfAnotherFamily() {
        let other = IPv4Address(value: 1)
        let byIPv6 = Asker(machine: asker.machine, incarnation: asker.incarnation, address: other, mac: asker.mac, elsewhere: [address])
        let reinstalled = Asker(machine: asker.machine, incarnation: "op-ffffffff", address: other, mac: asker.mac, elsewhere: [address])
        let token = testSessions.token(for: asker, proof: .seed, seconds: 60, now: start, random: 1)
        #expect(testSessions.check(token, of: byIPv6, now: start)?.proof == .seed)
        #expect(testSessions.check(token, of: reinstalled, now: start) == nil)
        let theirs = testSessions.token(for: byIPv6, proof: .wire, seconds: 60, now: start, random: 1)
        #expect(testSessions.check(theirs, of: asker, now: start) == nil)
    }

    @Test("knows no token that was changed in any character")
    func changedTokens() {
        let token = testSessions.token(for: asker, proof: .wire, seconds: 60, now: start, random: 1)
        #expect(token.count == MetadataSessions.tokenCharacters)
        for index in token.indices {
            var changed = Array(token)
            let position = token.distance(from: token.startIndex, to: index)
            changed[position] = changed[position] == "0" ? "1" : "0"
            #expect(testSessions.check(String(changed), of: asker, now: start) == nil)
        }
        #expect(testSessions.check(String(token.dropLast()), of: asker, now: start) == nil)
        #expect(testSessions.check(token, of: asker, now: start)?.proof == .wire)
    }

    @Test("gives secrets only to whoever has the machine's key, by path, by header, or by a token that was got with it")
    func secrets() throws {
        for path in [
            "/latest/user-data", "/openstack/latest/user_data", "/openstack/latest/vendor_data.json", "/nocloud/user-data",
            "/nocloud/vendor-data", "/hostler/v1/user-data", "/hostler/v1/token?audience=a", "/latest/dynamic/instance-identity/pkcs7",
        ] {
            #expect(status(try ask("GET", path, token())) == 403, "\(path)")
            #expect(status(try ask("GET", path, token(asker, .key))) == 200, "\(path)")
            #expect(status(try ask("GET", "/k/\(instanceKey)" + path)) == 200, "\(path)")
            #expect(status(try ask("GET", path, ["X-Hostler-Key: \(instanceKey)"])) == 200, "\(path)")
            #expect(status(try ask("GET", "/k/\(instanceKey.dropLast())0" + path)) == 403, "\(path)")
        }
        let ttl = ["X-aws-ec2-metadata-token-ttl-seconds: 60"]
        #expect(try ask("PUT", "/k/\(instanceKey)/latest/api/token", ttl) == .issueToken(seconds: 60, .key))
        // The key that cloud-init is given opens what it needs, and no identity: it writes down where it read.
        for path in ["/latest/user-data", "/nocloud/user-data"] {
            #expect(status(try ask("GET", "/k/\(seedKey)" + path)) == 200, "\(path)")
        }
        for path in [
            "/hostler/v1/token?audience=a", "/hostler/v1/ssh-host-certificates", "/latest/dynamic/instance-identity/pkcs7",
            "/latest/dynamic/instance-identity/signature",
        ] {
            #expect(status(try ask("GET", "/k/\(seedKey)" + path)) == 403, "\(path)")
            #expect(status(try ask("GET", path, token(asker, .seed))) == 403, "\(path)")
        }
        #expect(try ask("PUT", "/k/\(seedKey)/latest/api/token", ttl) == .issueToken(seconds: 60, .seed))
        // The key of another installation is none.
        let other = Asker(machine: asker.machine, incarnation: "op-ffffffff", address: address, mac: macs[0])
        #expect(status(try ask("GET", "/k/\(instanceKey)/latest/user-data", from: other)) == 403)
        var reinstalled = asker
        reinstalled.keyVerifiers = KeyVerifiers(instance: String(repeating: "0", count: 64), seed: "")
        #expect(status(try ask("GET", "/k/\(instanceKey)/latest/user-data", from: reinstalled)) == 403)
        // What is kept of a key is no key.
        for kept in [asker.keyVerifiers?.instance ?? "", "m-7f3k2q." + (asker.keyVerifiers?.instance ?? "")] {
            #expect(status(try ask("GET", "/latest/user-data", ["X-Hostler-Key: \(kept)"])) == 403)
        }
        #expect(try ask("GET", "/hostler/v1/config/n-1") == .secret(.rawConfig(nonce: "n-1")))
    }

    @Test("keeps the call home from whoever has no more than the seed key, which every local user can read")
    func callHome() throws {
        let trusting = MetadataDesk(sessions: testSessions, policy: MetadataPolicy(allowsTokenless: true, secretsNeedKey: false))
        let empty = [
            "/nocloud/vendor-data": MetadataAnswer.reply(.init(200, NoCloudSeed.emptyUserData)),
            "/openstack/latest/vendor_data.json": .reply(MetadataReply(200, Array("{}".utf8), type: "application/json")),
        ]
        for (path, nothing) in empty {
            #expect(try ask("GET", "/k/\(seedKey)" + path) == nothing)
            #expect(try ask("GET", path, token(asker, .seed)) == nothing)
            #expect(try ask("GET", path, desk: trusting) == nothing)
            #expect(try ask("GET", "/k/\(instanceKey)" + path) != nothing)
        }
        #expect(try ask("GET", "/k/\(instanceKey)/nocloud/vendor-data") == .secret(.vendorData))
    }

    @Test("refuses HEAD for what a reading may spend")
    func heads() throws {
        let paths = [
            "/latest/user-data", "/nocloud/user-data", "/nocloud/vendor-data", "/openstack/latest/user_data", "/hostler/v1/user-data",
            "/hostler/v1/token?audience=a", "/hostler/v1/ssh-host-certificates", "/latest/dynamic/instance-identity/pkcs7",
            "/hostler/v1/config/n-1",
        ]
        for path in paths { #expect(try ask("HEAD", "/k/\(instanceKey)" + path) == .refuse(status: 405, why: .method), "\(path)") }
        #expect(status(try ask("HEAD", "/k/\(instanceKey)/latest/meta-data/instance-id")) == 200)
    }

    @Test("answers nobody who comes through a proxy, by another name, or with another method")
    func refusals() throws {
        #expect(status(try ask("GET", "/latest/meta-data/", token() + ["X-Forwarded-For: 1.2.3.4"])) == 403)
        #expect(status(try ask("PUT", "/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds: 60", "Via: 1.1 x"])) == 403)
        #expect(status(try ask("GET", "/latest/meta-data/", token(), host: "rebind.example")) == 403)
        #expect(status(try ask("GET", "/latest/meta-data/", token(), host: "169.254.169.254:80")) == 200)
        for method in ["POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"] {
            #expect(status(try ask(method, "/latest/meta-data/", token())) == 405, "\(method)")
        }
        #expect(status(try ask("PUT", "/latest/meta-data/", token())) == 405)
        #expect(status(try ask("GET", "//latest/meta-data/", token())) == 404)
        for path in [
            "/late", "/latest/meta", "/latest/meta-data/iam/security-credentials/", "/latest/meta-data/instance-id/x", "/1999-01-01/meta-data",
            "/openstack/latest/x", "/openstack/never", "/hostler", "/hostler/v2/self", "/nocloud", "/latest/meta-data/public-keys/9/openssh-key",
        ] {
            #expect(status(try ask("GET", path, token())) == 404, "\(path)")
        }
    }

    @Test("lets a burst pass, then so many a second, and gives nothing for a clock that goes back")
    func bucket() {
        var bucket = TokenBucket(perSecond: 10, burst: 20, nowMilliseconds: 0)
        let passes = [(30, 0), (30, 500), (1, 0), (100, 1_000_000)].map { tries, now in
            (0..<tries).filter { _ in bucket.take(nowMilliseconds: Int64(now)) }.count
        }
        #expect(passes == [20, 5, 0, 20])
        // However the clock moves, no more passes than was earned.
        var generator = Seeded(state: 42)
        var now: Int64 = 0
        var passed = 0
        var other = TokenBucket(perSecond: 5, burst: 5, nowMilliseconds: 0)
        for _ in 0..<10_000 {
            now += Int64.random(in: -3...5, using: &generator)
            if other.take(nowMilliseconds: now) { passed += 1 }
        }
        #expect(passed <= 5 + Int(10_000 * 5) * 5 / 1000)
    }
}
