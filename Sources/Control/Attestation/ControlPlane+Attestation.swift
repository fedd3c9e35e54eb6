internal import Attestation
internal import Crypto
internal import FoundationEssentials
public import Model
internal import Store
internal import TPM
public import Wire

// What a machine's TPM proves to the control plane.
extension ControlPlane {
    /// What only the machine's own TPM can answer, in this boot only. Nothing is written down:
    /// secret and nonce are made of the boot, so asking again gives the same.
    public func challenge(_ enrolment: TPMEnrolment, session: String) async throws -> TPMChallenge {
        let machine = try machine(session: session)
        guard let boot = machine.observed.agent?.boot else { throw Self.noBoot }
        let keys = try TPMKeys(enrolment)
        do {
            try checkMaker(of: keys)
            _ = try BootJudgement.enrolled(keys, before: machine.attestation, now: now)
        } catch {
            try await refuse(machine.id, boot: boot, error)
            throw error
        }
        let challenge: CredentialChallenge
        do throws(AttestationError) {
            challenge = try CredentialChallenge(
                secret: nonces.derived("tpm-secret", machine: machine.id, boot: boot, keys.names), for: keys.attestationName,
                endorsement: keys.endorsement)
        } catch {
            throw Problem("tpm-keys-invalid", title: "The TPM's keys cannot be challenged", detail: error.description)
        }
        return TPMChallenge(
            credentialBlob: Base64Bytes(of: challenge.credentialBlob), encryptedSecret: Base64Bytes(of: challenge.encryptedSecret),
            nonce: Base64Bytes(of: nonces.derived("tpm-nonce", machine: machine.id, boot: boot, keys.names)),
            registers: BootJudgement.quoted)
    }

    /// Judges this boot by what the TPM proved, and writes the judgement down before it answers.
    public func judge(_ proof: TPMProof, session: String) async throws {
        let machine = try machine(session: session)
        guard let boot = machine.observed.agent?.boot else { throw Self.noBoot }
        let keys = try TPMKeys(proof.enrolment)
        let secret = nonces.derived("tpm-secret", machine: machine.id, boot: boot, keys.names)
        guard let opened = proof.secret.decoded, constantTimeEqual(Hex.encode(opened), Hex.encode(secret)) else {
            let problem = Problem(
                "quote-refused", status: 403, title: "The attestation key is not in the TPM that was enrolled",
                detail: "the challenge was not opened", remedy: "Boot the machine again; if it stays so, look at its TPM.")
            try await refuse(machine.id, boot: boot, problem)
            throw problem
        }
        let enrolled: MachineAttestation
        do {
            enrolled = try BootJudgement.enrolled(keys, before: machine.attestation, now: now)
        } catch {
            try await refuse(machine.id, boot: boot, error)
            throw error
        }
        let log = try await records.store.get(Self.logKey(machine.id)).flatMap { try? EventLog(parsing: $0.value) }
        var judgement = BootJudgement(
            proof, keys: keys, enrolled: enrolled, policyLog: log, boot: boot,
            nonce: nonces.derived("tpm-nonce", machine: machine.id, boot: boot, keys.names), now: now)
        // The challenge was given to keys only whose maker is believed, where any is named.
        judgement.record.isProven = environment.endorsementRoots != nil
        if let bytes = judgement.policyLog {
            try await records.store.commit([.put(key: Self.logKey(machine.id), value: bytes, if: .none)])
        }
        try await settle(machine.id, judgement.record, evidence: judgement.evidence)
        if let problem = judgement.record.problem { throw problem }
    }

    /// Where an operator names the makers that he believes, a TPM without a certificate of theirs is none.
    private func checkMaker(of keys: TPMKeys) throws(Problem) {
        guard let roots = environment.endorsementRoots else { return }
        func unknown(_ why: String) -> Problem {
            Problem(
                "tpm-maker-unknown", status: 403, title: "Nobody vouches for the machine's TPM", detail: why,
                remedy: "Put its maker's authority into the file that identity.tpmRoots names, if you believe it.")
        }
        guard let certificate = keys.certificate else { throw unknown("it carries no certificate") }
        do throws(AttestationError) {
            _ = try roots.check(
                certificate, of: keys.endorsement, now: Date(timeIntervalSince1970: Double(now.milliseconds) / 1000))
        } catch {
            throw unknown(error.description)
        }
    }

    /// Whether a machine must have attested its boot, on whichever network it asks: by the rule that goes with it, or, before
    /// a network that asks for proof has seen it, by where it is now. Where that is not known, any such network is enough.
    public func requiresAttestation(of machine: Machine) -> Bool {
        switch machine.attestationRule {
        case .required: true
        case .relaxed: false
        case nil: environment.attestedNetworks.contains { network in machine.observed.address.map(network.contains) ?? true }
        }
    }

    /// Whether this address is on a network that wants attestation.
    public func requiresAttestation(at address: IPv4Address) -> Bool {
        environment.attestedNetworks.contains { $0.contains(address) }
    }

    /// Whether a machine may be handed what only the machine itself may have.
    ///
    /// - Parameter wantsProof: whether the network that it asks on wants attestation, by its own configuration and not by
    ///   an address, which a machine has a say in.
    func isTrusted(_ machine: Machine, wantsProof: Bool) -> Bool {
        let mustProve = requiresAttestation(of: machine) || (wantsProof && machine.attestationRule != .relaxed)
        return mustProve ? hasGoodBoot(machine) : isItself(machine)
    }

    /// Whether the agent that is on a machine has shown the TPM that was enrolled for it, on whichever network. A machine that
    /// ever had one is not believed without it.
    func isItself(_ machine: Machine) -> Bool {
        guard let attestation = machine.attestation, let agent = machine.observed.agent else { return true }
        return attestation.isOfThisTPM(for: agent.boot)
    }

    /// Throws a ``Problem`` with status 403 that says what is missing, where ``isTrusted(_:wantsProof:)`` says no.
    func requireTrust(in machine: Machine, wantsProof: Bool) throws(Problem) {
        guard isTrusted(machine, wantsProof: wantsProof) else {
            var problem = missingTrust(in: machine)
            problem.status = 403
            throw problem
        }
    }

    /// The same for the machine of that name; one that is not in the record has nothing to be given.
    public func requireTrust(of id: MachineID, wantsProof: Bool) throws(Problem) {
        if let machine = snapshot.machines[id] { try requireTrust(in: machine, wantsProof: wantsProof) }
    }

    /// How the last boot of the agent was judged; a judgement of an earlier one says nothing of it.
    public func standing(of machine: Machine) -> AttestationStanding {
        guard machine.attestation?.standing == .attested else { return machine.attestation?.standing ?? .none }
        return hasGoodBoot(machine) ? .attested : .none
    }

    /// Where no agent is on the machine, its own system runs, which the agent that was judged last has put there.
    private func hasGoodBoot(_ machine: Machine) -> Bool {
        guard let agent = machine.observed.agent else { return machine.attestation?.standing == .attested }
        return machine.attestation?.isGood(for: agent.boot) == true
    }

    private func missingTrust(in machine: Machine) -> Problem {
        machine.attestation?.problem
            ?? Problem(
                "attestation-missing", status: 403, title: "\(machine.name) has not proved what it booted",
                detail: machine.attestation == nil
                    ? "Images and secrets are for it only once it is attested, and no quote of this boot came."
                    : "A TPM was enrolled for it, and no quote of this boot came from that one.",
                remedy: "Switch its TPM 2.0 on in the firmware's setup, and boot it by UEFI. If its board was replaced: "
                    + "hostler machine attestation forget \(machine.id). To do without: hostler machine attestation relax \(machine.id).")
    }

    /// Ends the work of a machine whose boot is not good enough for it, and returns why.
    func refuseUnattested(_ machine: Machine) async throws -> Problem {
        var problem = missingTrust(in: machine)
        problem.status = 403
        try await failWork(of: machine.id, problem)
        return problem
    }

    // MARK: What people may do

    /// Says that the last boot is as it should be: later ones are judged by it.
    public func acceptBoot(machine name: String, by actor: String) async throws -> Machine {
        let accepted = try await edit(machine: name, expecting: nil, kind: "attestation.accepted", by: actor) { machine, _ throws(Problem) in
            // Only of a boot that showed the enrolled TPM there is something to accept.
            guard let attestation = machine.attestation, let registers = attestation.registers,
                attestation.problem.map({ $0.code == "boot-differs" }) ?? true,
                BootJudgement.judged.allSatisfy({ registers[String($0)] != nil })
            else {
                throw Problem(
                    "attestation-missing", status: 409, title: "\(machine.name) has no good quote that could be accepted",
                    remedy: "Boot it into the agent: hostler machine inspect \(machine.id)")
            }
            machine.attestation?.policy = BootJudgement.policy(of: registers)
            machine.attestation?.standing = .attested
            machine.attestation?.problem = nil
            return "the last boot of \(machine.name) is taken as what it should be"
        }.value
        // It was the log of what is no longer the policy.
        try await records.store.commit([.delete(key: Self.logKey(accepted.id), if: .none)])
        return accepted
    }

    /// Forgets a machine's TPM, as after its board was replaced: the next one is taken on trust.
    ///
    /// - Parameter agreement: the confirmation of what that costs (``Consequence``).
    public func forgetTPM(machine name: String, by actor: String, agreement: String? = nil) async throws -> Machine {
        let changed = try await edit(machine: name, expecting: nil, kind: "attestation.forgotten", by: actor) { machine, _ throws(Problem) in
            try self.consequence(of: .forgetTPM, on: machine).check(agreement)
            machine.attestation = nil
            return "the TPM of \(machine.name) is forgotten"
        }.value
        try await records.store.commit([.delete(key: Self.logKey(changed.id), if: .none)])
        return changed
    }

    /// Says whether a machine must prove its boot, whatever the networks say that it is on.
    public func setAttestationRule(_ rule: AttestationRule, machine name: String, by actor: String) async throws -> Machine {
        try await edit(
            machine: name, expecting: nil, kind: rule == .required ? "attestation.required" : "attestation.relaxed", by: actor
        ) { machine, _ throws(Problem) in
            machine.attestationRule = rule
            return rule == .required
                ? "\(machine.name) gets images, secrets and identities only once it is attested"
                : "\(machine.name) gets images, secrets and identities without attestation, on networks too that ask for it"
        }.value
    }

    // MARK: Writing a judgement down

    private static let noBoot = Problem("session-invalid", status: 401, title: "This session has no boot")

    private static func logKey(_ machine: MachineID) -> String { "/attestation/logs/" + machine.rawValue }

    /// A judgement that was made without a quote.
    private func refuse(_ id: MachineID, boot: String, _ problem: Problem) async throws {
        guard var record = snapshot.machines[id]?.attestation else {
            try await recordEvent(kind: "attestation.failed", machine: id, actor: "agent", message: problem.title)
            return
        }
        record.standing = .failed
        record.boot = boot
        record.judgedAt = now
        record.problem = problem
        try await settle(id, record, evidence: [:])
    }

    private func settle(_ id: MachineID, _ record: MachineAttestation, evidence: [String: String]) async throws {
        let isFirst = snapshot.machines[id]?.attestation == nil
        _ = try await edit(
            machine: id.rawValue, expecting: nil, kind: record.problem == nil ? "attestation.good" : "attestation.failed", by: "agent",
            evidence: evidence
        ) { machine, _ throws(Problem) in
            machine.attestation = record
            guard let problem = record.problem else {
                return isFirst ? "the TPM of \(machine.name) was enrolled, its boot taken on trust" : "\(machine.name) booted what it should"
            }
            if self.requiresAttestation(of: machine), machine.openOperation == nil,
                !machine.holds.contains(where: { $0.problem.code == problem.code })
            {
                machine.holds.append(Hold(id: HoldID.random(length: 8), problem: problem, operation: nil, since: self.now))
            }
            return "\(problem.title); \(problem.detail ?? "")"
        }
        guard let problem = record.problem, let machine = snapshot.machines[id], requiresAttestation(of: machine) else { return }
        try await failWork(of: id, problem, sparing: .inspect)
    }

    private func failWork(of id: MachineID, _ problem: Problem, sparing spared: OperationKind? = nil) async throws {
        try await change(id) { transition, now in
            guard transition.operation.kind != spared, !transition.operation.isDone(.restart), let step = transition.operation.currentStep
            else { return }
            transition.report(
                StepReport(
                    operation: transition.operation.id, generation: transition.operation.generation, step: step.name, kind: .failed,
                    problem: problem), now)
        }
    }
}

extension TPMKeys {
    static func digest(_ bytes: [UInt8]) -> String { Hex.encode(SHA256.hash(data: bytes)) }
}

extension Base64Bytes {
    init(of bytes: [UInt8]) { self.init(base64: Data(bytes).base64EncodedString()) }
}
