/// SplitMix64: the same numbers from the same seed, so that a failure can be run again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &self) }
    }
}

/// Every way to flip one bit of a byte in `bytes`, one after the other.
func eachByteFlip(of bytes: [UInt8], _ body: ([UInt8]) -> Void) {
    for position in bytes.indices {
        for mask: UInt8 in [0x01, 0x80, 0xff] {
            var flipped = bytes
            flipped[position] ^= mask
            body(flipped)
        }
    }
}
