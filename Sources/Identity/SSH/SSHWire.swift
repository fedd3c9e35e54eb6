internal import Wire

/// Text that is not of OpenSSH's form.
public struct SSHFormatError: Error, Equatable, Sendable, CustomStringConvertible {
    public var description: String
    init(_ description: String) { self.description = description }
}

extension ByteWriter {
    /// A length in 32 bits and the bytes (RFC 4251 §5, `string`).
    mutating func writeSSH(_ bytes: some Collection<UInt8>) {
        write(UInt32(bytes.count))
        write(bytes)
    }

    mutating func writeSSH(_ text: String) { writeSSH(Array(text.utf8)) }
}

extension ByteReader {
    /// RFC 4251 §5, `string`.
    mutating func readSSH() throws(SSHFormatError) -> ArraySlice<UInt8> {
        do {
            let count = try readUInt32()
            return try read(Int(count))
        } catch {
            throw SSHFormatError("\(error)")
        }
    }

    mutating func readSSHText() throws(SSHFormatError) -> String {
        guard let text = String(validating: try readSSH(), as: UTF8.self) else { throw SSHFormatError("text that is not UTF-8") }
        return text
    }

    mutating func readSSHUInt32() throws(SSHFormatError) -> UInt32 {
        do { return try readUInt32() } catch { throw SSHFormatError("\(error)") }
    }

    mutating func readSSHUInt64() throws(SSHFormatError) -> UInt64 {
        do { return try readUInt64() } catch { throw SSHFormatError("\(error)") }
    }
}
