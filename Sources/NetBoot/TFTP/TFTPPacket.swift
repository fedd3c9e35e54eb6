public import Wire

/// Why a datagram is no TFTP packet.
public enum TFTPParseError: Error, Equatable, Sendable, CustomStringConvertible {
    case truncated(TruncatedError)
    case unknownOperation(UInt16)
    case unknownMode(String)
    /// A string without its NUL.
    case unterminatedString
    /// The file name is empty, or of more than `TFTPRequest.maximumNameBytes`.
    case badNameLength(Int)

    public var description: String {
        switch self {
        case .truncated(let error): "TFTP packet \(error)"
        case .unknownOperation(let code): "TFTP packet with operation \(code)"
        case .unknownMode(let mode): "TFTP transfer mode \(mode)"
        case .unterminatedString: "TFTP string without its end"
        case .badNameLength(let count): "TFTP file name of \(count) bytes"
        }
    }
}

/// Error codes of RFC 1350 §5 and RFC 2347.
public struct TFTPErrorCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// See the message.
    public static let notDefined = TFTPErrorCode(rawValue: 0)
    public static let fileNotFound = TFTPErrorCode(rawValue: 1)
    public static let accessViolation = TFTPErrorCode(rawValue: 2)
    public static let diskFull = TFTPErrorCode(rawValue: 3)
    public static let illegalOperation = TFTPErrorCode(rawValue: 4)
    public static let unknownTransferID = TFTPErrorCode(rawValue: 5)
    public static let optionsRefused = TFTPErrorCode(rawValue: 8)
}

/// How a file is to be transferred. The `mail` mode is obsolete and no mode here.
public enum TFTPMode: String, Sendable { case octet, netascii }

/// An option of RFC 2347; the name in lower case, as options do not heed it.
public struct TFTPOption: Hashable, Sendable {
    public let name: String
    public let value: String

    public init(name: String, value: String) {
        self.name = name.lowercased()
        self.value = value
    }
}

/// A request to read or to write a file (RFC 1350 §5, RFC 2347).
public struct TFTPRequest: Hashable, Sendable {
    /// As the client wrote it: see `TFTPPath` before it is looked up anywhere.
    public let fileName: String
    public let mode: TFTPMode
    public let options: [TFTPOption]

    /// RFC 2347 holds a whole request to 512 bytes.
    public static let maximumNameBytes = 512
    /// More than all options that exist; what comes after is not read.
    public static let maximumOptions = 16

    public init(fileName: String, mode: TFTPMode = .octet, options: [TFTPOption] = []) {
        self.fileName = fileName
        self.mode = mode
        self.options = options
    }

    /// The first option of that name: a second one is not allowed (RFC 2347).
    public subscript(option: String) -> String? { options.first { $0.name == option }?.value }
}

/// A TFTP packet (RFC 1350 §5; option acknowledgement RFC 2347).
public enum TFTPPacket: Hashable, Sendable {
    case readRequest(TFTPRequest)
    case writeRequest(TFTPRequest)
    case data(block: UInt16, [UInt8])
    case acknowledgement(block: UInt16)
    case error(code: TFTPErrorCode, message: String)
    case optionAcknowledgement([TFTPOption])

    public init(parsing bytes: [UInt8]) throws(TFTPParseError) {
        var reader = ByteReader(bytes)
        let operation: UInt16
        do throws(TruncatedError) {
            operation = try reader.readUInt16()
            if (3...5).contains(operation) {
                self = try Self.numbered(operation, &reader)
                return
            }
        } catch {
            throw .truncated(error)
        }
        var rest = reader.readRest()
        switch operation {
        case 1: self = .readRequest(try Self.request(&rest))
        case 2: self = .writeRequest(try Self.request(&rest))
        case 6: self = .optionAcknowledgement(try Self.options(&rest))
        default: throw .unknownOperation(operation)
        }
    }

    /// The packets with a number after the operation: DATA 3, ACK 4, ERROR 5.
    private static func numbered(_ operation: UInt16, _ reader: inout ByteReader) throws(TruncatedError) -> TFTPPacket {
        let number = try reader.readUInt16()
        switch operation {
        case 3: return .data(block: number, Array(reader.readRest()))
        case 4: return .acknowledgement(block: number)
        default:
            // Some clients leave the NUL out; the code is what counts.
            let message = reader.readRest().prefix { $0 != 0 }
            return .error(code: TFTPErrorCode(rawValue: number), message: String(decoding: message, as: UTF8.self))
        }
    }

    private static func request(_ rest: inout ArraySlice<UInt8>) throws(TFTPParseError) -> TFTPRequest {
        let name = try string(&rest)
        guard (1...TFTPRequest.maximumNameBytes).contains(name.utf8.count) else {
            throw .badNameLength(name.utf8.count)
        }
        let modeText = try string(&rest)
        guard let mode = TFTPMode(rawValue: modeText.lowercased()) else { throw .unknownMode(modeText) }
        return TFTPRequest(fileName: name, mode: mode, options: try options(&rest))
    }

    private static func options(_ rest: inout ArraySlice<UInt8>) throws(TFTPParseError) -> [TFTPOption] {
        var options: [TFTPOption] = []
        // Some boot ROMs pad their request with NULs: an option without a name ends the list.
        while let first = rest.first, first != 0, options.count < TFTPRequest.maximumOptions {
            let name = try string(&rest)
            options.append(TFTPOption(name: name, value: try string(&rest)))
        }
        return options
    }

    private static func string(_ rest: inout ArraySlice<UInt8>) throws(TFTPParseError) -> String {
        guard let end = rest.firstIndex(of: 0) else { throw .unterminatedString }
        defer { rest = rest[(end + 1)...] }
        return String(decoding: rest[..<end], as: UTF8.self)
    }

    /// The datagram. A NUL inside a string ends it.
    public func serialize() -> [UInt8] {
        var writer = ByteWriter(reservingCapacity: 64)
        switch self {
        case .readRequest(let request): Self.write(1, request, &writer)
        case .writeRequest(let request): Self.write(2, request, &writer)
        case .data(let block, let bytes):
            writer.write(UInt16(3))
            writer.write(block)
            writer.write(bytes)
        case .acknowledgement(let block):
            writer.write(UInt16(4))
            writer.write(block)
        case .error(let code, let message):
            writer.write(UInt16(5))
            writer.write(code.rawValue)
            Self.write(message, &writer)
        case .optionAcknowledgement(let options):
            writer.write(UInt16(6))
            Self.write(options, &writer)
        }
        return writer.bytes
    }

    private static func write(_ operation: UInt16, _ request: TFTPRequest, _ writer: inout ByteWriter) {
        writer.write(operation)
        write(request.fileName, &writer)
        write(request.mode.rawValue, &writer)
        write(request.options, &writer)
    }

    private static func write(_ options: [TFTPOption], _ writer: inout ByteWriter) {
        for option in options {
            write(option.name, &writer)
            write(option.value, &writer)
        }
    }

    private static func write(_ text: String, _ writer: inout ByteWriter) {
        writer.write(text.utf8.prefix { $0 != 0 })
        writer.write(UInt8(0))
    }
}
