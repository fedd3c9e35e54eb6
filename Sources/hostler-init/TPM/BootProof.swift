internal import CLinux
internal import Model
internal import TPM

/// Proves to the control plane what this machine booted, where it has a TPM 2.0.
struct BootProof {
    /// securityfs: the firmware's event log as the kernel keeps it.
    private static let securityFolder = "/sys/kernel/security"
    private static let logPath = securityFolder + "/tpm0/binary_bios_measurements"
    let session: Session

    /// Returns when the control plane has judged. A machine without TPM, or with one that does not
    /// answer, says so in its log and goes on: what that means is the control plane's to decide.
    func run() async {
        let log = session.log
        do {
            guard let begun = try await WorkPool.run({ try Self.begin() }) else {
                log("no TPM 2.0: this boot is not attested")
                return
            }
            let challenge = try await session.insist(on: "tpm-enrol", isFinal: Self.isFinal) { client throws(TalkError) in
                try await client.post("tpm-enrol", begun, answer: TPMChallenge.self)
            }
            let proof = try await WorkPool.run { try Self.answer(challenge) }
            try await session.insist(on: "tpm-quote", isFinal: Self.isFinal) { client throws(TalkError) in
                try await client.post("tpm-quote", proof)
            }
            log("this boot is attested")
        } catch {
            if !(error is CancellationError) { log("this boot is not attested: \(error)") }
        }
        log.milestone("attestation")
    }

    private static func isFinal(_ error: TalkError) -> Bool {
        guard case .status(let code, _) = error else { return false }
        return (400..<500).contains(code) && code != 401 && code != 429
    }

    private static func begin() throws -> TPMEnrolment? {
        guard let device = TPMDevice() else { return nil }
        return try TPMProver(device).enrolment
    }

    private static func answer(_ challenge: TPMChallenge) throws -> TPMProof {
        guard let device = TPMDevice() else { throw TPMFormatError("the TPM is gone") }
        if !SystemFile.exists(logPath) { _ = agent_mount("securityfs", securityFolder, "securityfs", true) }
        var prover = try TPMProver(device)
        return try prover.answer(challenge, log: SystemFile.bytes(logPath, limit: AgentLimits.eventLogBytes / 4 * 3))
    }
}
