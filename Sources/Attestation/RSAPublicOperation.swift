/// The bare RSA operation with a public key, m^e mod n (RFC 8017 §5.1.1).
///
/// The crypto library encrypts with OAEP, but not under a label, which a TPM's
/// credentials need. Only public keys are used here; what is encrypted is a
/// seed that lives for one exchange.
struct RSAPublicOperation {
    /// Little-endian 32-bit words, all of one length.
    private let modulus: [UInt32]
    private let exponent: UInt32
    /// -n⁻¹ mod 2³², for Montgomery's multiplication.
    private let inverse: UInt32
    let byteCount: Int

    /// Nil for what is no RSA modulus of 2048 to 4096 bits.
    init?(modulus bytes: [UInt8], exponent: UInt32) {
        guard (256...512).contains(bytes.count), bytes.count.isMultiple(of: 4), bytes[0] >= 0x80, bytes[bytes.count - 1] & 1 == 1,
            exponent >= 3, exponent & 1 == 1
        else { return nil }
        byteCount = bytes.count
        modulus = Self.words(bytes)
        self.exponent = exponent
        // Newton's iteration doubles the number of right bits each time.
        var x: UInt32 = 1
        for _ in 0..<5 { x = x &* (2 &- modulus[0] &* x) }
        inverse = 0 &- x
    }

    /// `message` as a big-endian number below the modulus, ``byteCount`` long.
    func apply(_ message: [UInt8]) -> [UInt8]? {
        guard message.count == byteCount else { return nil }
        let base = Self.words(message)
        guard !Self.isAtLeast(base, modulus) else { return nil }
        let count = modulus.count
        // R² mod n, by doubling 1 as often as R² has bits.
        var square = [UInt32](repeating: 0, count: count)
        square[0] = 1
        for _ in 0..<(count * 64) { square = doubled(square) }
        let inForm = multiply(base, square)
        var one = [UInt32](repeating: 0, count: count)
        one[0] = 1
        var result = multiply(one, square)
        for bit in (0..<32).reversed() {
            result = multiply(result, result)
            if exponent >> UInt32(bit) & 1 == 1 { result = multiply(result, inForm) }
        }
        return Self.bytes(multiply(result, one))
    }

    /// a·b·R⁻¹ mod n (coarsely integrated operand scanning).
    private func multiply(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
        let count = modulus.count
        var sum = [UInt32](repeating: 0, count: count + 2)
        for i in 0..<count {
            var carry: UInt64 = 0
            for j in 0..<count {
                let value = UInt64(sum[j]) + UInt64(a[j]) * UInt64(b[i]) + carry
                sum[j] = UInt32(truncatingIfNeeded: value)
                carry = value >> 32
            }
            var top = UInt64(sum[count]) + carry
            sum[count] = UInt32(truncatingIfNeeded: top)
            sum[count + 1] = UInt32(truncatingIfNeeded: top >> 32)
            let factor = UInt64(sum[0] &* inverse)
            carry = (UInt64(sum[0]) + factor * UInt64(modulus[0])) >> 32
            for j in 1..<count {
                let value = UInt64(sum[j]) + factor * UInt64(modulus[j]) + carry
                sum[j - 1] = UInt32(truncatingIfNeeded: value)
                carry = value >> 32
            }
            top = UInt64(sum[count]) + carry
            sum[count - 1] = UInt32(truncatingIfNeeded: top)
            sum[count] = sum[count + 1] &+ UInt32(truncatingIfNeeded: top >> 32)
        }
        let low = Array(sum[0..<count])
        return sum[count] != 0 || Self.isAtLeast(low, modulus) ? subtracted(low) : low
    }

    private func doubled(_ a: [UInt32]) -> [UInt32] {
        var result = a
        var carry: UInt32 = 0
        for index in a.indices {
            result[index] = a[index] << 1 | carry
            carry = a[index] >> 31
        }
        return carry == 1 || Self.isAtLeast(result, modulus) ? subtracted(result) : result
    }

    /// Without the modulus; a borrow out of the top is the carry that the caller saw.
    private func subtracted(_ a: [UInt32]) -> [UInt32] {
        var result = a
        var borrow: Int64 = 0
        for index in a.indices {
            let value = Int64(a[index]) - Int64(modulus[index]) - borrow
            result[index] = UInt32(truncatingIfNeeded: value)
            borrow = value < 0 ? 1 : 0
        }
        return result
    }

    private static func isAtLeast(_ a: [UInt32], _ b: [UInt32]) -> Bool {
        for index in a.indices.reversed() where a[index] != b[index] { return a[index] > b[index] }
        return true
    }

    private static func words(_ bytes: [UInt8]) -> [UInt32] {
        stride(from: bytes.count - 4, through: 0, by: -4).map { start in
            bytes[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) }
        }
    }

    private static func bytes(_ words: [UInt32]) -> [UInt8] {
        words.reversed().flatMap { word in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> UInt32($0)) } }
    }
}
