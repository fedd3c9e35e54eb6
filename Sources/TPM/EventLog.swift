internal import Wire

/// What the firmware measured before the kernel ran, in order: the
/// crypto-agile log (TCG PC Client Platform Firmware Profile §10.2), as Linux
/// shows it in `binary_bios_measurements`.
public struct EventLog: Sendable, Equatable {
    /// Firmware logs have some 100 KB.
    public static let limitBytes = 4 << 20
    public static let limitEvents = 20_000

    public struct Event: Sendable, Equatable {
        public var register: Int
        public var type: UInt32
        public var digests: [TPMAlgorithm: [UInt8]]
        public var data: [UInt8]

        public init(register: Int, type: UInt32, digests: [TPMAlgorithm: [UInt8]], data: [UInt8]) {
            self.register = register
            self.type = type
            self.digests = digests
            self.data = data
        }
    }

    /// The banks that the log has digests for.
    public private(set) var banks: [TPMAlgorithm]
    /// Without the header.
    public private(set) var events: [Event]

    /// EV_NO_ACTION: told, not measured (§10.4.1).
    static let noAction: UInt32 = 3
    private static let signature = Array("Spec ID Event03\0".utf8)
    private static let localityMark = Array("StartupLocality\0".utf8)

    public init(parsing bytes: [UInt8]) throws(TPMFormatError) {
        guard bytes.count <= Self.limitBytes else { throw TPMFormatError("an event log of \(bytes.count) bytes") }
        var reader = ByteReader(bytes)
        do {
            let sizes = try Self.header(&reader)
            banks = sizes.map(\.0)
            events = []
            let known = Dictionary(sizes) { first, _ in first }
            while !reader.isAtEnd {
                guard events.count < Self.limitEvents else { throw TPMFormatError("more than \(Self.limitEvents) events") }
                let register = try reader.readUInt32LE()
                let type = try reader.readUInt32LE()
                // Some firmware leaves its buffer's unused end, of one value, in the log.
                if register == .max, type == .max { break }
                guard register < PCRSelection.registerCount || (register == .max && type == Self.noAction) else {
                    throw TPMFormatError("an event for register \(register)")
                }
                let count = try reader.readUInt32LE()
                guard count <= sizes.count else { throw TPMFormatError("an event with \(count) digests") }
                var digests: [TPMAlgorithm: [UInt8]] = [:]
                for _ in 0..<count {
                    let hash = TPMAlgorithm(rawValue: try reader.readUInt16LE())
                    guard let size = known[hash] else { throw TPMFormatError("a digest of an algorithm that the header lacks") }
                    digests[hash] = Array(try reader.read(size))
                }
                let data = Array(try reader.read(Int(try reader.readUInt32LE())))
                events.append(Event(register: register == .max ? 0 : Int(register), type: type, digests: digests, data: data))
            }
        } catch let error as TPMFormatError {
            throw error
        } catch {
            throw TPMFormatError("\(error)")
        }
    }

    /// The first event, in the old form, with the banks' algorithms (§10.4.5.1, TCG_EfiSpecIDEvent).
    private static func header(_ reader: inout ByteReader) throws -> [(TPMAlgorithm, Int)] {
        guard try reader.readUInt32LE() == 0, try reader.readUInt32LE() == noAction else {
            throw TPMFormatError("not a crypto-agile event log: its first event is no header")
        }
        try reader.skip(20)
        let size = Int(try reader.readUInt32LE())
        guard size <= 4096 else { throw TPMFormatError("a header of \(size) bytes") }
        var header = ByteReader(try reader.read(size))
        guard try header.read(16).elementsEqual(signature) else { throw TPMFormatError("not a crypto-agile event log") }
        try header.skip(8)
        let count = try header.readUInt32LE()
        guard (1...16).contains(count) else { throw TPMFormatError("an event log of \(count) banks") }
        var sizes: [(TPMAlgorithm, Int)] = []
        for _ in 0..<count {
            let hash = TPMAlgorithm(rawValue: try header.readUInt16LE())
            let bytes = Int(try header.readUInt16LE())
            guard (1...64).contains(bytes), hash.digestBytes ?? bytes == bytes else {
                throw TPMFormatError("digests of \(bytes) bytes for \(hash)")
            }
            sizes.append((hash, bytes))
        }
        return sizes
    }

    /// The locality that the TPM was started from: register 0 begins with it (§10.4.5.3). Usually 0.
    public var startupLocality: UInt8 {
        for event in events where event.type == Self.noAction && event.register == 0 {
            if event.data.count == 17, event.data.starts(with: Self.localityMark) { return event.data[16] }
        }
        return 0
    }

    /// What was extended into a register, in order.
    public func measurements(of register: Int) -> [Event] {
        events.filter { $0.register == register && $0.type != Self.noAction }
    }
}

extension EventLog.Event {
    /// The event's kind in words, and what of its data people can read.
    public var summary: String {
        let kind = EventLog.kinds[type] ?? "event 0x" + String(type, radix: 16)
        let text = readable
        return text.isEmpty ? kind : "\(kind) “\(text)”"
    }

    /// ASCII text, or the ASCII of UTF-16 text, of at least four characters.
    private var readable: String {
        let wide = data.count >= 8 && stride(from: 1, to: min(data.count, 64), by: 2).allSatisfy { data[$0] == 0 }
        let bytes = wide ? stride(from: 0, to: data.count, by: 2).map { data[$0] } : data
        let text = bytes.prefix { (0x20...0x7e).contains($0) }.prefix(80)
        return text.count >= 4 ? String(decoding: text, as: UTF8.self) : ""
    }
}

extension EventLog {
    /// §10.4.1, table 27.
    static let kinds: [UInt32: String] = [
        0x1: "POST code", 0x4: "separator", 0x5: "action", 0x7: "SCRTM contents", 0x8: "SCRTM version", 0x9: "microcode",
        0xa: "platform configuration", 0xd: "boot loader text", 0x8000_0001: "UEFI variable", 0x8000_0002: "UEFI boot variable",
        0x8000_0003: "UEFI boot program", 0x8000_0004: "UEFI boot driver", 0x8000_0005: "UEFI runtime driver",
        0x8000_0006: "partition table", 0x8000_0007: "UEFI action", 0x8000_0008: "firmware volume", 0x8000_0009: "UEFI tables",
        0x8000_000a: "firmware volume", 0x8000_00e0: "UEFI authority",
    ]
}
