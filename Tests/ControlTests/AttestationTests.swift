import Attestation
import Crypto
import Foundation
import Logging
import Model
import Store
import Testing
import Wire
import X509

@testable import Control

@Suite("Attested boots") struct AttestationTests {
    private func open(_ store: any StateStore, required: Bool = true) async throws -> ControlPlane {
        let clock = ManualClock()
        return try await ControlPlane.open(
            store: store, images: OneImage(),
            environment: ControlEnvironment(
                now: { clock.now }, logger: Logger(label: "test"), attestedNetworks: required ? [try #require(IPv4Prefix("10.77.0.0/24"))] : []))
    }

    private func prove(_ tpm: PlayedTPM, _ control: ControlPlane, _ session: String) async throws {
        let challenge = try await control.challenge(tpm.enrolment, session: session)
        try await control.judge(tpm.proof(challenge), session: session)
    }

    private func discovered(_ control: ControlPlane) async throws -> HelloReply {
        let reply = try await boot(control)
        try await control.record(inventory(), of: reply.machine, wantsProof: false)
        return reply
    }

    private func code(_ body: () async throws -> Void) async -> String? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? Problem)?.code
        }
    }

    private func install(_ control: ControlPlane, _ id: MachineID) async throws -> Model.Operation {
        try await control.order(.install(InstallRequest(image: "debian-12")), on: id.rawValue, by: "test")
    }

    private func work(_ control: ControlPlane, _ session: String) async throws -> AgentWork {
        try await control.task(
            for: session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false, patience: .milliseconds(200)
        ).work
    }

    @Test("the first boot is taken on trust, the next is judged by it, and an image goes to an attested machine only") func attested() async throws {
        try await running(try await open(MemoryStore())) { control in
            let tpm = PlayedTPM()
            let first = try await discovered(control)
            try await prove(tpm, control, first.session)
            var record = try #require(try await control.machine(named: first.machine.rawValue).value.attestation)
            #expect(record.standing == .attested && record.policy?.keys.sorted() == ["0", "2", "4", "7"] && record.resetCount == 7)

            let second = try await boot(control, key: String(repeating: "b", count: 64))
            // What the boot before proved says nothing of this one.
            let operation = try await install(control, second.machine)
            await #expect(throws: Problem.self) { try await control.seed(of: operation.id, base: testBase, wantsProof: false) }
            try await prove(tpm, control, second.session)
            guard case .install = try await work(control, second.session) else {
                Issue.record("no work for an attested machine")
                return
            }
            _ = try await control.seed(of: operation.id, base: testBase, wantsProof: false)
            record = try #require(try await control.machine(named: first.machine.rawValue).value.attestation)
            let events = try await control.records.all(Event.self).map(\.value.kind)
            #expect(events.count { $0 == "attestation.good" } == 2)
        }
    }

    @Test("a machine that booted something else gets no image; the event names the register; a person may accept it") func differs() async throws {
        try await running(try await open(MemoryStore())) { control in
            var tpm = PlayedTPM()
            let first = try await discovered(control)
            try await prove(tpm, control, first.session)
            let operation = try await install(control, first.machine)
            let second = try await boot(control, key: String(repeating: "b", count: 64))
            tpm.registers[4] = [UInt8](repeating: 0xee, count: 32)
            tpm.registers[9] = [UInt8](repeating: 0xdd, count: 32)
            let changed = tpm
            #expect(await code { try await prove(changed, control, second.session) } == "boot-differs")
            let machine = try await control.machine(named: first.machine.rawValue).value
            #expect(machine.attestation?.standing == .failed)
            #expect(machine.holds.map(\.problem.code) == ["boot-differs"])
            #expect(try await control.operation(operation.id).value.state == .failed)
            let event = try #require(try await control.records.all(Event.self).map(\.value).first { $0.kind == "attestation.failed" })
            #expect(event.evidence == ["pcr4": String(repeating: "ee", count: 32)], "9 is quoted and not judged")
            #expect(event.message.contains("PCR 4"))

            _ = try await control.acceptBoot(machine: machine.id.rawValue, by: "ann")
            _ = try await control.agreedRelease(try #require(machine.holds.first).id, on: machine.id.rawValue, by: "ann")
            let third = try await boot(control, key: String(repeating: "c", count: 64))
            try await prove(changed, control, third.session)
            #expect(try await control.machine(named: machine.id.rawValue).value.attestation?.standing == .attested)
        }
    }

    @Test("a machine that proves nothing gets no image where its network wants proof, and one elsewhere") func missing() async throws {
        try await running(try await open(MemoryStore())) { control in
            let reply = try await discovered(control)
            let operation = try await install(control, reply.machine)
            guard case .wait = try await work(control, reply.session) else {
                Issue.record("work for a machine that proved nothing")
                return
            }
            let failed = try await control.operation(operation.id).value
            #expect(failed.state == .failed && failed.problem?.code == "attestation-missing")
        }
        try await running(try await open(MemoryStore(), required: false)) { control in
            let reply = try await discovered(control)
            _ = try await install(control, reply.machine)
            guard case .install = try await work(control, reply.session) else {
                Issue.record("no work")
                return
            }
        }
    }

    @Test("user-data goes to an attested machine only, whichever of its networks it asks on") func secrets() async throws {
        for required in [true, false] {
            try await running(try await open(MemoryStore(), required: required)) { control in
                let reply = try await discovered(control)
                let id = reply.machine
                let patch = MachinePatch(userData: UserDataPatch(content: Base64Bytes(base64: "c2VjcmV0"), access: .always))
                _ = try await control.update(machine: id.rawValue, with: patch, expecting: nil, by: "test")
                func url() -> String { String(control.rawConfigURL(for: testMAC).split(separator: "/").last ?? "") }
                let nonce = url()
                guard required else {
                    #expect(try await control.userData(of: id, wantsProof: false) == Array("secret".utf8))
                    #expect(try await control.rawConfig(nonce: nonce, of: id, mac: testMAC, wantsProof: false) == Array("secret".utf8))
                    return
                }
                #expect(await code { _ = try await control.userData(of: id, wantsProof: false) } == "attestation-missing")
                #expect(await code { _ = try await control.vendorData(of: id, base: testBase, wantsProof: false) } == "attestation-missing")
                #expect(
                    await code { _ = try await control.rawConfig(nonce: nonce, of: id, mac: testMAC, wantsProof: false) } == "attestation-missing")
                try await prove(PlayedTPM(), control, reply.session)
                #expect(control.standing(of: try #require(control.snapshot.machines[id])) == .attested)
                #expect(try await control.userData(of: id, wantsProof: false) == Array("secret".utf8))
                // The refusal has not spent it.
                #expect(try await control.rawConfig(nonce: nonce, of: id, mac: testMAC, wantsProof: false) == Array("secret".utf8))
                // Another boot that proves nothing, seen on a network that asks for nothing.
                let again = control.nonces.make(for: testMAC, now: control.now)
                _ = try await control.hello(
                    hello(nonce: again, key: String(repeating: "b", count: 64)), from: Sender(mac: testMAC, address: IPv4Address("10.99.0.50")),
                    wantsProof: false)
                #expect(control.standing(of: try #require(control.snapshot.machines[id])) == .none)
                #expect(await code { _ = try await control.userData(of: id, wantsProof: true) } == "attestation-missing")
                #expect(await code { _ = try await control.userData(of: id, wantsProof: false) } == "attestation-missing", "its TPM is known")
            }
        }
    }

    @Test("a register has one name: what is quoted under another is refused, and no policy is made of it") func registerNames() async throws {
        try await running(try await open(MemoryStore())) { control in
            let reply = try await discovered(control)
            let tpm = PlayedTPM()
            let challenge = try await control.challenge(tpm.enrolment, session: reply.session)
            var proof = try tpm.proof(challenge)
            proof.registers = Dictionary(uniqueKeysWithValues: proof.registers.map { ("0" + $0.key, $0.value) })
            let odd = proof
            #expect(await code { try await control.judge(odd, session: reply.session) } == "quote-refused")
            #expect(try await control.machine(named: reply.machine.rawValue).value.attestation?.policy == nil)
            await #expect(throws: Problem.self) { try await control.acceptBoot(machine: reply.machine.rawValue, by: "ann") }
        }
    }

    @Test("a network that asks for proof sets the rule, which goes with the machine to others, until a person relaxes it") func rule() async throws {
        try await running(try await open(MemoryStore())) { control in
            let nonce = control.nonces.make(for: testMAC, now: control.now)
            let elsewhere = Sender(mac: testMAC, address: IPv4Address("10.99.0.50"))
            let reply = try await control.hello(hello(nonce: nonce, key: String(repeating: "a", count: 64)), from: elsewhere, wantsProof: true)
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            let id = reply.machine.rawValue
            #expect(try await control.machine(named: id).value.attestationRule == .required)
            #expect(await code { try control.requireTrust(of: reply.machine, wantsProof: false) } == "attestation-missing")
            _ = try await install(control, reply.machine)
            guard case .wait = try await work(control, reply.session) else {
                Issue.record("work for a machine that proved nothing")
                return
            }
            _ = try await control.setAttestationRule(.relaxed, machine: id, by: "ann")
            try control.requireTrust(of: reply.machine, wantsProof: true)
            // Seen once more on that network it stays as the person wants it.
            let again = control.nonces.make(for: testMAC, now: control.now)
            _ = try await control.hello(hello(nonce: again, key: String(repeating: "b", count: 64)), from: elsewhere, wantsProof: true)
            #expect(try await control.machine(named: id).value.attestationRule == .relaxed)
            let kinds = try await control.records.all(Event.self).map(\.value.kind)
            #expect(kinds.count { $0 == "attestation.required" } == 1 && kinds.count { $0 == "attestation.relaxed" } == 1)
        }
    }

    @Test("a machine that ever had a TPM is not believed without it, on whichever network; a boot that differs is still its own") func withoutItsTPM()
        async throws
    {
        try await running(try await open(MemoryStore(), required: false)) { control in
            var tpm = PlayedTPM()
            let first = try await discovered(control)
            try await prove(tpm, control, first.session)
            #expect(try await control.machine(named: first.machine.rawValue).value.attestation?.isProven == false, "no maker vouches for it")

            let second = try await boot(control, key: String(repeating: "b", count: 64))
            #expect(await code { try await control.record(inventory(), of: second.machine, wantsProof: false) } == "attestation-missing")
            for request in [OperationRequest.install(InstallRequest(image: "debian-12")), .rescue(RescueRequest(sshKeys: []))] {
                let operation = try await control.order(request, on: second.machine.rawValue, by: "test")
                guard case .wait = try await work(control, second.session) else {
                    Issue.record("work for a machine without its TPM")
                    return
                }
                let report = StepReport(
                    operation: operation.id, generation: operation.generation, step: operation.steps[1].name, kind: .succeeded)
                #expect(await code { _ = try await control.report(report, of: second.machine, wantsProof: false) } == nil)
                let ended = try await control.operation(operation.id).value
                #expect(ended.state == .failed && ended.problem?.code == "attestation-missing")
                let held = try await control.machine(named: second.machine.rawValue).value.holds
                for hold in held { _ = try await control.agreedRelease(hold.id, on: second.machine.rawValue, by: "ann") }
            }
            let third = try await boot(control, key: String(repeating: "c", count: 64))
            tpm.registers[4] = [UInt8](repeating: 0xee, count: 32)
            let changed = tpm
            #expect(await code { try await prove(changed, control, third.session) } == "boot-differs")
            try await control.record(inventory(), of: third.machine, wantsProof: false)
            _ = try await install(control, third.machine)
            guard case .install = try await work(control, third.session) else {
                Issue.record("no work for a machine that has its TPM, on a network that asks for nothing")
                return
            }
        }
    }

    @Test("an installation and its seed ask for proof where the machine asks, wherever it was seen last") func whereItAsks() async throws {
        try await running(try await open(MemoryStore())) { control in
            // Seen on a network that asks for nothing.
            let nonce = control.nonces.make(for: testMAC, now: control.now)
            let reply = try await control.hello(
                hello(nonce: nonce, key: String(repeating: "a", count: 64)), from: Sender(mac: testMAC, address: IPv4Address("10.99.0.50")),
                wantsProof: false)
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            let operation = try await install(control, reply.machine)
            _ = try await control.seed(of: operation.id, base: testBase, wantsProof: false)
            await #expect(throws: Problem.self) { try await control.seed(of: operation.id, base: testBase, wantsProof: true) }
            #expect(await code { try control.requireTrust(of: reply.machine, wantsProof: true) } == "attestation-missing")
            try control.requireTrust(of: reply.machine, wantsProof: false)
            let query = TaskQuery(operation: nil, generation: 0)
            let task = try await control.task(for: reply.session, query: query, base: testBase, wantsProof: true, patience: .milliseconds(200))
            guard case .wait = task.work else {
                Issue.record("work for a machine that proved nothing")
                return
            }
            #expect(try await control.operation(operation.id).value.problem?.code == "attestation-missing")
        }
    }

    @Test("another TPM is refused until a person says that the old one is gone") func otherTPM() async throws {
        try await running(try await open(MemoryStore())) { control in
            let first = try await discovered(control)
            try await prove(PlayedTPM(), control, first.session)
            let other = PlayedTPM()
            #expect(await code { _ = try await control.challenge(other.enrolment, session: first.session) } == "tpm-changed")
            #expect(try await control.machine(named: first.machine.rawValue).value.attestation?.standing == .failed)
            await #expect(throws: Problem.self) { try await control.acceptBoot(machine: first.machine.rawValue, by: "ann") }
            _ = try await control.forgetTPM(
                machine: first.machine.rawValue, by: "ann", agreement: control.agreement(to: .forgetTPM, on: first.machine.rawValue))
            try await prove(other, control, first.session)
        }
    }

    @Test("where makers are named, a TPM that none of them vouches for is refused, and gets no image") func makers() async throws {
        let clock = ManualClock()
        let control = try await ControlPlane.open(
            store: MemoryStore(), images: OneImage(),
            environment: ControlEnvironment(
                now: { clock.now }, logger: Logger(label: "test"), attestedNetworks: [try #require(IPv4Prefix("10.77.0.0/24"))],
                endorsementRoots: try EndorsementRoots(pem: maker())))
        try await running(control) { control in
            let reply = try await discovered(control)
            let tpm = PlayedTPM()
            #expect(await code { try await prove(tpm, control, reply.session) } == "tpm-maker-unknown")
            var certified = tpm.enrolment
            certified.endorsementCertificate = Base64Bytes(base64: "AAAA")
            let enrolment = certified
            #expect(await code { _ = try await control.challenge(enrolment, session: reply.session) } == "tpm-maker-unknown")
            #expect(try await control.machine(named: reply.machine.rawValue).value.attestation == nil)
            let operation = try await install(control, reply.machine)
            _ = try await work(control, reply.session)
            #expect(try await control.operation(operation.id).value.problem?.code == "attestation-missing")
        }
    }

    /// A certificate of an authority, in PEM.
    private func maker() throws -> String {
        let key = P256.Signing.PrivateKey()
        let name = try DistinguishedName { CommonName("Maker") }
        return try Certificate(
            version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey), notValidBefore: Date(timeIntervalSince1970: 0),
            notValidAfter: Date(timeIntervalSince1970: 4e9), issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions { Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil)) },
            issuerPrivateKey: .init(key)
        ).serializeAsPEM().pemString
    }

    @Test("a secret that was not opened, an old boot's answer, and keys that are none are refused") func replays() async throws {
        try await running(try await open(MemoryStore(), required: false)) { control in
            let tpm = PlayedTPM()
            let first = try await discovered(control)
            let challenge = try await control.challenge(tpm.enrolment, session: first.session)
            #expect(await code { try await control.judge(tpm.proof(challenge, secret: [1, 2, 3]), session: first.session) } == "quote-refused")
            #expect(
                await code { try await control.judge(tpm.proof(challenge, nonce: [UInt8](repeating: 1, count: 32)), session: first.session) }
                    == "quote-refused")
            let old = try tpm.proof(challenge)
            try await control.judge(old, session: first.session)
            let second = try await boot(control, key: String(repeating: "b", count: 64))
            #expect(await code { try await control.judge(old, session: second.session) } == "quote-refused")
            #expect(await code { try await control.judge(old, session: first.session) } == "session-invalid")
            var broken = tpm.enrolment
            broken.endorsementKey = broken.attestationKey
            let enrolment = broken
            #expect(await code { _ = try await control.challenge(enrolment, session: second.session) } == "tpm-changed")
            broken.attestationKey = Base64Bytes(base64: "AAAA")
            let garbled = broken
            #expect(await code { _ = try await control.challenge(garbled, session: second.session) } == "tpm-keys-invalid")
        }
    }
}
