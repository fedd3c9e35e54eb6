import NetBoot
import Testing

@Suite("TFTP packets")
struct TFTPPacketTests {
    /// As QEMU's iPXE ROM asks.
    private let captured: [UInt8] =
        [0, 1] + Array("boot.ipxe\0octet\0blksize\01432\0tsize\00\0".utf8)

    @Test("a boot ROM's request is read")
    func request() throws {
        let packet = try TFTPPacket(parsing: captured)
        guard case .readRequest(let request) = packet else {
            Issue.record("not a read request")
            return
        }
        #expect(request.fileName == "boot.ipxe")
        #expect(request.mode == .octet)
        #expect(request["blksize"] == "1432")
        #expect(request["tsize"] == "0")
        #expect(packet.serialize() == captured)
        #expect(try TFTPPacket(parsing: captured + [0, 0, 0]) == packet, "padding")
    }

    @Test("options and modes do not heed case")
    func letterCase() throws {
        let packet = try TFTPPacket(parsing: [0, 1] + Array("a\0OCTET\0BlkSize\0512\0".utf8))
        #expect(
            packet == .readRequest(TFTPRequest(fileName: "a", options: [TFTPOption(name: "blksize", value: "512")])))
    }

    @Test("a request cut at any byte is an error, or lacks its last options")
    func truncation() {
        for count in 0..<captured.count {
            let packet = try? TFTPPacket(parsing: Array(captured[..<count]))
            guard let packet else { continue }
            guard case .readRequest(let request) = packet else {
                Issue.record("\(packet)")
                continue
            }
            #expect(request.fileName == "boot.ipxe" && request.options.count < 2)
        }
        for packet in [[], [0], [0, 4], [0, 4, 1], [0, 3, 0], [0, 5, 1]] as [[UInt8]] {
            #expect(throws: TFTPParseError.self) { try TFTPPacket(parsing: packet) }
        }
    }

    @Test("what is no TFTP packet is an error")
    func malformed() {
        #expect(throws: TFTPParseError.unknownOperation(9)) { try TFTPPacket(parsing: [0, 9, 0, 0]) }
        #expect(throws: TFTPParseError.unknownMode("mail")) {
            try TFTPPacket(parsing: [0, 1] + Array("a\0mail\0".utf8))
        }
        #expect(throws: TFTPParseError.badNameLength(0)) { try TFTPPacket(parsing: [0, 1] + Array("\0octet\0".utf8)) }
        let long = [UInt8](repeating: 0x61, count: 513)
        #expect(throws: TFTPParseError.badNameLength(513)) {
            try TFTPPacket(parsing: [0, 1] + long + Array("\0octet\0".utf8))
        }
    }

    @Test("random packets survive a round trip, random bytes trap nothing", arguments: [UInt64(1), 2, 3])
    func roundTrip(seed: UInt64) throws {
        var random = TFTPSeed(state: seed)
        for _ in 0..<500 {
            let options = (0..<Int.random(in: 0..<4, using: &random)).map {
                TFTPOption(name: "option\($0)", value: String(random.next() % 70_000))
            }
            let request = TFTPRequest(fileName: "dir/file\(random.next())é", mode: .octet, options: options)
            let bytes = (0..<Int.random(in: 0..<40, using: &random)).map { _ in UInt8(truncatingIfNeeded: random.next())
            }
            let number = UInt16(truncatingIfNeeded: random.next())
            let packets: [TFTPPacket] = [
                .readRequest(request), .writeRequest(request), .data(block: number, bytes),
                .acknowledgement(block: number),
                .error(code: TFTPErrorCode(rawValue: number), message: "why \(number)"),
                .optionAcknowledgement(options),
            ]
            for packet in packets { #expect(try TFTPPacket(parsing: packet.serialize()) == packet) }
            _ = try? TFTPPacket(parsing: bytes)
            _ = try? TFTPPacket(parsing: [0, UInt8.random(in: 0...7, using: &random)] + bytes)
        }
    }

    @Test(
        "a path stays below the root",
        arguments: ["ipxe.efi", "/ipxe.efi", "//ipxe.efi", "\\ipxe.efi", "./ipxe.efi", "ipxe.efi\u{fffd}"])
    func paths(requested: String) throws { #expect(try TFTPPath(requested).description == "ipxe.efi") }

    @Test("a path that would leave the root is refused")
    func badPaths() throws {
        #expect(try TFTPPath("a\\b/c").components == ["a", "b", "c"])
        #expect(try TFTPPath("a..b/...").description == "a..b/...")
        for bad in ["..", "../etc/passwd", "a/../../b", "a\\..\\b", "/..", "a/.."] {
            #expect(throws: TFTPPathError.leavesRoot) { try TFTPPath(bad) }
        }
        for bad in ["", "/", "\\\\", ".", "\u{fffd}"] { #expect(throws: TFTPPathError.empty) { try TFTPPath(bad) } }
        for bad in ["a\0b", "a\nb", "\u{7f}"] { #expect(throws: TFTPPathError.controlCharacter) { try TFTPPath(bad) } }
        #expect(throws: TFTPPathError.tooLong(bytes: 513)) { try TFTPPath(String(repeating: "a", count: 513)) }
        // A combining mark makes one character of "/" and itself; it is a separator all the same.
        #expect(throws: TFTPPathError.leavesRoot) { try TFTPPath("../\u{301}x") }
    }

    @Test("only a binary read is let in")
    func admission() throws {
        let read = TFTPRequest(fileName: "/a")
        #expect(TFTPAdmission(.readRequest(read)) == .read(read, try TFTPPath("a")))
        guard case .refuse(.accessViolation, _) = TFTPAdmission(.writeRequest(read)),
            case .refuse(.accessViolation, _) = TFTPAdmission(.readRequest(TFTPRequest(fileName: "../a"))),
            case .refuse(.illegalOperation, let message) = TFTPAdmission(
                .readRequest(TFTPRequest(fileName: "a", mode: .netascii)))
        else {
            Issue.record("let in")
            return
        }
        #expect(message.contains("octet"))
        #expect(TFTPAdmission(.acknowledgement(block: 1)) == .ignore)
        #expect(TFTPAdmission(.error(code: .notDefined, message: "")) == .ignore)
    }
}

/// SplitMix64.
struct TFTPSeed: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
