import Model
import Testing

@testable import Images

@Suite("An image's name") struct ImageNameTests {
    @Test("is one, with the tag that is usual and without it", arguments: ["debian-12", "debian-12:latest"]) func latest(_ name: String) throws {
        #expect(try ImageName.short(of: name) == "debian-12")
    }

    @Test("keeps another tag, and is short already") func tagged() throws {
        #expect(try ImageName.short(of: "debian-12:2026-01") == "debian-12:2026-01")
        #expect(try ImageName.short(of: try ImageName.short(of: "debian-12:2026-01")) == "debian-12:2026-01")
        #expect(ImageName.short(ofFull: "a:latest") == "a")
    }

    @Test(
        "is refused in any other form",
        arguments: [
            "", "Debian-12", "debian-12:", ":latest", "debian-12:latest:latest", "debian-12/latest", "registry.example/debian-12", "../debian-12",
            "debian-12 ", "debian-12@sha256:" + String(repeating: "0", count: 64), "debian-12:latest@sha256:" + String(repeating: "0", count: 64),
        ])
    func refused(_ name: String) {
        #expect(throws: Problem.self) { try ImageName.short(of: name) }
    }
}
