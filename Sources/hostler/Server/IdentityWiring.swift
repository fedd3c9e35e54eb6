import API
import Attestation
import Control
import FoundationEssentials
import Identity
import Logging
import Model
import Store

/// Puts the issuer together with the record that it speaks of.
enum IdentityWiring {
    /// Nil, with the reason in the log, where the keys cannot be opened: machines then boot and run as ever, without identity.
    static func open(
        _ settings: IdentitySettings, control: ControlPlane, store: any StateStore, stateDirectory: String, logger: Logger
    ) async throws -> IdentityService? {
        do {
            let sealing = try sealingKey(stateDirectory + "/identity.key")
            return try await IdentityService(
                issuer: IssuerURL(settings.issuer), region: settings.region, store: store, sealing: sealing,
                forgetting: settings.forgetsKeys,
                surroundings: IdentitySurroundings(
                    question: { id in
                        let snapshot = control.snapshot
                        let machine = snapshot.machines[id]
                        return IdentityQuestion(
                            machine: machine, operation: machine.flatMap(snapshot.namedOperation), lease: machine?.desired.lease,
                            attestation: machine.map(control.standing) ?? .none, needsAttestation: machine.map(control.requiresAttestation) ?? true)
                    },
                    record: { kind, machine, actor, message, evidence in
                        try await control.recordEvent(kind: kind, machine: machine, actor: actor, message: message, evidence: evidence)
                    },
                    now: { control.now }, steady: { control.steady }, logger: logger))
        } catch let problem as Problem {
            logger.error("no identities are issued: \(problem)")
            return nil
        } catch let error as StoreError {
            switch error {
            case .sealed, .corrupt: break
            default: throw error
            }
            logger.error("no identities are issued: \(error)")
            return nil
        }
    }

    /// The sealing key's file, made at the first start.
    private static func sealingKey(_ path: String) throws -> SealingKey {
        let file = KeyFile(path)
        if let key = try file.sealingKey() { return key }
        let bytes = SealingKey.random()
        try file.make(bytes)
        return try SealingKey(bytes)
    }
}

/// How the issuer is known to others.
struct IdentitySettings: Sendable {
    var issuer: String
    var region: String?
    /// A PEM file of TPM makers' authorities.
    var tpmRoots: String?
    /// Whether installed systems fetch their SSH host certificates.
    var hostCertificates: Bool
    /// Makes all keys anew at this start.
    var forgetsKeys: Bool

    /// Without a configured issuer it is the API's own address, which at least this host can reach.
    init(_ file: ServerConfiguration.Identity?, flag: String?, forgetsKeys: Bool, api: APIConfiguration) {
        let scheme = if case .off = api.tls { "http" } else { "https" }
        let host = api.address == "0.0.0.0" || api.address == "::" ? ProcessInfo.processInfo.hostName : api.address
        issuer = flag ?? file?.issuer ?? "\(scheme)://\(host.contains(":") ? "[\(host)]" : host):\(api.port)"
        region = file?.region
        tpmRoots = file?.tpmRoots
        hostCertificates = file?.hostCertificates ?? false
        self.forgetsKeys = forgetsKeys
    }

    func endorsementRoots() throws(Problem) -> EndorsementRoots? {
        guard let tpmRoots else { return nil }
        let text = FileManager.default.contents(atPath: tpmRoots).map { String(decoding: $0, as: UTF8.self) } ?? ""
        do throws(AttestationError) {
            return try EndorsementRoots(pem: text)
        } catch {
            throw Problem("config-invalid", title: "identity.tpmRoots: \(tpmRoots) cannot be read", detail: error.description)
        }
    }
}
