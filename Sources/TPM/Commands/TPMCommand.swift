internal import Wire

/// A command as it goes to a TPM (TPM 2.0 Library Part 1 §18, Part 3).
public struct TPMCommand: Sendable, Equatable {
    /// How a handle's use is authorised (Part 1 §18.6.2).
    public enum Authorization: Sendable, Equatable {
        /// The empty password.
        case password
        /// A policy session, which ends with the command.
        case session(UInt32)
    }

    /// TPM_CC (Part 2 §6.5.2).
    public var code: UInt32
    public var handles: [UInt32]
    public var authorizations: [Authorization]
    public var parameters: [UInt8]

    public init(code: UInt32, handles: [UInt32] = [], authorizations: [Authorization] = [], parameters: [UInt8] = []) {
        self.code = code
        self.handles = handles
        self.authorizations = authorizations
        self.parameters = parameters
    }

    /// TPM_ST_NO_SESSIONS and TPM_ST_SESSIONS (Part 2 §6.9).
    static let plainTag: UInt16 = 0x8001
    static let sessionsTag: UInt16 = 0x8002
    /// TPM_RS_PW (Part 2 §7.4).
    private static let passwordSession: UInt32 = 0x4000_0009
    /// The largest that TPMs take and give (PC Client TPM Profile, TPM_PT_MAX_COMMAND_SIZE).
    public static let limitBytes = 4096

    public func serialize() -> [UInt8] {
        var body = ByteWriter()
        for handle in handles { body.write(handle) }
        if !authorizations.isEmpty {
            var area = ByteWriter()
            for authorization in authorizations {
                switch authorization {
                case .password: area.write(Self.passwordSession)
                case .session(let handle): area.write(handle)
                }
                // No nonce, no attributes (a session ends with its use), no password.
                area.write(UInt16(0))
                area.write(UInt8(0))
                area.write(UInt16(0))
            }
            body.write(UInt32(truncatingIfNeeded: area.count))
            body.write(area.bytes)
        }
        body.write(parameters)
        var writer = ByteWriter()
        writer.write(authorizations.isEmpty ? Self.plainTag : Self.sessionsTag)
        writer.write(UInt32(truncatingIfNeeded: body.count + 10))
        writer.write(code)
        writer.write(body.bytes)
        return writer.bytes
    }
}

/// A TPM said no (Part 2 §6.6).
public struct TPMRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    /// TPM_RC.
    public var code: UInt32
    public init(code: UInt32) { self.code = code }

    /// TPM_RC_YIELDED, TPM_RC_TESTING, TPM_RC_RETRY: the same command may succeed in a moment.
    public var mayPass: Bool { [0x908, 0x90a, 0x922].contains(code) }
    public var description: String { "the TPM answered 0x\(String(code, radix: 16))" }
}

/// What a TPM answers.
public struct TPMResponse: Sendable, Equatable {
    public var handle: UInt32?
    public var parameters: [UInt8]

    /// - Parameter hasHandle: whether the command's response begins with one.
    public init(parsing bytes: [UInt8], hasHandle: Bool) throws {
        guard bytes.count <= TPMCommand.limitBytes else { throw TPMFormatError("a response of \(bytes.count) bytes") }
        var reader = TPMReader(bytes)
        let tag = try reader.u16()
        guard try reader.u32() == bytes.count else { throw TPMFormatError("a response whose size is not its own") }
        let code = try reader.u32()
        guard code == 0 else { throw TPMRefusal(code: code) }
        handle = hasHandle ? try reader.u32() : nil
        if tag == TPMCommand.sessionsTag {
            let count = try reader.u32()
            guard count <= TPMCommand.limitBytes else { throw TPMFormatError("parameters of \(count) bytes") }
            parameters = try reader.bytes(Int(count))
        } else {
            parameters = try reader.bytes(bytes.count - reader.offset)
        }
    }
}
