import NetBoot
import Testing
import Wire

@Suite("IPv6 router discovery")
struct RouterDiscoveryTests {
    /// As iPXE sends it: reserved, then its link-layer address.
    static let solicitation: [UInt8] = [133, 0, 0xab, 0xcd, 0, 0, 0, 0, 1, 1, 0x52, 0x54, 0, 0x77, 0x8c, 0xf0]

    @Test("a solicitation tells who asks")
    func solicitation() {
        #expect(RouterDiscovery(parsing: Self.solicitation) == .solicitation(source: MACAddress(value: 0x5254_0077_8cf0)))
        // Other options before it are passed over (RFC 4861 §4.6).
        let nonce: [UInt8] = [14, 1, 1, 2, 3, 4, 5, 6]
        let longer = Array(Self.solicitation.prefix(8)) + nonce + Array(Self.solicitation.dropFirst(8))
        #expect(RouterDiscovery(parsing: longer) == .solicitation(source: MACAddress(value: 0x5254_0077_8cf0)))
        #expect(RouterDiscovery(parsing: Array(Self.solicitation.prefix(8))) == .solicitation(source: nil))
    }

    @Test("a message that is cut off anywhere is none, except where it is whole without its option")
    func truncation() {
        for count in Self.solicitation.indices where count != 8 {
            #expect(RouterDiscovery(parsing: Array(Self.solicitation.prefix(count))) == nil, "\(count) bytes")
        }
    }

    @Test("an option of length 0, a code that is not 0 and other ICMPv6 messages are refused")
    func malformed() {
        var bytes = Self.solicitation
        bytes[9] = 0
        #expect(RouterDiscovery(parsing: bytes) == nil)
        bytes = Self.solicitation
        bytes[1] = 1
        #expect(RouterDiscovery(parsing: bytes) == nil)
        bytes = Self.solicitation
        bytes[0] = 135
        #expect(RouterDiscovery(parsing: bytes) == nil)
    }

    @Test("what machines are told is an advertisement of no router, that configures nothing")
    func nothingHere() {
        #expect(RouterDiscovery(parsing: RouterDiscovery.nothingHere) == .advertisement(lifetimeSeconds: 0))
        #expect(RouterDiscovery.nothingHere.count == 16)
        #expect(RouterDiscovery.nothingHere.dropFirst().allSatisfy { $0 == 0 })
    }

    @Test("a real router's lifetime is read")
    func router() {
        let bytes: [UInt8] = [134, 0, 0, 0, 64, 0xc0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1]
        #expect(RouterDiscovery(parsing: bytes) == .advertisement(lifetimeSeconds: 1800))
        #expect(RouterDiscovery(parsing: Array(bytes.prefix(15))) == nil)
    }
}
