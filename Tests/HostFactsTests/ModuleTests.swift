import Testing

@testable import HostFacts

@Suite("kernel modules")
struct ModuleTests {
    private let aliases = ModuleAliases(
        text: Array(
            """
            # Aliases extracted from modules themselves.
            alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e
            alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
            alias pci:v*d*sv*sd*bc01sc08i02* nvme
            alias pci:v*d*sv*sd*bc01sc06i01* ahci
            alias virtio:d00000001v* virtio_net
            alias usb:v0BDApB*d[0-2]*dc*dsc*dp*ic*isc*ip*in* r8152
            alias usb:v0BDAp8152d*dc*dsc*dp*icFFisc*ip*in* r8152
            alias acpi*:PNP0501:* 8250_pnp
            alias cpu:type:x86,ven*fam*mod*:feature:*0099* aesni_intel
            alias crc32c crc32c_intel
            alias crc32c crc32c_generic
            alias dmi*:bvn*:svnAcme*Corp Inc*: acme-laptop
            alias net-pf-10 ipv6
            """.utf8))

    private static let lookups: [(modalias: String, modules: [String])] = [
        ("pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00\n", ["e1000e"]),
        ("pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00", ["virtio_pci"]),
        ("pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02", ["nvme"]),
        ("virtio:d00000001v00001AF4", ["virtio_net"]),
        ("acpi:PNP0501:", ["8250_pnp"]), ("acpi:LNXSYSTM:", []), ("crc32c", ["crc32c_intel", "crc32c_generic"]),
        ("cpu:type:x86,ven0000fam0006mod00CF:feature:,0000,0099,00AB", ["aesni_intel"]), ("net_pf-10", ["ipv6"]),
        ("dmi:bvnX:svnAcme Big Corp Inc.:", ["acme_laptop"]), ("", []), ("pci:", []), ("*", []),
        ("usb:v0BDAp8152d3000dc00dsc00dp00icFFiscFFip00in00", ["r8152"]),
    ]

    @Test("a device's modalias finds its modules", arguments: lookups)
    func lookup(modalias: String, modules: [String]) { #expect(aliases.modules(for: modalias) == modules) }

    private static let globCases: [(pattern: String, name: String, isMatch: Bool)] = [
        ("a*c", "abbbc", true), ("a*c", "abbbd", false), ("*", "", true), ("", "", true), ("", "a", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false), ("[a-c]x", "bx", true), ("[a-c]x", "dx", false), ("[!a-c]x", "dx", true),
        ("[]]", "]", true),
        ("[^]]", "]", false), ("a\\*", "a*", true), ("a\\*", "ab", false), ("[a", "[a", true),
        ("*a*b*c*", "xxaxxbxxcxx", true),
        ("*a*b*c*", "xxaxxcxxbxx", false), ("[x-]", "-", true), ("a-b", "a_b", true), ("a**", "a", true),
        ("[", "[", true),
    ]

    @Test("patterns match as fnmatch does", arguments: globCases)
    func globs(pattern: String, name: String, isMatch: Bool) {
        #expect(ModuleGlob.matches(Array(pattern.utf8)[...], Array(name.utf8)[...]) == isMatch)
    }

    @Test("indexed lookup agrees with trying every pattern")
    func index() {
        var random = SeededGenerator(seed: 5)
        var patterns: [String] = []
        var lines = ""
        for number in 0..<2000 {
            let vendor = ["*", "0000" + hex(UInt16.random(in: 0...40, using: &random), 4).uppercased()].randomElement(
                using: &random)!
            let bus = ["pci", "usb", "p*", "virtio"].randomElement(using: &random)!
            let device = ["*", "d0000000[0-3]*", "d?0*"].randomElement(using: &random)!
            patterns.append("\(bus):v\(vendor)\(device)")
            lines += "alias \(patterns[number]) m\(number)\n"
        }
        let aliases = ModuleAliases(text: Array(lines.utf8))
        #expect(aliases.count == 2000)
        for _ in 0..<200 {
            let bus = ["pci", "usb", "virtio"].randomElement(using: &random)!
            let vendor = hex(UInt16.random(in: 0...40, using: &random), 4).uppercased()
            let name = "\(bus):v0000\(vendor)d0000000\(Int.random(in: 0...5, using: &random))x"
            let slow = patterns.indices.filter {
                ModuleGlob.matches(Array(patterns[$0].utf8)[...], Array(name.utf8)[...])
            }
            #expect(aliases.modules(for: name) == slow.map { "m\($0)" })
        }
    }

    @Test("files come after what they need, soft dependencies in place, each once, circles end")
    func order() {
        let index = ModuleIndex(
            aliases: aliases,
            dependencies: ModuleDependencies(
                text: """
                    kernel/net/virtio_net.ko.xz: kernel/net/net_failover.ko.xz kernel/net/failover.ko.xz
                    kernel/net/net_failover.ko.xz: kernel/net/failover.ko.xz
                    kernel/net/failover.ko.xz:
                    kernel/fs/btrfs.ko: kernel/lib/xor.ko
                    kernel/lib/xor.ko:
                    kernel/crypto/crc32c_intel.ko:
                    kernel/crypto/crc32c-generic.ko:
                    """),
            softDependencies: ModuleSoftDependencies(
                text: """
                    # comment
                    softdep btrfs pre: crc32c
                    softdep crc32c_intel post: btrfs nothing-like-it
                    """))
        #expect(
            index.loadOrder(for: ["virtio:d00000001v00001AF4", "failover"])
                == ["kernel/net/failover.ko.xz", "kernel/net/net_failover.ko.xz", "kernel/net/virtio_net.ko.xz"])
        #expect(
            index.loadOrder(for: ["btrfs"]) == [
                "kernel/crypto/crc32c_intel.ko", "kernel/crypto/crc32c-generic.ko", "kernel/lib/xor.ko",
                "kernel/fs/btrfs.ko",
            ])
        #expect(index.loadOrder(for: ["btrfs"], excluding: ["crc32c-generic", "crc32c_intel"]).count == 2)
        #expect(index.loadOrder(for: ["absent", "pci:v1"]).isEmpty)
        #expect(index.dependencies.contains("net-failover"))
    }
}
