internal import Wire

/// Something that takes a TPM's command and gives its response: a device, or a simulator's socket.
public protocol TPMTransport {
    mutating func exchange(_ command: [UInt8]) throws -> [UInt8]
}

/// The few commands that attestation needs (TPM 2.0 Library Part 3), over any transport.
public struct TPMClient<Transport: TPMTransport> {
    private var transport: Transport

    public init(_ transport: Transport) { self.transport = transport }

    /// TPM_RH_ENDORSEMENT and TPM_RH_NULL (Part 2 §7.4).
    private static var endorsementHierarchy: UInt32 { 0x4000_000b }
    private static var noHandle: UInt32 { 0x4000_0007 }
    private static var empty: [UInt8] { [0, 0] }
    /// A busy TPM is asked so often.
    private static var attempts: Int { 20 }

    private mutating func run(_ command: TPMCommand, hasHandle: Bool = false) throws -> TPMResponse {
        var left = Self.attempts
        while true {
            do {
                return try TPMResponse(parsing: try transport.exchange(command.serialize()), hasHandle: hasHandle)
            } catch let refusal as TPMRefusal where refusal.mayPass && left > 0 {
                left -= 1
            }
        }
    }

    /// TPM2_CreatePrimary (Part 3 §24.1) in the endorsement hierarchy.
    public mutating func createPrimary(_ template: TPMPublicArea) throws -> (handle: UInt32, area: [UInt8]) {
        var parameters = ByteWriter()
        // TPM2B_SENSITIVE_CREATE: no password, no data.
        parameters.writeSized(Self.empty + Self.empty)
        parameters.write(template.serializeSized())
        parameters.write(Self.empty)
        parameters.write(UInt32(0))
        let response = try run(
            TPMCommand(
                code: 0x131, handles: [Self.endorsementHierarchy], authorizations: [.password], parameters: parameters.bytes),
            hasHandle: true)
        var reader = TPMReader(response.parameters)
        let inner = try reader.sized(limit: 2048)
        var area = ByteWriter()
        area.writeSized(inner)
        return (response.handle ?? Self.noHandle, area.bytes)
    }

    /// TPM2_FlushContext (Part 3 §28.4).
    public mutating func flush(_ handle: UInt32) throws { _ = try run(TPMCommand(code: 0x165, handles: [handle])) }

    /// TPM2_ActivateCredential (Part 3 §12.5): the secret of a challenge, if this TPM holds both keys.
    ///
    /// - Parameter nonce: 16 to 32 bytes; of no consequence here, since the session neither binds nor encrypts.
    public mutating func activate(
        attestationKey: UInt32, endorsementKey: UInt32, credentialBlob: [UInt8], encryptedSecret: [UInt8], nonce: [UInt8]
    ) throws -> [UInt8] {
        let session = try startPolicySession(nonce: nonce)
        do {
            try policySecret(session)
            let response = try run(
                TPMCommand(
                    code: 0x147, handles: [attestationKey, endorsementKey], authorizations: [.password, .session(session)],
                    parameters: credentialBlob + encryptedSecret))
            var reader = TPMReader(response.parameters)
            return try reader.sized(limit: 64)
        } catch {
            // The session ends with a command that succeeds, and only then.
            try? flush(session)
            throw error
        }
    }

    /// TPM2_StartAuthSession (Part 3 §11.1): a policy session, unbound and unsalted.
    private mutating func startPolicySession(nonce: [UInt8]) throws -> UInt32 {
        var parameters = ByteWriter()
        parameters.writeSized(nonce)
        parameters.write(Self.empty)
        parameters.write(UInt8(1))
        parameters.write(TPMAlgorithm.null)
        parameters.write(TPMAlgorithm.sha256)
        let response = try run(
            TPMCommand(code: 0x176, handles: [Self.noHandle, Self.noHandle], parameters: parameters.bytes), hasHandle: true)
        return response.handle ?? Self.noHandle
    }

    /// TPM2_PolicySecret (Part 3 §23.4) with the endorsement hierarchy's empty password.
    private mutating func policySecret(_ session: UInt32) throws {
        _ = try run(
            TPMCommand(
                code: 0x151, handles: [Self.endorsementHierarchy, session], authorizations: [.password],
                parameters: Self.empty + Self.empty + Self.empty + [0, 0, 0, 0]))
    }

    /// TPM2_Quote (Part 3 §18.4): TPMS_ATTEST and TPMT_SIGNATURE.
    public mutating func quote(
        key: UInt32, nonce: [UInt8], selection: PCRSelection
    ) throws -> (attest: [UInt8], signature: [UInt8]) {
        var parameters = ByteWriter()
        parameters.writeSized(nonce)
        parameters.write(TPMAlgorithm.null)
        parameters.write(selection.serialize())
        let response = try run(TPMCommand(code: 0x158, handles: [key], authorizations: [.password], parameters: parameters.bytes))
        var reader = TPMReader(response.parameters)
        let attest = try reader.sized(limit: TPMQuote.limitBytes)
        return (attest, try reader.bytes(response.parameters.count - reader.offset))
    }

    /// TPM2_PCR_Read (Part 3 §22.4), as often as it takes: a TPM gives eight registers at a time.
    public mutating func registers(_ registers: [Int], of hash: TPMAlgorithm) throws -> [Int: [UInt8]] {
        var values: [Int: [UInt8]] = [:]
        while true {
            let missing = registers.filter { values[$0] == nil }.sorted()
            guard !missing.isEmpty else { return values }
            let asked = PCRSelection(banks: [.init(hash: hash, registers: missing)])
            let response = try run(TPMCommand(code: 0x17e, parameters: asked.serialize()))
            var reader = TPMReader(response.parameters)
            _ = try reader.u32()
            let given = try PCRSelection(from: &reader).banks.first?.registers ?? []
            let count = try reader.u32()
            guard count == given.count, count > 0, given.allSatisfy(missing.contains) else {
                throw TPMFormatError("the TPM has no \(hash) bank")
            }
            for register in given { values[register] = try reader.sized(limit: 64) }
        }
    }

    /// What stands at an NV index that anybody may read (Part 3 §31.6, §31.13); nil where there is no such index.
    public mutating func read(index: UInt32) throws -> [UInt8]? {
        let header: TPMResponse
        do {
            header = try run(TPMCommand(code: 0x169, handles: [index]))
        } catch is TPMRefusal {
            return nil
        }
        var reader = TPMReader(header.parameters)
        var area = TPMReader(try reader.sized(limit: 256))
        _ = try area.bytes(10)
        _ = try area.sized(limit: 64)
        let size = Int(try area.u16())
        var bytes: [UInt8] = []
        while bytes.count < size {
            // Every TPM gives 512 bytes at once (PC Client TPM Profile, TPM_PT_NV_BUFFER_MAX).
            var parameters = ByteWriter()
            parameters.write(UInt16(min(512, size - bytes.count)))
            parameters.write(UInt16(bytes.count))
            let response = try run(
                TPMCommand(code: 0x14e, handles: [index, index], authorizations: [.password], parameters: parameters.bytes))
            var part = TPMReader(response.parameters)
            let more = try part.sized(limit: 512)
            guard !more.isEmpty else { throw TPMFormatError("an NV index that ends before its size") }
            bytes += more
        }
        return bytes
    }
}
