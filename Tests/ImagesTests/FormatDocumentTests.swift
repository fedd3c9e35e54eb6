import Foundation
import OCI
import Testing
import Zstandard

@testable import Images

@Suite("docs/image-format.md")
struct FormatDocumentTests {
    /// The bytes of each hex dump of the document.
    static func dumps() throws -> [[UInt8]] {
        let document = URL(fileURLWithPath: #filePath).appendingPathComponent("../../../docs/image-format.md")
        let parts = try String(contentsOf: document.standardized, encoding: .utf8).components(separatedBy: "```")
        return stride(from: 1, to: parts.count, by: 2).map { number in
            parts[number].split(separator: "\n").flatMap { line -> [UInt8] in
                let digits = line.drop { $0 != ":" }.dropFirst().filter { $0 != " " }
                return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
                    UInt8(digits.dropFirst($0).prefix(2), radix: 16)
                }
            }
        }
    }

    @Test("its example is what the code reads, writes and hashes")
    func example() throws {
        let dumps = try Self.dumps()
        try #require(dumps.count == 2)
        let (blob, bytes) = (dumps[0], dumps[1])
        let index = try ChunkIndex(parsing: bytes)
        #expect(index.encoded() == bytes)
        #expect(index.blobBytes == UInt64(blob.count))
        #expect(index.stored.map(\.number) == [0, 3])
        #expect(index.location(ofChunk: 2) == .zeros)
        #expect(index.byteCount(ofChunk: 3) == 1024)
        let last = try ChunkReader.verified(blob[38..<58], index.stored[1], index: index, ZstdDecompressor())
        #expect(last == Array(repeating: 0, count: 1023) + [0x5a])
        #expect(Array(blob[20..<38]) == ZeroFrame.encoded(byteCount: 131_072))
        #expect(BlobHasher.digest(blob).hex == "01f4b54bfeb5e261b03794d0dace06ae16fc184e5373fee153cbb10c3e885a41")
        #expect(BlobHasher.digest(bytes).hex == "d27538ef70f8facc812ebc235b777694885141ebf0ba4d7c973c4cdbf60eb323")
        let workshop = try Workshop()
        let file = try workshop.write(blob, "disk.raw.zst")
        let disk = try tool("zstd", "-dcq", "--no-sparse", file).output
        #expect(disk.count == 197_632)
        #expect(disk.last == 0x5a)
    }
}
