internal import CLinux
internal import Model

/// Reads samples of a disk back: all must be zero.
///
/// The places come from a seed that stands in the evidence, so that the check can be repeated.
struct WipeProof: Sendable {
    /// At the start and at the end of the disk: 16 MiB each, where partition tables and metadata live.
    static let edgeBytes: UInt64 = 16 << 20
    static let sampleBytes: UInt64 = 64 << 10
    static let sampleCount = 1024
    let seed: UInt64
    let edgeBytes: UInt64
    let sampleCount: Int

    init(seed: UInt64) {
        self.seed = seed
        edgeBytes = Self.edgeBytes
        sampleCount = Self.sampleCount
    }

    /// A quick look, whether a way of wiping did anything at all; no proof.
    private init(lookBySeed seed: UInt64) {
        self.seed = seed
        edgeBytes = 1 << 20
        sampleCount = 64
    }

    static let look = WipeProof(lookBySeed: 1)

    static func sampledBytes(of diskBytes: UInt64) -> Int64 {
        Int64(clamping: 2 * min(diskBytes, edgeBytes) + UInt64(sampleCount) * min(diskBytes, sampleBytes))
    }

    /// What is read, in order: offset and length in bytes.
    func ranges(diskBytes: UInt64) -> [Range<UInt64>] {
        let edge = min(diskBytes, edgeBytes)
        var ranges = [0..<edge, diskBytes - edge..<diskBytes]
        guard diskBytes >= Self.sampleBytes else { return ranges }
        var generator = SplitMix64(state: seed)
        let places = (diskBytes - Self.sampleBytes) / 4096
        for _ in 0..<sampleCount {
            let offset = generator.next() % (places + 1) * 4096
            ranges.append(offset..<offset + Self.sampleBytes)
        }
        return ranges
    }

    func check(_ device: BlockDevice, _ counter: ProgressCounter?) async throws {
        try? device.dropCache()
        let buffer = try AlignedBuffer(count: 1 << 20)
        for range in ranges(diskBytes: device.byteCount) {
            try Task.checkCancellation()
            try await WorkPool.run {
                for start in stride(from: range.lowerBound, to: range.upperBound, by: 1 << 20) {
                    let count = Int(min(range.upperBound - start, 1 << 20))
                    let piece = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count])
                    try device.read(into: piece, at: start)
                    guard agent_is_zero(piece.baseAddress, count) else {
                        let inside = piece.firstIndex { $0 != 0 } ?? count
                        throw notProved(device.name, at: start + UInt64(inside))
                    }
                    counter?.add(Int64(count))
                }
            }
        }
    }

    private func notProved(_ name: String, at offset: UInt64) -> Problem {
        Problem(
            "wipe-not-proved", status: 502, title: "The disk \(name) still holds data after its wipe",
            detail: "byte \(offset) is not zero (samples by seed \(seed))",
            remedy: "Wipe again; where it stays so, take the disk out and destroy it.")
    }
}

/// A small generator whose numbers a seed determines (Steele, Lea, Flood 2014).
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
