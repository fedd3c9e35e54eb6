import Testing

@testable import Images

@Suite("Debian images")
struct DebianImageTests {
    @Test("a release is known by its image name, number and suite")
    func releaseNames() {
        #expect(DebianRelease("debian-12") == .bookworm)
        #expect(DebianRelease("13") == .trixie)
        #expect(DebianRelease("bookworm") == .bookworm)
        #expect(DebianRelease("debian-11") == nil)
    }

    @Test("the root file system is the last partition, ends before the second GPT and starts at a MiB")
    func layout() throws {
        let layout = try PartitionLayout(diskBytes: 2 << 30)
        #expect(layout.root.firstSector % 2048 == 0)
        #expect(layout.root.firstSector == layout.esp.firstSector + layout.esp.sectorCount)
        #expect(layout.root.firstSector + layout.root.sectorCount <= layout.totalSectors - 33)
        let lines = layout.sfdiskScript { _ in "U" }.split(separator: "\n")
        #expect(lines.last?.contains("name=root") == true)
    }

    @Test("a size that is no whole MiB, or too small, is refused", arguments: [0, 1 << 20, (2 << 30) + 512] as [UInt64])
    func badSizes(bytes: UInt64) {
        #expect(throws: (any Error).self) { try PartitionLayout(diskBytes: bytes) }
    }

    @Test("boot.img points at core.img, core.img at its own second sector")
    func bootSectors() throws {
        let layout = try PartitionLayout(diskBytes: 2 << 30)
        var boot = [UInt8](repeating: 0xEE, count: 512)
        boot[510] = 0x55
        boot[511] = 0xAA
        var core = [UInt8](repeating: 0, count: 3000)
        core[0x1FE] = 0x20
        core[0x1FF] = 0x08
        let placed = try BootSectors.place(boot: boot, core: core, layout: layout)
        #expect(placed.boot.count == 440)
        #expect(Array(placed.boot[0x5C..<0x64]) == [0, 8, 0, 0, 0, 0, 0, 0])
        #expect(Array(placed.boot[0x66..<0x68]) == [0x90, 0x90])
        #expect(Array(placed.core[0x1F4..<0x1FC]) == [1, 8, 0, 0, 0, 0, 0, 0])
    }

    @Test("images that are not GRUB's are refused, not patched")
    func notGRUB() throws {
        let layout = try PartitionLayout(diskBytes: 2 << 30)
        let zeros = [UInt8](repeating: 0, count: 3000)
        #expect(throws: (any Error).self) { try BootSectors.place(boot: [], core: zeros, layout: layout) }
        var boot = [UInt8](repeating: 0, count: 512)
        boot[510] = 0x55
        boot[511] = 0xAA
        #expect(throws: (any Error).self) { try BootSectors.place(boot: boot, core: zeros, layout: layout) }
        #expect(throws: (any Error).self) { try BootSectors.place(boot: boot, core: [1], layout: layout) }
    }

    @Test("another suite comes from the host's own Debian mirror; other vendors and backports stay out")
    func mirror() {
        let targets = """
            Debian|http://mirror.example/debian|bookworm
            Debian|http://mirror.example/debian|bookworm
            Debian|http://mirror.example/debian|bookworm-updates
            Debian|http://mirror.example/debian|bookworm-backports
            Debian|http://mirror.example/debian-security|bookworm-security
            Somebody|http://other.example/apt|bookworm
            """
        #expect(
            DebianMirror.sources(fromIndexTargets: targets, suite: "trixie") == [
                "deb http://mirror.example/debian trixie main",
                "deb http://mirror.example/debian trixie-updates main",
                "deb http://mirror.example/debian-security trixie-security main",
            ])
        #expect(DebianMirror.sources(fromIndexTargets: "", suite: "trixie").isEmpty)
    }

    @Test("a proxy is read from apt's configuration only where one is set")
    func proxy() {
        #expect(
            DebianMirror.proxy(fromConfigDump: "Acquire::http::Proxy \"http://p.example:3142\";\n") == "http://p.example:3142")
        #expect(DebianMirror.proxy(fromConfigDump: "Acquire::http::Proxy \"\";\n") == nil)
        #expect(DebianMirror.proxy(fromConfigDump: "") == nil)
    }

    @Test("the same request has the same UUIDs, another one has others")
    func uuids() {
        let one = DebianImageRequest(kernel: .cloud)
        #expect(one.uuid("root") == DebianImageRequest(kernel: .cloud).uuid("root"))
        #expect(one.uuid("root") != DebianImageRequest(kernel: .generic).uuid("root"))
        #expect(one.uuid("root").count == 36)
        #expect(one.espVolumeNumber.count == 9)
    }
}
