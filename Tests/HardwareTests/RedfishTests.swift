import Model
import Synchronization
import Testing

@testable import Hardware

/// The problem that `body` throws.
func problem(_ body: () async throws -> Void) async -> Problem? {
    do { try await body() } catch let problem as Problem { return problem } catch { return Problem("other", title: "\(error)") }
    return nil
}

func wallClock() -> Timestamp {
    let parts = ContinuousClock.now - epoch
    return Timestamp(milliseconds: parts.wholeMilliseconds)
}
private let epoch = ContinuousClock.now

@Suite("Redfish to a BMC that behaves") struct RedfishTests {
    @Test("power, boot override and password are changed, read back, and the session is given back") func verbs() async throws {
        let good = GoodBMC()
        try await ScriptedBMC.with({ good.answer($0) }) { server in
            let bmc = GoodBMC.client(server)
            let line = BMCLine(id: BMCID(unchecked: "bmc-0001"), power: bmc, now: wallClock)
            var policy = PowerPursuit.Policy()
            policy.poll = .milliseconds(5)
            let proof = try await line.perform(.on, policy: policy)
            #expect(proof.state == .on && proof.requests == 1)
            #expect(try await line.perform(.cycle, policy: policy).requests == 2)
            #expect(good.state.withLock { $0.resets } == ["On", "ForceOff", "On"])

            let uri = "http://10.0.0.1/boot.efi"
            #expect(try await bmc.networkBoot(uri: uri, uefi: nil) == BootOverride(target: .http, uri: uri), "its firmware is UEFI, it says")
            #expect(try await bmc.networkBoot(uri: uri, uefi: false) == BootOverride(target: .pxe, uefi: false), "it was seen to be none")
            #expect(try await bmc.networkBoot(uri: nil, uefi: true) == BootOverride(target: .pxe, uefi: true), "there is nothing to fetch")
            try await bmc.setBoot(BootOverride(target: .http, uri: "http://10.0.0.1/boot.efi"))
            let read = try await bmc.bootOverride()
            #expect(read.target == .http && !read.persistent && read.uri == "http://10.0.0.1/boot.efi")
            try await bmc.setBoot(BootOverride(target: .none))
            #expect(try await bmc.bootOverride().target == .none)

            try await bmc.setPassword("N3wSecret")
            try await bmc.verify()
            #expect(good.state.withLock { $0.password } == "N3wSecret")
            #expect(try await bmc.facts().systemUUID == "4c4c4544-0035")
            await bmc.close()
            #expect(server.questions.last?.method == "DELETE")
            #expect(!server.questions.contains { $0.headers["authorization"] != nil }, "with sessions no password goes with each request")
        }
    }

    @Test("an ETag that is no longer true is read again") func etag() async throws {
        let good = GoodBMC()
        try await ScriptedBMC.with({ good.answer($0) }) { server in
            let bmc = GoodBMC.client(server)
            try await bmc.client.patch(RedfishPath(GoodBMC.system)!, ["Boot": ["BootSourceOverrideTarget": "Pxe"]], etag: "W/\"old\"")
            #expect(good.state.withLock { $0.target } == "Pxe")
            await bmc.close()
        }
    }

    @Test("a session that expired is renewed once") func renewal() async throws {
        let good = GoodBMC()
        try await ScriptedBMC.with({ good.answer($0) }) { server in
            let bmc = GoodBMC.client(server)
            try await bmc.verify()
            // The BMC forgets its sessions, as when it restarts.
            let forgot = Mutex(false)
            server.script.withLock { script in
                script = { question in
                    if question.method == "GET", question.headers["x-auth-token"] != nil, forgot.withLock({ $0.toggled() }) { return .text(401, "") }
                    return good.answer(question)
                }
            }
            try await bmc.verify()
            await bmc.close()
        }
    }

    @Test("without a session service basic authentication is used") func basic() async throws {
        try await ScriptedBMC.with({ question in
            switch question.path {
            case "/redfish/v1/":
                .json(200, ["RedfishVersion": "1.0.0", "Systems": ["@odata.id": "/redfish/v1/Systems"], "SessionService": ["@odata.id": "/x"]])
            case "/redfish/v1/SessionService/Sessions": .text(404, "")
            default: question.headers["authorization"] == "Basic cm9vdDpjYWx2aW4=" ? .json(200, ["Members": []]) : .text(401, "")
            }
        }) { server in
            let bmc = GoodBMC.client(server)
            let members = try await bmc.client.members(of: RedfishPath("/redfish/v1/Systems")!)
            #expect(members.isEmpty)
            await bmc.close()
        }
    }

    @Test("a long job is followed to its end by its monitor") func tasks() async throws {
        let polls = Mutex(0)
        try await ScriptedBMC.with({ question in
            switch (question.method, question.path) {
            case ("POST", "/act"): return .json(202, [:], ["location": "/monitor"])
            case ("GET", "/monitor"):
                let count = polls.withLock {
                    $0 += 1; return $0
                }
                return count < 2
                    ? .json(202, ["TaskState": "Running", "PercentComplete": 50], ["retry-after": "0"])
                    : .json(200, ["TaskState": "Completed", "TaskStatus": "OK"])
            default: return .json(200, ["RedfishVersion": "1"])
            }
        }) { server in
            let bmc = GoodBMC.client(server)
            let seen = Mutex<[Int?]>([])
            try await bmc.client.post(RedfishPath("/act")!, [:], progress: { step in seen.withLock { $0.append(step.percent) } })
            #expect(seen.withLock { $0 } == [50, 50])
            await bmc.close()
        }
    }

    @Test("a job that ends badly is told in the BMC's words") func failedTask() throws {
        var progress = TaskProgress()
        let body: JSON = [
            "TaskState": "Exception", "TaskStatus": "Critical", "Messages": [["Message": "Image %1 is signed by nobody.", "MessageArgs": ["x.bin"]]],
        ]
        let answer = try RedfishAnswer(.init(status: 200, body: body.encoded), to: .init(.get, .root), from: "b")
        guard case .failed(let problem) = progress.answered(answer, at: "b") else { throw Failure() }
        #expect(problem.detail == "It said: Image x.bin is signed by nobody.")
    }

    @Test("ExtendedInfo becomes the operator's words") func extendedInfo() {
        let body: JSON = [
            "error": [
                "code": "x", "message": "See ExtendedInfo",
                "@Message.ExtendedInfo": [
                    [
                        "MessageId": "Base.1.4.PropertyNotWritable", "Message": "The property %1 is read-only.", "MessageArgs": ["Boot"],
                        "Resolution": "Remove the property and send it again.",
                    ]
                ],
            ]
        ]
        let problem = RedfishAnswer.failure(.init(status: 400, body: body.encoded), "PATCH /s", "10.0.0.4")
        #expect(problem.code == "bmc-refused")
        #expect(problem.detail == "PATCH /s → HTTP 400. It said: The property Boot is read-only.")
        #expect(problem.remedy == "The BMC advises: Remove the property and send it again.")
    }

    @Test("credentials do not show themselves") func credentials() {
        let credentials = BMCCredentials(userName: "root", password: "calvin")
        #expect(!"\(credentials)".contains("calvin"))
        #expect(!String(reflecting: credentials).contains("calvin"))
        var dumped = ""
        dump(credentials, to: &dumped)
        #expect(!dumped.contains("calvin"))
    }
}

extension Bool {
    /// True the first time.
    fileprivate mutating func toggled() -> Bool {
        defer { self = true }
        return !self
    }
}

@Suite("If-Match") struct PreconditionTests {
    @Test("weak, gzipped and missing ETags are tried in turn, then it is given up") func transcript() {
        var retry = PreconditionRetry()
        #expect(retry.begin(etag: "W/\"1\"") == .send(ifMatch: "W/\"1\""))
        #expect(retry.refused() == .read)
        #expect(retry.read(etag: "W/\"2-gzip\"") == .send(ifMatch: "W/\"2-gzip\""))
        #expect(retry.refused() == .send(ifMatch: "\"2-gzip\""))
        #expect(retry.refused() == .send(ifMatch: "W/\"2\""))
        #expect(retry.refused() == .send(ifMatch: "*"))
        #expect(retry.refused() == .send(ifMatch: nil))
        #expect(retry.refused() == .giveUp)
    }
}
