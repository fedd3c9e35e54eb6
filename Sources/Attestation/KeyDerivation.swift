internal import TPM
internal import Wire

/// The TPM's key derivation functions (TPM 2.0 Library Part 1 §11.4.10).
enum KeyDerivation {
    /// KDFa: SP 800-108 in counter mode with HMAC. `label` without its terminating zero.
    static func fromKey(
        _ hash: TPMAlgorithm, key: [UInt8], label: String, _ contextU: [UInt8], _ contextV: [UInt8], bits: Int
    ) -> [UInt8]? {
        derive(hash, bits: bits) { counter in
            var writer = ByteWriter()
            writer.write(counter)
            writer.write(Array(label.utf8) + [0])
            writer.write(contextU)
            writer.write(contextV)
            writer.write(UInt32(bits))
            return TPMHash.hmac(hash, key: key, writer.bytes)
        }
    }

    /// KDFe: SP 800-56A from an ECDH exchange's x coordinate.
    static func fromExchange(
        _ hash: TPMAlgorithm, z: [UInt8], label: String, partyU: [UInt8], partyV: [UInt8], bits: Int
    ) -> [UInt8]? {
        derive(hash, bits: bits) { counter in
            var writer = ByteWriter()
            writer.write(counter)
            writer.write(z)
            writer.write(Array(label.utf8) + [0])
            writer.write(partyU)
            writer.write(partyV)
            return TPMHash.digest(hash, writer.bytes)
        }
    }

    /// Blocks of counters from 1 on, cut to `bits`, which are whole bytes here.
    private static func derive(_ hash: TPMAlgorithm, bits: Int, _ block: (UInt32) -> [UInt8]?) -> [UInt8]? {
        guard hash.digestBytes != nil else { return nil }
        var bytes: [UInt8] = []
        var counter: UInt32 = 1
        while bytes.count < bits / 8 {
            guard let more = block(counter) else { return nil }
            bytes += more
            counter += 1
        }
        return Array(bytes.prefix(bits / 8))
    }
}
