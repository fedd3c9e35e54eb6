public import TPM

/// The values of a bank's registers.
public struct PCRBank: Sendable, Equatable {
    public var hash: TPMAlgorithm
    /// By register.
    public var values: [Int: [UInt8]]

    public init(hash: TPMAlgorithm, values: [Int: [UInt8]]) {
        self.hash = hash
        self.values = values
    }

    /// What the registers of a PC hold after the log's measurements (TCG PC
    /// Client Platform Firmware Profile §3.3.4): each is extended with one digest after another.
    /// Nil where the log has no such bank.
    public init?(replaying log: EventLog, hash: TPMAlgorithm) {
        guard log.banks.contains(hash), let size = hash.digestBytes else { return nil }
        self.hash = hash
        values = [:]
        for register in 0..<PCRSelection.registerCount {
            // 17 to 22 belong to a dynamic launch and begin with ones (TPM Profile §4.6.2).
            var value = [UInt8](repeating: (17...22).contains(register) ? 0xff : 0, count: size)
            if register == 0 { value[size - 1] = log.startupLocality }
            for event in log.measurements(of: register) {
                guard let digest = event.digests[hash], let next = TPMHash.digest(hash, value + digest) else { return nil }
                value = next
            }
            values[register] = value
        }
    }

    /// What a quote over `registers` has as its digest: the hash over the values in ascending order (Part 1 §17.6).
    func digest(of registers: [Int], with algorithm: TPMAlgorithm) -> [UInt8]? {
        var bytes: [UInt8] = []
        for register in registers {
            guard let value = values[register] else { return nil }
            bytes += value
        }
        return TPMHash.digest(algorithm, bytes)
    }
}
