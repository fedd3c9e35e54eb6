import Model
import Synchronization
import Testing

@testable import Hardware

@Suite("BMCs that misbehave", .serialized) struct MisbehaviourTests {
    typealias Script = ScriptedBMC.Script

    /// What the bad BMC does, and the code and words that the operator gets.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var code: String
        var words: String
        var script: Script
        var testDescription: String { name }

        init(_ name: String, _ code: String, _ words: String, _ script: @escaping Script) {
            self.name = name
            self.code = code
            self.words = words
            self.script = script
        }
    }

    /// Good until it is asked for its systems.
    private static func bad(_ answer: @escaping @Sendable (ScriptedBMC.Question) -> ScriptedBMC.Answer) -> Script {
        let good = GoodBMC()
        return { question in question.path.contains("/Systems") ? answer(question) : good.answer(question) }
    }

    static let cases: [Case] = [
        Case(
            "a web page", "bmc-not-json", "answered with a web page, not JSON",
            bad { _ in
                .text(200, "<!DOCTYPE html><html><body>Please log in</body></html>", ["content-type": "text/html"])
            }),
        Case("truncated JSON", "bmc-truncated", "broke off in the middle", bad { _ in .text(200, #"{"Members": [{"@odata.id": "/redf"#) }),
        Case("10 MB of JSON", "bmc-too-large", "more than 1 MiB", bad { _ in .flood(bytes: 10 << 20) }),
        Case("JSON nested too deeply", "bmc-not-json", "something that is not JSON", bad { _ in .flood(bytes: 5000) }),
        Case(
            "a redirect to another host", "bmc-redirected", "points to another place",
            bad { _ in
                .text(302, "", ["location": "http://127.0.0.2:9/redfish/v1/Systems"])
            }),
        Case(
            "an @odata.id on another host", "bmc-link-foreign", "links to something that is not on it",
            bad { _ in
                .json(200, ["Members": [["@odata.id": "http://127.0.0.2:9/redfish/v1/Systems/1"]]])
            }),
        Case(
            "an @odata.id of another resource", "bmc-answer-elsewhere", "answered for another resource",
            bad { question in
                question.path.hasSuffix("/Systems")
                    ? .json(200, ["Members": [["@odata.id": "/redfish/v1/Systems/1"]]])
                    : .json(200, ["@odata.id": "/redfish/v1/Systems/2", "PowerState": "On"])
            }),
        Case(
            "a loop of links", "bmc-links-loop", "leads in a circle",
            bad { _ in
                .json(200, ["Members": [], "Members@odata.nextLink": "/redfish/v1/Systems?$skip=1"])
            }),
        Case(
            "a collection without end", "bmc-links-loop", "has no end",
            bad { question in
                let page = Int(question.path.split(separator: "=").last ?? "0") ?? 0
                return .json(200, ["Members": [], "Members@odata.nextLink": .string("/redfish/v1/Systems?$skip=\(page + 1)")])
            }),
        Case(
            "errors of 500", "bmc-error", "failed",
            bad { _ in
                .json(500, ["error": ["@Message.ExtendedInfo": [["Message": "The service is out of memory."]]]])
            }),
        Case("a socket closed in the middle", "bmc-truncated", "in the middle of its answer", bad { _ in .closedInTheMiddle }),
        Case("a hang", "bmc-silent", "did not answer", bad { _ in .hang }),
    ]

    @Test("one machine's error says what the BMC did, its breaker opens, and 99 others keep their pace", arguments: cases)
    func misbehaviour(_ bad: Case) async throws {
        let good = GoodBMC()
        try await ScriptedBMC.with({ good.answer($0) }) { goodServer in
            try await ScriptedBMC.with(bad.script) { badServer in
                let fleet = BMCFleet()
                var limits = BMCLine.Limits()
                limits.spacing = .zero
                for index in 0..<100 {
                    let bmc = GoodBMC.client(index == 0 ? badServer : goodServer, timeout: index == 0 ? .seconds(1) : .seconds(20))
                    fleet.put(BMCLine(id: Self.id(index), power: bmc, limits: limits, now: wallClock))
                }
                // Sessions are made in the first sweep; the paces of the next two are what is compared.
                var slowest: Duration = .zero
                for _ in 0..<3 {
                    let start = ContinuousClock.now
                    let lastGood = Mutex(start)
                    let answered = Mutex(0)
                    await fleet.sweep(timeout: .seconds(20)) { observation in
                        guard observation.id != Self.id(0) else { return }
                        #expect(observation.observed.power?.state == .off, "\(observation.id): \(String(describing: observation.observed.problem))")
                        answered.withLock { $0 += 1 }
                        lastGood.withLock { $0 = .now }
                    }
                    #expect(answered.withLock { $0 } == 99)
                    slowest = max(slowest, lastGood.withLock { $0 } - start)
                }
                let observed = try #require(fleet.line(Self.id(0))?.observed)
                #expect(observed.problem?.code == bad.code, "\(String(describing: observed.problem))")
                #expect(observed.problem?.title.contains(bad.words) == true, "\(String(describing: observed.problem))")
                #expect(observed.breaker == .open)
                // A fourth question is not even sent.
                let sent = badServer.questions.count
                let refused = await problem { _ = try await fleet.line(Self.id(0))?.readPower() }
                #expect(refused?.code == "bmc-breaker-open")
                #expect(badServer.questions.count == sent)
                #expect(slowest < .seconds(15), "the others took \(slowest)")
                for line in fleet.removeAll() { await line.power.close() }
            }
        }
    }

    private static func id(_ index: Int) -> BMCID { BMCID(unchecked: "bmc-\(1000 + index)") }

    @Test("credentials do not follow a redirect to another host") func redirect() async throws {
        try await ScriptedBMC.with({ _ in .json(200, [:]) }) { thief in
            let target = "http://127.0.0.1:\(thief.port)/redfish/v1/Systems"
            let good = GoodBMC()
            try await ScriptedBMC.with({ $0.path.contains("/Systems") ? .text(307, "", ["location": target]) : good.answer($0) }) { server in
                let bmc = GoodBMC.client(server)
                let told = await problem { try await bmc.verify() }
                #expect(told?.code == "bmc-redirected")
                #expect(told?.detail?.contains(target) == true)
                #expect(thief.questions.isEmpty)
                await bmc.close()
            }
        }
    }

    @Test("a wrong password is asked once, and said to be wrong") func wrongPassword() async throws {
        let good = GoodBMC()
        try await ScriptedBMC.with({ good.answer($0) }) { server in
            let bmc = GoodBMC.client(server, password: "wrong")
            #expect(await problem { try await bmc.verify() }?.code == "bmc-auth-refused")
            #expect(server.questions.filter { $0.method == "POST" }.count == 1)
            await bmc.close()
        }
    }

    @Test("a BMC that says OK and does nothing is found out") func liar() async throws {
        let good = GoodBMC()
        good.state.withLock { $0.isLying = true }
        try await ScriptedBMC.with({ good.answer($0) }) { server in
            let bmc = GoodBMC.client(server)
            let line = BMCLine(id: Self.id(1), power: bmc, now: wallClock)
            var policy = PowerPursuit.Policy()
            policy.poll = .milliseconds(20)
            policy.repeatAfter = .milliseconds(300)
            policy.deadline = .seconds(1)
            let rules = policy
            let told = await problem { _ = try await line.perform(.on, policy: rules) }
            #expect(told?.code == "power-not-proved")
            #expect(good.state.withLock { $0.resets }.count > 1, "it was asked again")
            await bmc.close()
        }
    }

    @Test("the first certificate is trusted, another one is refused with both fingerprints, before anything is sent")
    func certificates() async throws {
        let good = GoodBMC()
        let trust = CertificateTrust(pinned: nil)
        try await ScriptedBMC.with(tls: try ScriptedBMC.selfSigned(), { good.answer($0) }) { server in
            let bmc = GoodBMC.client(server, trust: trust)
            try await bmc.verify()
            await bmc.close()
        }
        let first = try #require(trust.fingerprint)
        #expect(first.hasPrefix("SHA256:") && first.count == 71)
        try await ScriptedBMC.with(tls: try ScriptedBMC.selfSigned(), { good.answer($0) }) { server in
            let bmc = GoodBMC.client(server, trust: trust)
            let told = await problem { try await bmc.verify() }
            #expect(told?.code == "bmc-certificate-changed")
            let lines = told?.detail?.split(separator: "\n").map(String.init) ?? []
            #expect(lines.first == "trusted: \(first)")
            #expect(lines.dropFirst().first?.hasPrefix("shown:   SHA256:") == true)
            #expect(server.questions.isEmpty)
            await bmc.close()
        }
    }

    @Test("nothing that listens is said to be unreachable") func unreachable() async throws {
        let bmc = RedfishBMC(
            client: RedfishClient(
                transport: HTTPTransport(RedfishAddress("http://127.0.0.1:1")!, trust: .init(pinned: nil)), address: "127.0.0.1:1",
                credentials: .init(userName: "a", password: "b")))
        #expect(await problem { try await bmc.verify() }?.code == "bmc-unreachable")
        await bmc.close()
    }
}
