public import Model
internal import Store
public import Wire

// An installed system says that it is up. It says so until it is acknowledged, however late that is.
extension ControlPlane {
    private static let refused = Problem("proof-invalid", status: 403, title: "That proof is not the operation's")
    private static let early = Problem(
        "call-home-early", status: 409, title: "The installation is not yet where its system could be up", remedy: "Say so again.")

    /// The call home of cloud-init's `phone_home`, once or a few times: the first and fastest way.
    public func callHome(
        operation id: OperationID, proof: String, from address: IPv4Address? = nil, hostKeys: [String],
        evidence: [String: String]
    ) async throws {
        guard let operation = try await records.get(Model.Operation.self, id: id.rawValue)?.value else { throw Self.refused }
        // Said again after a lost reply: the secret is gone by now, and nothing is given away.
        if operation.state == .succeeded { return }
        guard let stored = try await records.store.get(SeedSecrets.key(id)),
            constantTimeEqual(try RecordCoding.decode(SeedSecrets.self, from: stored).proof, proof)
        else { throw Self.refused }
        try requireOwnInstance(operation, evidence["instance-id"])
        guard try await proved(operation, from: address, hostKeys, evidence) else { throw Self.early }
    }

    /// The call home that an installed system repeats until it is acknowledged.
    ///
    /// - Returns: the answer with its code, one line.
    public func callHome(_ message: CallHomeMessage, from address: IPv4Address?, evidence: [String: String]) async throws -> String {
        guard let operation = try await records.get(Model.Operation.self, id: message.operation.rawValue)?.value, operation.kind == .install
        else { throw Self.refused }
        let key = markers.callHomeKey(of: operation)
        guard constantTimeEqual(message.code, key.code(message.text)) else { throw Self.refused }
        var evidence = evidence
        evidence["instance-id"] = message.instance
        evidence["hostname"] = message.hostname
        evidence["cloud-init"] = message.cloudInit
        let answer = try await settle(operation, message, from: address, evidence)
        return "\(answer.rawValue) \(key.code("\(answer.rawValue) \(message.nonce)"))\n"
    }

    private func settle(
        _ operation: Model.Operation, _ message: CallHomeMessage, from address: IPv4Address?, _ evidence: [String: String]
    ) async throws -> CallHomeAnswer {
        // Once it was acknowledged it is so for ever: the reply was lost.
        if operation.state == .succeeded { return .acknowledged }
        try requireOwnInstance(operation, message.instance)
        if operation.isOpen, try await proved(operation, from: address, message.hostKeys, evidence) { return .acknowledged }
        return try await provedLate(operation.id, from: address, message.hostKeys, evidence)
    }

    /// The call home of these data sources is on the disk: it would come as well from a system that found nothing else.
    private func requireOwnInstance(_ operation: Model.Operation, _ instance: String?) throws(Problem) {
        guard case .install(let request) = operation.request, request.dataSource == .ec2 || request.dataSource == .noCloudHTTP,
            instance != operation.id.rawValue
        else { return }
        throw Problem(
            "instance-foreign", status: 409, title: "The system is up, but did not find its first-boot data",
            detail: "It calls itself \(instance ?? "nothing").", remedy: "See what the metadata service refused: hostler event list")
    }

    /// In time. False: it is not, or no longer, what the operation waits for.
    private func proved(
        _ operation: Model.Operation, from address: IPv4Address?, _ hostKeys: [String], _ evidence: [String: String]
    ) async throws -> Bool {
        var isProved = false
        try await change(operation.machine) { transition, now in
            isProved = false
            guard transition.operation.id == operation.id else { return }
            let times = self.times(of: self.bootTraces.trace(of: transition.machine), since: transition.operation.step(.firstBoot))
            isProved = transition.systemIsUp(
                hostKeys: hostKeys.filter(Self.isHostKey), evidence: evidence.merging(times) { $1 }, now)
            guard isProved else { return }
            transition.machine.observed.lastSeen = now
            transition.machine.observed.address = address ?? transition.machine.observed.address
        }
        return isProved
    }

    private func provedLate(
        _ id: OperationID, from address: IPv4Address?, _ hostKeys: [String], _ evidence: [String: String]
    ) async throws -> CallHomeAnswer {
        for _ in 0..<Self.conflictLimit {
            guard let operation = try await records.get(Model.Operation.self, id: id.rawValue) else { throw Self.refused }
            if operation.value.state == .succeeded { return .acknowledged }
            if operation.value.isOpen { throw Self.early }
            guard let machine = try await records.get(Machine.self, id: operation.value.machine.rawValue) else { return .superseded }
            var proof = LateProof(machine: machine.value, operation: operation.value)
            if proof.isRecorded { return .acknowledged }
            if proof.superseded(by: try await records.all(Model.Operation.self).map(\.value)) != nil { return .superseded }
            proof.record(hostKeys: hostKeys.filter(Self.isHostKey), evidence: evidence, address: address, now)
            proof.machine.updatedAt = now
            var mutations = [
                try proof.machine.put(.revision(machine.revision)), try proof.operation.put(.revision(operation.revision)),
            ]
            for happening in proof.events { mutations.append(try event(happening, machine: proof.machine.id, operation: id).put(.absent)) }
            guard let revision = try await records.store.commitUnlessConflict(mutations) else { continue }
            await snapshots.reached(revision)
            return .acknowledged
        }
        throw Self.tooManyConflicts
    }

    /// What is said to be a host key is the system's text until it has a key's form: a type and base64, printable.
    private static func isHostKey(_ line: String) -> Bool {
        line.utf8.allSatisfy { (0x20...0x7e).contains($0) } && (try? InstallAdmission.check(keys: [line])) != nil
    }
}
