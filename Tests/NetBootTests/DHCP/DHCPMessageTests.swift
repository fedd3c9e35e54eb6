import Testing
import Wire

@testable import NetBoot

@Suite("DHCP messages")
struct DHCPMessageTests {
    @Test("a captured iPXE DISCOVER says what iPXE says")
    func ipxe() throws {
        let message = try DHCPMessage(parsing: CapturedPacket.ipxe)
        #expect(message.type == .discover)
        #expect(message.mac == "52:54:00:12:34:56")
        #expect(message.transactionID == 0x6c6a_f202)
        #expect(message.elapsedSeconds == 4)
        #expect(!message.wantsBroadcast)
        #expect(message.isIPXE && message.isPXEClient && !message.isHTTPClient)
        #expect(message.userClasses == [Array("iPXE".utf8)])
        #expect(message.architecture == .bios)
        #expect(message.architecture?.bootFileKind == .bios)
        #expect(message.clientKey(mac: mac(1)) == .identifier([1, 0x52, 0x54, 0, 0x12, 0x34, 0x56]))
        #expect(message.clientKey(mac: "52:54:00:12:34:56") == .mac("52:54:00:12:34:56"))
        let options = try #require(message.ipxe)
        #expect(options.hasFeature(19) && options.hasFeature(21) && !options.hasFeature(36))
        #expect(!options.noPXEDHCP)
        #expect(try #require(options.busIdentifier) == (1, 0x8086, 0x100e))
        let question = try #require(BootQuestion(message))
        #expect(question.uuid == "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")
        #expect(question.isIPXE)
    }

    @Test("a captured OVMF PXE DISCOVER is x86-64 UEFI")
    func ovmfPXE() throws {
        let message = try DHCPMessage(parsing: CapturedPacket.ovmfPXE)
        #expect(message.type == .discover)
        #expect(message.wantsBroadcast)
        #expect(message.isPXEClient && !message.isIPXE && !message.isHTTPClient)
        #expect(message.architecture == .efiX8664)
        #expect(message.architecture?.isHTTP == false)
        #expect(message.options[.clientNetworkInterface].map(Array.init) == [1, 3, 0])
        #expect(message.vendorClass == "PXEClient:Arch:00007:UNDI:003000")
        #expect(BootQuestion(message)?.uuid == "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")
    }

    @Test("a captured OVMF HTTP boot DISCOVER asks for HTTP")
    func ovmfHTTP() throws {
        let message = try DHCPMessage(parsing: CapturedPacket.ovmfHTTP)
        #expect(message.isHTTPClient && !message.isPXEClient)
        #expect(message.architecture == .efiX8664HTTP)
        #expect(message.architecture?.isHTTP == true)
        #expect(message.architecture?.bootFileKind == .efiX8664)
    }

    @Test("captured packets come out as they went in", arguments: CapturedPacket.all)
    func capturedRoundTrip(bytes: [UInt8]) throws {
        #expect(try DHCPMessage(parsing: bytes).serialize() == bytes)
    }

    @Test("a packet cut at any byte is refused, or lacks only its end", arguments: CapturedPacket.all)
    func truncation(bytes: [UInt8]) throws {
        let whole = try DHCPMessage(parsing: bytes)
        for count in 0..<bytes.count {
            do throws(DHCPParseError) {
                let part = try DHCPMessage(parsing: Array(bytes.prefix(count)))
                #expect(count >= 240)
                #expect(part.options.codes == Array(whole.options.codes.prefix(part.options.codes.count)))
            } catch {
                if count < 240 { #expect(error == .tooShort(bytes: count)) }
            }
        }
    }

    @Test("no flipped byte traps the parser, the server or the serializer", arguments: CapturedPacket.all)
    func flippedBytes(bytes: [UInt8]) throws {
        var network = try TestNetwork()
        let boot = BootAnswer(nextServer: TestNetwork.server, bootFile: "boot")
        for index in bytes.indices {
            for flip: UInt8 in [0x01, 0x80, 0xff] {
                var damaged = bytes
                damaged[index] ^= flip
                guard let message = try? DHCPMessage(parsing: damaged) else { continue }
                exercise(message)
                let action = network.machine.receive(
                    message, on: ReceiveContext(), nowMilliseconds: network.now, boot: boot)
                if let reply = action.message { _ = try DHCPMessage(parsing: reply.serialize()) }
            }
        }
    }

    @Test("random values survive the wire")
    func randomRoundTrip() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        for _ in 0..<2_000 {
            let message = randomMessage(&random)
            let bytes = message.serialize()
            #expect(bytes.count >= 300 && bytes.count <= 1_472, "seed \(seed)")
            #expect(try DHCPMessage(parsing: bytes) == message, "seed \(seed)")
        }
    }

    @Test("random bytes never trap")
    func randomBytes() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        for _ in 0..<2_000 {
            var bytes = self.bytes(240...700, 0...255, &random)
            bytes.replaceSubrange(0..<3, with: [UInt8.random(in: 1...2, using: &random), 1, 6])
            bytes.replaceSubrange(236..<240, with: [99, 130, 83, 99])
            if let message = try? DHCPMessage(parsing: bytes) { exercise(message) }
        }
    }

    @Test("a value over 255 bytes is split, and joined again")
    func longOption() throws {
        var message = DHCPMessage.discover(mac: mac(1), transactionID: 7)
        let value = (0..<600).map { UInt8(truncatingIfNeeded: $0) }
        message.options[.vendorSpecific] = value[...]
        let bytes = message.serialize()
        #expect(try DHCPMessage(parsing: bytes).options[.vendorSpecific].map(Array.init) == value)
    }

    @Test("options that do not fit go into file and sname, and the relay's comes last")
    func overload() throws {
        var message = DHCPMessage.discover(mac: mac(1), transactionID: 7)
        message.sizeLimitBytes = 548
        message.options[.relayAgentInformation] = [1, 4, 1, 2, 3, 4]
        for code: UInt8 in 224..<230 { message.options[code] = [UInt8](repeating: code, count: 60)[...] }
        let bytes = message.serialize()
        #expect(bytes.count <= 548)
        #expect(bytes.suffix(9) == [82, 6, 1, 4, 1, 2, 3, 4, 255])
        let parsed = try DHCPMessage(parsing: bytes)
        #expect(Set(parsed.options.codes) == Set(message.options.codes))
        for code in message.options.codes { #expect(parsed.options[code] == message.options[code]) }
        #expect(parsed.serverName.isEmpty && parsed.bootFileField.isEmpty)
    }

    @Test("what fits nowhere is left out, the last first")
    func leftOut() throws {
        var message = DHCPMessage.discover(mac: mac(1), transactionID: 7)
        message.sizeLimitBytes = 0
        for code: UInt8 in 200..<220 { message.options[code] = [UInt8](repeating: code, count: 100)[...] }
        let bytes = message.serialize()
        #expect(bytes.count <= 548)
        let parsed = try DHCPMessage(parsing: bytes)
        #expect(parsed.type == .discover)
        #expect(parsed.options[200] != nil && parsed.options[219] == nil)
    }

    @Test("an overload option out of range, and one that lies, are refused")
    func badOverload() {
        var bytes = DHCPMessage.discover(mac: mac(1), transactionID: 7).serialize()
        bytes.replaceSubrange(240..<243, with: [52, 1, 4])
        #expect(throws: DHCPParseError.badOverload) { try DHCPMessage(parsing: bytes) }
        bytes[242] = 1
        bytes[108] = 12
        bytes[109] = 200
        #expect(throws: DHCPParseError.truncatedOption(code: 12)) { try DHCPMessage(parsing: bytes) }
    }

    @Test("user classes are read in RFC 3004's form and in iPXE's")
    func userClasses() {
        var message = DHCPMessage()
        message.options[.userClass] = [4] + Array("iPXE".utf8) + [2, 0x61, 0x62]
        #expect(message.userClasses == [Array("iPXE".utf8), Array("ab".utf8)])
        #expect(message.isIPXE)
        message.options[.userClass] = Array("iPXE".utf8)[...]
        #expect(message.isIPXE)
        message.options[.userClass] = [0]
        #expect(!message.isIPXE)
    }

    @Test("classless routes are written as RFC 3442 shows them")
    func classlessRoutes() throws {
        let routes = [
            ClasslessRoute(destination: IPv4Prefix("10.17.0.0/16")!, router: "10.0.0.1"),
            ClasslessRoute(destination: IPv4Prefix("0.0.0.0/0")!, router: "10.0.0.2"),
            ClasslessRoute(destination: IPv4Prefix("10.229.0.128/25")!, router: "10.0.0.3"),
        ]
        let bytes = ClasslessRoute.encode(routes)
        #expect(bytes == [16, 10, 17, 10, 0, 0, 1, 0, 10, 0, 0, 2, 25, 10, 229, 0, 128, 10, 0, 0, 3])
        #expect(ClasslessRoute.decode(bytes[...]) == routes)
        for count in 1..<bytes.count where count != 7 && count != 12 {
            #expect(ClasslessRoute.decode(bytes.prefix(count)) == nil)
        }
        #expect(ClasslessRoute.decode([33, 1, 2, 3, 4, 5, 1, 2, 3, 4]) == nil)
    }

    @Test("a hostname with control characters is none")
    func hostname() {
        var message = DHCPMessage()
        message.options[.hostName] = Array("node-1\0".utf8)[...]
        #expect(message.hostname == "node-1")
        message.options[.hostName] = Array("a\u{1b}[31m".utf8)[...]
        #expect(message.hostname == nil)
        message.options[.hostName] = []
        #expect(message.hostname == nil)
    }

    @Test(
        "architectures know their boot file and how they fetch it",
        arguments: [
            (0, .bios, false), (6, .efiIA32, false), (7, .efiX8664, false), (9, .efiX8664, false),
            (11, .efiARM64, false), (15, .efiX8664, true), (16, .efiX8664, true), (19, .efiARM64, true),
            (0x29, nil, false),
        ] as [(UInt16, BootFileKind?, Bool)])
    func architectures(number: UInt16, kind: BootFileKind?, isHTTP: Bool) {
        let architecture = ClientArchitecture(rawValue: number)
        #expect(architecture.bootFileKind == kind)
        #expect(architecture.isHTTP == isHTTP)
    }

    /// Reads everything a message can say.
    private func exercise(_ message: DHCPMessage) {
        _ = BootQuestion(message)?.uuid
        _ = (message.hostname, message.bootFile, message.ipxe?.busIdentifier, message.classlessRoutes)
        _ = (message.networkHint, message.routers, message.domainNameServers, message.vendorClass)
        if let mac = message.mac { _ = message.clientKey(mac: mac).description }
        _ = message.serialize()
    }

    private func randomMessage(_ random: inout SeededGenerator) -> DHCPMessage {
        var message = DHCPMessage()
        message.isReply = Bool.random(using: &random)
        message.hardwareType = .random(in: 0...255, using: &random)
        message.hardwareLength = .random(in: 0...16, using: &random)
        message.hops = .random(in: 0...255, using: &random)
        message.transactionID = .random(in: 0...UInt32.max, using: &random)
        message.elapsedSeconds = .random(in: 0...UInt16.max, using: &random)
        message.flags = .random(in: 0...UInt16.max, using: &random)
        message.clientAddress = IPv4Address(value: .random(in: 0...UInt32.max, using: &random))
        message.yourAddress = IPv4Address(value: .random(in: 0...UInt32.max, using: &random))
        message.nextServer = IPv4Address(value: .random(in: 0...UInt32.max, using: &random))
        message.relayAddress = IPv4Address(value: .random(in: 0...UInt32.max, using: &random))
        message.hardwareHigh = .random(in: 0...UInt64.max, using: &random)
        message.hardwareLow = .random(in: 0...UInt64.max, using: &random)
        message.serverName = bytes(0...64, 1...255, &random)
        message.bootFileField = bytes(0...128, 1...255, &random)
        for _ in 0..<Int.random(in: 0...10, using: &random) {
            let code = UInt8.random(in: 1...254, using: &random)
            if code == 52 { continue }
            let isLong = Int.random(in: 0..<20, using: &random) == 0
            guard message.options[code] == nil, !isLong || message.options.codes.count < 3 else { continue }
            message.options[code] = bytes(isLong ? 256...520 : 0...60, 0...255, &random)[...]
        }
        while message.options.encoded.count > 1_200, let last = message.options.codes.last {
            message.options.remove(last)
        }
        return message
    }

    private func bytes(
        _ count: ClosedRange<Int>, _ values: ClosedRange<UInt8>, _ random: inout SeededGenerator
    ) -> [UInt8] {
        (0..<Int.random(in: count, using: &random)).map { _ in UInt8.random(in: values, using: &random) }
    }
}
