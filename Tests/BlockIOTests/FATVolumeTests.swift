import BlockIO
import Foundation
import Testing

@Suite("A FAT volume")
struct FATVolumeTests {
    static let files = [
        FATVolume.File(name: "meta-data", contents: Array("{\"instance-id\":\"i-1\"}\n".utf8)),
        FATVolume.File(name: "user-data", contents: (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 3) }),
        FATVolume.File(name: "network-config", contents: Array("version: 2\n".utf8)),
        FATVolume.File(name: "vendor-data", contents: []),
        FATVolume.File(name: "README.TXT", contents: [65]),
    ]

    @Test(
        "of each kind and sector size is read back by mtools and passes fsck.vfat",
        arguments: [
            (nil, nil, 512), (FATVolume.Kind.fat12, 2 << 20, 512), (.fat16, 20 << 20, 512), (.fat32, 64 << 20, 512),
            (nil, 8 << 20, 4096), (.fat16, 64 << 20, 4096),
        ] as [(FATVolume.Kind?, Int?, Int)])
    func read(_ kind: FATVolume.Kind?, _ bytes: Int?, _ sector: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/seed.img"
        let volume = try FATVolume(
            label: "CIDATA", files: Self.files, volumeBytes: bytes, sectorBytes: sector, kind: kind, serial: 0x1234_abcd)
        #expect(bytes == nil || volume.bytes.count == bytes)
        try Data(volume.bytes).write(to: URL(fileURLWithPath: path))
        let check = try tool("fsck.vfat", "-n", "-v", path)
        #expect(check.status == 0, "\(check.output.text)")
        #expect(!check.output.text.contains("differ"))
        let listing = try tool("mdir", "-i", path, "::")
        #expect(listing.status == 0, "\(listing.output.text)")
        #expect(listing.output.text.contains("Volume in drive : is CIDATA"))
        #expect(listing.output.text.contains("network-config"))
        for file in Self.files {
            #expect(try tool("mtype", "-i", path, "::" + file.name).output == Data(file.contents), "\(file.name)")
        }
        let identity = try tool("blkid", "-p", "-o", "export", path).output.text
        #expect(identity.contains("LABEL=CIDATA"), "\(identity)")
        #expect(identity.contains("UUID=1234-ABCD"))
    }

    @Test("holds files in directories, as a config drive has them", arguments: [512, 4096])
    func folders(_ sector: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/drive.img"
        let files = ["openstack/latest/meta_data.json", "openstack/latest/user_data", "openstack/content/0000", "top"].map {
            FATVolume.File(name: $0, contents: Array("\($0) has this".utf8))
        }
        let volume = try FATVolume(label: "CONFIG-2", files: files, volumeBytes: 8 << 20, sectorBytes: sector)
        try Data(volume.bytes).write(to: URL(fileURLWithPath: path))
        let check = try tool("fsck.vfat", "-n", "-v", path)
        #expect(check.status == 0, "\(check.output.text)")
        for file in files {
            #expect(try tool("mtype", "-i", path, "::" + file.name).output == Data(file.contents), "\(file.name)")
        }
        #expect(try tool("mdir", "-b", "-i", path, "::openstack").output.text.contains("latest"))
    }

    @Test("holds 17 MiB")
    func large() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/seed.img"
        let contents = [UInt8](repeating: 0x5a, count: 17 << 20)
        let volume = try FATVolume(label: "CIDATA", files: [.init(name: "user-data", contents: contents)])
        try Data(volume.bytes).write(to: URL(fileURLWithPath: path))
        #expect(try tool("fsck.vfat", "-n", path).status == 0)
        #expect(try tool("mtype", "-i", path, "::user-data").output == Data(contents))
    }

    @Test("is refused where names clash, names are bad, or the room is too small")
    func refusals() throws {
        func build(_ names: String..., size: Int = 0) throws {
            let contents = [UInt8](repeating: 1, count: size)
            _ = try FATVolume(
                label: "CIDATA", files: names.map { .init(name: $0, contents: contents) }, volumeBytes: 1 << 20)
        }
        #expect(throws: FATError.duplicateName("A")) { try build("a", "A") }
        for name in ["", "..", "a\u{1}", "a:b", String(repeating: "x", count: 256)] {
            #expect(throws: FATError.invalidName(name)) { try build(name) }
        }
        #expect(throws: FATError.full) { try build("a", size: 1 << 20) }
        #expect(throws: FATError.invalidLabel("cidata")) { try FATVolume(label: "cidata", files: []) }
        #expect(throws: FATError.invalidGeometry) { try FATVolume(label: "A", files: [], volumeBytes: 1000) }
    }
}
