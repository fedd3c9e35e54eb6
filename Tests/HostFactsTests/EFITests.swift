import Testing
import Wire

@testable import HostFacts

@Suite("EFI boot entries")
struct EFITests {
    /// As `efibootmgr` writes Debian's entry: HD(1,GPT,…,0x800,0x100000)/File(\EFI\debian\shimx64.efi).
    private let debian = Hex.decode(
        """
        010000006200640065006200690061006e00000004012a00010000000008000000000000000010000000000033221100554477668899\
        aabbccddeeff0202040434005c004500460049005c00640065006200690061006e005c007300680069006d007800360034002e006500\
        6600690000007fff0400
        """)!

    @Test("Debian's entry is read and written again byte for byte")
    func debianEntry() throws {
        let option = try EFILoadOption(parsing: debian)
        #expect(option.isActive && !option.isNetwork)
        #expect(option.description == "debian")
        let partition = EFIPartition(
            number: 1, startBlock: 2048, blockCount: 1 << 20,
            guid: FirmwareGUID("00112233-4455-6677-8899-aabbccddeeff")!)
        #expect(option.partition == partition)
        #expect(option.path == [.hardDrive(partition), .filePath(#"\EFI\debian\shimx64.efi"#), .end])
        #expect(option.serialize() == debian)
        let built = EFILoadOption(description: "debian", partition: partition, loader: #"\EFI\debian\shimx64.efi"#)
        #expect(built == option)
    }

    @Test("an entry cut at any byte is an error")
    func truncation() {
        for count in 0..<debian.count {
            #expect(throws: EFIParseError.self) { try EFILoadOption(parsing: Array(debian[..<count])) }
        }
    }

    @Test("whatever can be read is written back as it was")
    func flips() {
        eachByteFlip(of: debian) { flipped in
            guard let option = try? EFILoadOption(parsing: flipped) else { return }
            #expect(try! EFILoadOption(parsing: option.serialize()) == option)
        }
    }

    @Test("random entries survive a round trip", arguments: [UInt64(1), 2, 3])
    func roundTrip(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            var path: [EFIDevicePathNode] = []
            for _ in 0..<Int.random(in: 0..<5, using: &random) {
                switch Int.random(in: 0..<4, using: &random) {
                case 0:
                    path.append(
                        .hardDrive(
                            EFIPartition(
                                number: .random(in: 0...9, using: &random), startBlock: random.next(),
                                blockCount: random.next(), guid: FirmwareGUID(random.bytes(16))!)))
                case 1: path.append(.filePath("\\EFI\\é🎄\(random.next())"))
                case 2: path.append(.macAddress(random.bytes(32), interfaceType: 1))
                default: path.append(.other(type: 2, subtype: 1, data: random.bytes(8)))
                }
            }
            let option = EFILoadOption(
                attributes: UInt32.random(in: .min ... .max, using: &random), description: "entry \(random.next())",
                path: path + [.end], optionalData: random.bytes(Int.random(in: 0..<9, using: &random)))
            #expect(try EFILoadOption(parsing: option.serialize()) == option)
        }
    }

    @Test("a node that claims fewer bytes than its header is an error, not a loop")
    func shortNode() {
        #expect(throws: EFIParseError.self) {
            try EFILoadOption(parsing: [1, 0, 0, 0, 4, 0, 0, 0, 0x7f, 0xff, 0, 0])
        }
    }

    @Test("the boot order is a list of 16-bit numbers")
    func bootOrder() throws {
        #expect(try EFIBootOrder.parse([1, 0, 0x1a, 0x20]) == [1, 0x201a])
        #expect(EFIBootOrder.serialize([1, 0x201a]) == [1, 0, 0x1a, 0x20])
        #expect(throws: EFIParseError.oddLength(3)) { try EFIBootOrder.parse([1, 2, 3]) }
        #expect(EFIBootOrder.variableName(0x1a) == "Boot001A")
        #expect(EFIBootOrder.number(ofVariable: "Boot001A") == 0x1a)
        for other in ["BootOrder", "BootNext", "Boot001a", "Boot00+1", "Boot1"] {
            #expect(EFIBootOrder.number(ofVariable: other) == nil, "\(other)")
        }
        #expect(EFIBootOrder.freeNumber(besides: [0, 1, 3]) == 2)
        let variable = EFIVariable(content: [1, 0])
        #expect(variable.serialize() == [7, 0, 0, 0, 1, 0])
        #expect(try EFIVariable(parsing: variable.serialize()) == variable)
        #expect(throws: EFIParseError.self) { try EFIVariable(parsing: [7, 0, 0]) }
    }

    private static let placings: [(order: [UInt16], current: UInt16?, disk: UInt16, expected: [UInt16])] = [
        ([1, 2, 3], 1, 9, [1, 9, 2, 3]), ([1, 2, 9], 1, 9, [1, 9, 2]),
        ([0, 9, 5, 4], 5, 9, [5, 9, 0, 4]), ([1, 2], 7, 9, [7, 9, 1, 2]), ([], 7, 9, [7, 9]), ([], nil, 9, [9]),
        ([1, 2], nil, 9, [1, 9, 2]), ([9, 1], nil, 9, [1, 9]), ([1, 9], 9, 9, [9, 1]),
    ]

    @Test("the disk comes after the entry that booted, which comes first; none is lost", arguments: placings)
    func placing(order: [UInt16], current: UInt16?, disk: UInt16, expected: [UInt16]) {
        #expect(EFIBootOrder.placeDiskAfterCurrent(order: order, current: current, disk: disk) == expected)
    }
}
