import FoundationEssentials
import OCI
import Testing

@Suite("Names and manifests")
struct ManifestTests {
    static let hex = String(repeating: "0123456789abcdef", count: 4)

    @Test("a digest is read only in its one form")
    func digests() throws {
        let digest = try #require(Digest("sha256:" + Self.hex))
        #expect(digest.description == "sha256:" + Self.hex)
        #expect(Digest(sha256: digest.bytes) == digest)
        #expect(Digest(sha256: digest.bytes + [0]) == nil)
        for bad in ["", Self.hex, "sha256:" + Self.hex.uppercased(), "sha256:" + Self.hex.dropLast(), "sha512:" + Self.hex] {
            #expect(Digest(bad) == nil, "\(bad)")
        }
        let json = try JSONEncoder().encode([digest])
        #expect(String(decoding: json, as: UTF8.self) == "[\"sha256:\(Self.hex)\"]")
        #expect(try JSONDecoder().decode([Digest].self, from: json) == [digest])
    }

    @Test("a manifest survives encoding, and other artifacts are refused")
    func manifests() throws {
        let digest = try #require(Digest("sha256:" + Self.hex))
        let properties = ImageProperties(
            name: "debian-12:latest", os: "debian-12", firmware: [.uefi, .bios], diskBytes: 1 << 30, dataBytes: 5,
            partitionTable: "gpt", rootUUID: "x", kernelArguments: "quiet", seed: "nocloud",
            created: "2026-01-01T00:00:00Z")
        let manifest = Manifest(
            disk: Descriptor(mediaType: MediaType.disk, digest: digest, size: 10),
            index: Descriptor(mediaType: MediaType.chunkIndex, digest: digest, size: 20),
            annotations: properties.annotations)
        let parsed = try Manifest(parsing: manifest.encoded())
        #expect(parsed == manifest)
        #expect(parsed.properties == properties)
        #expect(parsed.annotations?["org.hostler.image.boot.firmware"] == "bios,uefi")
        var other = manifest
        other.artifactType = "application/x"
        #expect(throws: ManifestError.otherArtifact("application/x")) { try Manifest(parsing: other.encoded()) }
        other = manifest
        other.layers.removeLast()
        #expect(throws: ManifestError.self) { try Manifest(parsing: other.encoded()) }
        for count in 0..<manifest.encoded().count {
            #expect(throws: ManifestError.self) { try Manifest(parsing: Array(manifest.encoded().prefix(count))) }
        }
    }

    @Test(
        "references are taken apart",
        arguments: [
            ("debian-12", nil, "debian-12", nil), ("debian-12:a_B", nil, "debian-12", "a_B"),
            ("localhost/a/b__c", "localhost", "a/b__c", nil), ("r.example:5000/os/x:1", "r.example:5000", "os/x", "1"),
            ("os/x", nil, "os/x", nil),
        ] as [(String, String?, String, String?)])
    func references(_ text: String, _ registry: String?, _ repository: String, _ tag: String?) throws {
        for (text, digest) in [(text, nil), ("\(text)@sha256:\(Self.hex)", Digest("sha256:" + Self.hex))] {
            let reference = try Reference(text)
            #expect(reference.registry == registry)
            #expect(reference.repository == repository)
            #expect(reference.tag == tag)
            #expect(reference.digest == digest)
            #expect(reference.description == text)
        }
    }

    @Test(
        "what is no reference is refused",
        arguments: [
            "", "Debian", "a..b", "a/", "/a", "a:", "a:b:c", "-a", "a@sha256:0", "a___b", "../etc", "a b", "é",
            "r.example:99999/a", String(repeating: "a", count: 256),
        ])
    func invalid(_ text: String) { #expect(throws: ReferenceError.self) { try Reference(text) } }
}
