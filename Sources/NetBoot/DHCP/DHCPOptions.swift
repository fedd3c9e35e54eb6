internal import Wire

/// The options of a message, or of an encapsulated field such as option 43 or
/// 175: at most one value per code, in the order they came.
///
/// Values split over several options are joined (RFC 3396). Kept as one flat
/// buffer of `code, length (2 bytes), value`, so that parsing costs a single
/// allocation. Lookups are linear; a message has some twenty options.
public struct DHCPOptions: Hashable, Sendable {
    /// Longest value in bytes; what is set beyond it is cut.
    public static let maximumValueBytes = 0xffff

    private var flat: [UInt8] = []

    public init() {}

    /// Reads a whole field of options, up to the end option or the end of the bytes.
    public init(parsing field: some Collection<UInt8>) throws(DHCPParseError) {
        try merge(parsing: Array(field)[...])
    }

    public var isEmpty: Bool { flat.isEmpty }

    /// The codes present, in order.
    public var codes: [UInt8] {
        var result: [UInt8] = []
        forEachOption { code, _ in result.append(code) }
        return result
    }

    /// The value of an option: nil when absent, empty when present without a value.
    public subscript(code: DHCPOptionCode) -> ArraySlice<UInt8>? {
        get { self[code.rawValue] }
        set { self[code.rawValue] = newValue }
    }

    public subscript(code: UInt8) -> ArraySlice<UInt8>? {
        get { position(of: code).map { flat[$0 + 3..<$0 + 3 + length(at: $0)] } }
        set {
            remove(code)
            if let newValue { append(code, newValue) }
        }
    }

    public func contains(_ code: DHCPOptionCode) -> Bool { position(of: code.rawValue) != nil }

    public mutating func remove(_ code: UInt8) {
        guard let position = position(of: code) else { return }
        flat.removeSubrange(position..<position + 3 + length(at: position))
    }

    /// Calls `body` for each option in order.
    public func forEachOption(_ body: (UInt8, ArraySlice<UInt8>) -> Void) {
        var position = 0
        while position < flat.count {
            let end = position + 3 + length(at: position)
            body(flat[position], flat[position + 3..<end])
            position = end
        }
    }

    /// The options as they stand in a field, without an end option. Values over
    /// 255 bytes are split (RFC 3396).
    public var encoded: [UInt8] {
        var field: [UInt8] = []
        field.reserveCapacity(flat.count)
        forEachOption { Self.encode($0, $1, into: &field) }
        return field
    }

    static func encode(_ code: UInt8, _ value: ArraySlice<UInt8>, into field: inout [UInt8]) {
        if value.count <= 255 {
            field.append(code)
            field.append(UInt8(value.count))
            field.append(contentsOf: value)
            return
        }
        var rest = value
        while !rest.isEmpty {
            let part = rest.prefix(255)
            field.append(code)
            field.append(UInt8(part.count))
            field.append(contentsOf: part)
            rest = rest.dropFirst(255)
        }
    }

    static func encodedBytes(_ valueBytes: Int) -> Int { valueBytes + 2 * max(1, (valueBytes + 254) / 255) }
    /// An upper bound of the bytes of `encoded`.
    var encodedBytesBound: Int { flat.count + 2 * (flat.count / 255) }

    mutating func reserve(_ bytes: Int) { flat.reserveCapacity(bytes) }

    /// Adds the options of one more field; equal codes are joined.
    mutating func merge(parsing field: ArraySlice<UInt8>) throws(DHCPParseError) {
        var index = field.startIndex
        while index < field.endIndex {
            let code = field[index]
            index += 1
            if code == DHCPOptionCode.pad.rawValue { continue }
            if code == DHCPOptionCode.end.rawValue { return }
            guard index < field.endIndex else { throw .truncatedOption(code: code) }
            let start = index + 1
            let end = start + Int(field[index])
            guard end <= field.endIndex else { throw .truncatedOption(code: code) }
            join(code, field[start..<end])
            index = end
        }
    }

    private mutating func join(_ code: UInt8, _ value: ArraySlice<UInt8>) {
        guard let position = position(of: code) else { return append(code, value) }
        let old = length(at: position)
        let joined = min(old + value.count, Self.maximumValueBytes)
        flat.insert(contentsOf: value.prefix(joined - old), at: position + 3 + old)
        flat[position + 1] = UInt8(joined >> 8)
        flat[position + 2] = UInt8(joined & 0xff)
    }

    // MARK: Typed values

    /// Sets an option; the code must not be set yet. Pad, end and overload
    /// belong to the encoding and are ignored here.
    mutating func append(_ code: UInt8, _ value: ArraySlice<UInt8>) {
        guard code != 0, code != 255 else { return }
        let count = min(value.count, Self.maximumValueBytes)
        flat.append(code)
        flat.append(UInt8(count >> 8))
        flat.append(UInt8(count & 0xff))
        flat.append(contentsOf: value.prefix(count))
    }

    mutating func append(_ code: DHCPOptionCode, _ value: [UInt8]) { append(code.rawValue, value[...]) }

    mutating func append(_ code: DHCPOptionCode, byte: UInt8) {
        flat.append(code.rawValue)
        flat.append(0)
        flat.append(1)
        flat.append(byte)
    }

    mutating func append(_ code: DHCPOptionCode, word: UInt32) {
        flat.append(code.rawValue)
        flat.append(0)
        flat.append(4)
        flat.appendBigEndian(word)
    }

    mutating func append(_ code: DHCPOptionCode, _ address: IPv4Address) { append(code, word: address.value) }

    /// Appends the options of `other`; no code may be in both.
    mutating func append(_ other: DHCPOptions) { flat.append(contentsOf: other.flat) }

    func uint8(_ code: DHCPOptionCode) -> UInt8? {
        guard let position = position(of: code.rawValue), length(at: position) == 1 else { return nil }
        return flat[position + 3]
    }

    func uint16(_ code: DHCPOptionCode) -> UInt16? {
        guard let position = position(of: code.rawValue), length(at: position) >= 2 else { return nil }
        return UInt16(flat[position + 3]) << 8 | UInt16(flat[position + 4])
    }

    func uint32(_ code: DHCPOptionCode) -> UInt32? {
        guard let position = position(of: code.rawValue), length(at: position) == 4 else { return nil }
        return flat.bigEndian(at: position + 3)
    }

    func address(_ code: DHCPOptionCode) -> IPv4Address? { uint32(code).map(IPv4Address.init(value:)) }

    /// The text of an option without trailing NULs; ill-formed UTF-8 is repaired.
    func text(_ code: DHCPOptionCode) -> String? {
        self[code].map { value in
            let end = value.firstIndex(of: 0) ?? value.endIndex
            return String(decoding: value[..<end], as: UTF8.self)
        }
    }

    // MARK: The flat buffer

    private func length(at position: Int) -> Int { Int(flat[position + 1]) << 8 | Int(flat[position + 2]) }

    private func position(of code: UInt8) -> Int? {
        var position = 0
        while position < flat.count {
            if flat[position] == code { return position }
            position += 3 + length(at: position)
        }
        return nil
    }
}

extension [UInt8] {
    mutating func appendBigEndian(_ value: UInt32) {
        append(UInt8(truncatingIfNeeded: value >> 24))
        append(UInt8(truncatingIfNeeded: value >> 16))
        append(UInt8(truncatingIfNeeded: value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    mutating func appendBigEndian(_ value: UInt16) {
        append(UInt8(truncatingIfNeeded: value >> 8))
        append(UInt8(truncatingIfNeeded: value))
    }

    /// Four bytes from `position`, which must exist.
    func bigEndian(at position: Int) -> UInt32 {
        UInt32(self[position]) << 24 | UInt32(self[position + 1]) << 16 | UInt32(self[position + 2]) << 8
            | UInt32(self[position + 3])
    }
}
