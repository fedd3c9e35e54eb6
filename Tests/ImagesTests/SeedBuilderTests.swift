import Foundation
import Model
import Testing

@testable import Images

@Suite("A seed")
struct SeedBuilderTests {
    static let input = SeedInput(
        instanceID: "i-1", hostname: "web-1.example", sshKeys: ["ssh-ed25519 AAAA a@b", "ssh-rsa BBBB"],
        userData: Array("#cloud-config\nruncmd: [\"é\"]\r\n".utf8) + [0, 0xff], networkConfig: "version: 2\n")

    @Test("gives back what was put in, byte for byte, by mtools")
    func contents() throws {
        let workshop = try Workshop()
        let seed = try SeedBuilder.build(Self.input, markerPayload: Array("{}".utf8))
        let path = try workshop.write(seed.volume, "seed")
        #expect(seed.digest == BlobHasher.digest(seed.volume))
        #expect(try tool("mtype", "-i", path, "::user-data").output == Data(Self.input.userData))
        #expect(try tool("mtype", "-i", path, "::network-config").output == Data("version: 2\n".utf8))
        let meta = try tool("mtype", "-i", path, "::meta-data").output
        let values = try #require(try JSONSerialization.jsonObject(with: meta) as? [String: Any])
        #expect(values["instance-id"] as? String == "i-1")
        #expect(values["local-hostname"] as? String == "web-1.example")
        #expect(values["public-keys"] as? [String] == Self.input.sshKeys)
        #expect(try SeedBuilder.build(Self.input, markerPayload: []).volume == seed.volume)
    }

    @Test("takes 16 MiB of user-data and not a byte more")
    func limit() throws {
        var input = Self.input
        input.userData = Array(repeating: 65, count: 16 << 20)
        let workshop = try Workshop()
        let path = try workshop.write(try SeedBuilder.build(input, markerPayload: []).volume, "seed")
        #expect(try tool("fsck.vfat", "-n", path).status == 0)
        input.userData.append(65)
        let problem = #expect(throws: Problem.self) { try SeedBuilder.build(input, markerPayload: []) }
        #expect(problem?.code == "user-data-too-large")
    }

    @Test("refuses names and keys that would break what they are written into")
    func refusals() {
        for change: (inout SeedInput) -> Void in [
            { $0.hostname = "a b" }, { $0.hostname = "-a" }, { $0.hostname = "" }, { $0.instanceID = "" },
            { $0.sshKeys = ["ssh-rsa A\nssh-rsa B"] }, { $0.instanceID = "a\nb" },
        ] {
            var input = Self.input
            change(&input)
            #expect(throws: Problem.self) { try SeedBuilder.build(input, markerPayload: []) }
        }
    }
}
