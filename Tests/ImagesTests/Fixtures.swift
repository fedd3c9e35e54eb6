import Foundation
import OCI
import Testing

@testable import Images

/// A directory with a store, gone when the test is over.
final class Workshop {
    let path: String
    let store: ImageStore

    init() throws {
        path = NSTemporaryDirectory() + "hostler-images-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        store = try ImageStore(path: path + "/store")
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ bytes: [UInt8], _ name: String) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path + "/" + name))
        return path + "/" + name
    }

    /// Adds bytes that need not be a partitioned disk.
    @discardableResult
    func add(
        _ file: String, name: String? = nil, expected: OCI.Digest? = nil, limitBytes: UInt64 = 1 << 40
    ) async throws -> OCI.Digest {
        try await ImageImporter(store: store).add(
            file, name: name ?? "image-\(UInt64.random(in: 0 ... .max))",
            options: .init(expectedDigest: expected, limitBytes: limitBytes, requiresPartitionTable: false))
    }

    /// All bytes of an image, chunk by chunk.
    func contents(_ digest: OCI.Digest) throws -> [UInt8] {
        let reader = try ChunkReader(store: store, image: digest)
        return try (0..<reader.index.chunkCount).flatMap { try reader.chunk($0) }
    }

    var blobNames: Set<String> {
        Set((try? FileManager.default.contentsOfDirectory(atPath: store.path + "/blobs/sha256")) ?? [])
    }
}

/// xorshift64*, so that a failing run can be repeated from its seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed | 1 }
    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 2_685_821_657_736_338_717
    }
}

/// A disk of whole sectors with stretches of zeros, of repeated and of random bytes.
func randomDisk(_ generator: inout SeededGenerator, sectors: Int) -> [UInt8] {
    var disk = [UInt8](repeating: 0, count: sectors * 512)
    var position = 0
    while position < disk.count {
        let length = min(Int.random(in: 1...400_000, using: &generator), disk.count - position)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0:
            for index in stride(from: position, to: position + length - 8, by: 8) {
                withUnsafeBytes(of: generator.next()) { disk.replaceSubrange(index..<index + 8, with: $0) }
            }
        case 1: disk.replaceSubrange(position..<position + length, with: repeatElement(0x41, count: length))
        default: break
        }
        position += length
    }
    return disk
}

func tool(_ name: String, _ arguments: String...) throws -> (status: Int32, output: Data) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [name] + arguments
    var environment = ProcessInfo.processInfo.environment
    environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    process.environment = environment
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, output)
}
