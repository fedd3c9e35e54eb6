import NetBoot
import Testing
import Wire

@Suite("IPv6 addresses on a provisioning network")
struct IPv6AddressTests {
    @Test(
        "addresses have one text, that of RFC 5952",
        arguments: [
            ("fd00:ec2::254", "fd00:ec2::254"), ("FD00:0EC2:0:0:0:0:0:254", "fd00:ec2::254"), ("::", "::"), ("::1", "::1"), ("fe80::", "fe80::"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ])
    func text(_ given: String, _ canonical: String) throws {
        let address = try #require(IPv6Address(given))
        #expect(address.description == canonical)
        #expect(IPv6Address(canonical) == address)
        #expect(IPv6Address(address.bytes) == address)
    }

    @Test(
        "what is no address is none",
        arguments: [
            "", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::", "::1.2.3.4", "fe80::1%eth0", "1:2:3:4:5:6:7:8::",
            " ::1",
            "+1::", ":1:2:3:4:5:6:7",
        ])
    func malformed(_ text: String) { #expect(IPv6Address(text) == nil) }

    @Test("fe80::/10 is of the link, and nothing else")
    func linkLocal() {
        #expect(["fe80::1", "febf::1"].allSatisfy { IPv6Address($0)?.isLinkLocal == true })
        #expect(["fec0::1", "fd00:ec2::254", "::1"].allSatisfy { IPv6Address($0)?.isLinkLocal == false })
    }

    @Test("an advertisement of a prefix says that it is on the link, and names no router")
    func advertisement() throws {
        let prefix = try #require(IPv6Address("fd00:ec2::254"))
        let expected: [UInt8] = [
            134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            3, 4, 64, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
            0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ]
        #expect(RouterDiscovery.onLink(prefix) == expected)
        #expect(RouterDiscovery(parsing: expected) == .advertisement(lifetimeSeconds: 0))
    }
}
