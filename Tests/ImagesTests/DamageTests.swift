import Foundation
import Model
import OCI
import Testing

@testable import Images

@Suite("images that cannot be read")
struct DamageTests {
    private func damage(_ path: String) throws {
        try FileManager.default.removeItem(atPath: path)
        try Data("rubbish".utf8).write(to: URL(fileURLWithPath: path))
    }

    @Test("an image whose manifest or chunk index is damaged is named, and hides no other")
    func damaged() async throws {
        let workshop = try Workshop()
        let store = workshop.store
        var digests: [OCI.Digest] = []
        for number in 1...3 {
            let file = try workshop.write(Array(repeating: UInt8(number), count: 4096), "\(number)")
            digests.append(try await workshop.add(file, name: "image-\(number)"))
        }
        #expect(store.damageWarnings.isEmpty)
        let index = try store.manifest(for: digests[1]).index.digest
        try damage(store.blobPath(digests[0]))
        try damage(store.blobPath(index))
        #expect(try store.list().map(\.name) == ["image-2:latest", "image-3:latest"])
        #expect(store.damageWarnings.map(\.code) == ["image-damaged", "image-damaged"])
        #expect(zip(store.damageWarnings, ["image-1:latest", "image-2:latest"]).allSatisfy { $0.title.contains($1) })
        try damage(store.path + "/index.json")
        #expect(store.damageWarnings.count == 1)
    }
}
