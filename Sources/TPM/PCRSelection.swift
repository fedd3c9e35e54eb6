internal import Wire

/// TPML_PCR_SELECTION: which registers of which banks (Part 2 §10.9.7).
public struct PCRSelection: Sendable, Equatable {
    public struct Bank: Sendable, Equatable {
        public var hash: TPMAlgorithm
        /// Indexes, ascending.
        public var registers: [Int]
        public init(hash: TPMAlgorithm, registers: [Int]) {
            self.hash = hash
            self.registers = registers.sorted()
        }
    }

    /// A PC has 24 registers (TCG PC Client Platform TPM Profile §4.6); TPMs send 3 bytes for them, some 4.
    public static let registerCount = 24
    static let limitBanks = 16
    static let limitSelectBytes = 4
    public var banks: [Bank]

    public init(banks: [Bank]) { self.banks = banks }

    init(from reader: inout TPMReader) throws(TPMFormatError) {
        let count = try reader.u32()
        guard count <= Self.limitBanks else { throw TPMFormatError("\(count) PCR banks") }
        banks = []
        for _ in 0..<count {
            let hash = try reader.algorithm()
            let size = Int(try reader.u8())
            guard size <= Self.limitSelectBytes else { throw TPMFormatError("a PCR selection of \(size) bytes") }
            let bits = try reader.bytes(size)
            var registers: [Int] = []
            for (byte, value) in bits.enumerated() {
                for bit in 0..<8 where value >> bit & 1 == 1 { registers.append(byte * 8 + bit) }
            }
            banks.append(Bank(hash: hash, registers: registers))
        }
    }

    func write(into writer: inout ByteWriter) {
        writer.write(UInt32(truncatingIfNeeded: banks.count))
        for bank in banks {
            writer.write(bank.hash)
            var bits = [UInt8](repeating: 0, count: 3)
            for register in bank.registers where register < Self.registerCount { bits[register / 8] |= 1 << UInt8(register % 8) }
            writer.write(UInt8(3))
            writer.write(bits)
        }
    }

    public func serialize() -> [UInt8] {
        var writer = ByteWriter()
        write(into: &writer)
        return writer.bytes
    }
}
