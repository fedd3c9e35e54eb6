import FoundationEssentials
import Model
import Testing
import Wire

/// A disk of the record.
private func disk(
    _ name: String, serial: String? = nil, wwn: String? = nil, nguid: String? = nil, eui64: String? = nil, model: String? = "M",
    bytes: Int64 = 1_000_000_000_000, place: DiskPlace? = .inside, path: String? = nil, removable: Bool = false
) -> Inventory.DiskFacts {
    var disk = Inventory.DiskFacts(name: name, bytes: bytes, kind: .ssd, removable: removable)
    (disk.serial, disk.wwn, disk.nguid, disk.eui64, disk.model) = (serial, wwn, nguid, eui64, model)
    (disk.place, disk.path) = (place, path)
    return disk
}

@Suite("The names of a machine's disks")
struct DiskNamesTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var what: String
        var disks: [Inventory.DiskFacts]
        /// The name of each.
        var names: [String?]
        /// What people may say, and which disk that means; nil: it is refused.
        var said: [(String, Int?)] = []
        var testDescription: String { what }
    }

    private static let a = "600605b00d1e2f3a2c0a1b2c3d4e5f60"
    private static let b = "600605b00d1e2f3a2c0a1b2c3d4e5f61"

    static let rows: [Row] = [
        Row(
            what: "two RAID volumes with one serial number and two WWNs",
            disks: [disk("sda", serial: "SAME", wwn: a), disk("sdb", serial: "SAME", wwn: b)], names: [a, b],
            said: [("SAME", nil), (a, 0), ("naa.\(b.uppercased())", 1), ("0x\(a)", 0), ("wwn-0x\(b)", 1), (" \(b) ", 1)]),
        Row(
            what: "two NVMe namespaces with one serial number, by UUID, NGUID and EUI-64",
            disks: [
                disk("nvme0n1", serial: "S1", wwn: "uuid.11112222-3333-4444-5555-666677778888"),
                disk("nvme0n2", serial: "S1", nguid: "0123456789abcdef0025385b00000002"),
                disk("nvme0n3", serial: "S1", eui64: "00 25 38 5b 71 b0 f1 a3"),
            ],
            names: ["11112222333344445555666677778888", "0123456789abcdef0025385b00000002", "0025385b71b0f1a3"],
            said: [("S1", nil), ("eui.0025385B71B0F1A3", 2), ("11112222-3333-4444-5555-666677778888", 0)]),
        Row(
            what: "two namespaces whose NGUID is the same, and whose EUI-64 is not",
            disks: [
                disk("nvme0n1", serial: "S1", wwn: "eui.0025385b000000010025385b00000001", eui64: "0025385b71b0f1a2"),
                disk("nvme0n2", serial: "S1", wwn: "eui.0025385b000000010025385b00000001", eui64: "0025385b71b0f1a3"),
            ], names: ["0025385b71b0f1a2", "0025385b71b0f1a3"], said: [("0025385b000000010025385b00000001", nil)]),
        Row(
            what: "NGUID and EUI-64 all zero: the serial number counts",
            disks: [
                disk(
                    "nvme0n1", serial: "S1", wwn: "eui.00000000000000000000000000000000", nguid: "00000000-0000-0000-0000-000000000000",
                    eui64: "00 00 00 00 00 00 00 00"),
                disk("nvme1n1", serial: "S2", wwn: "eui.0000000000000000"), disk("sda", serial: "S3", wwn: "ffffffffffffffff"),
                disk("sdb", serial: "S4", wwn: "0x5000000000000000"), disk("sdc", serial: "S5", wwn: "0000000000000001"),
            ], names: ["S1", "S2", "S3", "S4", "S5"], said: [("0000000000000000", nil), ("5000000000000000", nil)]),
        Row(
            what: "a name made up of the serial number is no WWN",
            disks: [
                disk("nvme0n1", serial: "S1", wwn: "nvme.1b36-53-51454d55-00000001", path: "pci-0000:00:04.0-nvme-1"),
                disk("nvme0n2", serial: "S1", wwn: "nvme.1b36-53-51454d55-00000002", path: "pci-0000:00:04.0-nvme-2"),
            ], names: ["S1@pci-0000:00:04.0-nvme-1", "S1@pci-0000:00:04.0-nvme-2"],
            said: [("S1", nil), ("nvme.1b36-53-51454d55-00000001", nil), ("@pci-0000:00:04.0-nvme-2", 1)]),
        Row(
            what: "one serial number, no WWN",
            disks: [
                disk("sda", serial: "SAME", path: "pci-0000:00:17.0-ata-1"), disk("sdb", serial: "SAME", path: "pci-0000:00:17.0-ata-2"),
            ], names: ["SAME@pci-0000:00:17.0-ata-1", "SAME@pci-0000:00:17.0-ata-2"],
            said: [("SAME", nil), ("SAME@pci-0000:00:17.0-ata-2", 1), ("SAME@pci-0000:00:17.0-ata-", nil), ("SAME@", nil), ("@", nil)]),
        Row(
            what: "one serial number, no WWN, and a record that does not say where they are",
            disks: [disk("sda", serial: "SAME", place: nil), disk("sdb", serial: "SAME", place: nil)], names: [nil, nil],
            said: [("SAME", nil), ("sda", nil), ("/dev/sda", nil)]),
        Row(
            what: "one disk by two paths",
            disks: [
                disk("sda", serial: "S1", wwn: "5000c500a1b2c3d4", path: "pci-0000:01:00.0-sas-0x5000c500a1b2c3d5-lun-0"),
                disk("sdb", serial: "S1", wwn: "5000c500a1b2c3d4", path: "pci-0000:02:00.0-sas-0x5000c500a1b2c3d6-lun-0"),
            ],
            names: [
                "5000c500a1b2c3d4@pci-0000:01:00.0-sas-0x5000c500a1b2c3d5-lun-0",
                "5000c500a1b2c3d4@pci-0000:02:00.0-sas-0x5000c500a1b2c3d6-lun-0",
            ], said: [("5000c500a1b2c3d4", nil), ("S1", nil), ("S1@pci-0000:02:00.0-sas-0x5000c500a1b2c3d6-lun-0", 1)]),
        Row(
            what: "fillers for serial numbers",
            disks: [
                disk("sda", serial: "0123456789", path: "pci-1"), disk("sdb", serial: "To be filled by O.E.M.", path: "pci-2"),
                disk("sdc", serial: "000000000000", path: "pci-3"), disk("sdd", serial: "FFFFFFFF", path: "pci-4"),
                disk("sde", serial: " ", path: "pci-5"), disk("sdf", serial: "123456789ABCDEF", path: "pci-6"),
                disk("sdg", serial: "Default string"),
            ], names: ["@pci-1", "@pci-2", "@pci-3", "@pci-4", "@pci-5", "@pci-6", nil],
            said: [("0123456789", nil), ("000000000000", nil), ("", nil), (" ", nil), ("Default string", nil)]),
        Row(
            what: "names that are the beginnings of others",
            disks: [disk("sda", serial: "WD-1"), disk("sdb", serial: "WD-12"), disk("sdc", serial: "WD-123")], names: ["WD-1", "WD-12", "WD-123"],
            said: [("WD-1", 0), ("WD-12", 1), ("WD-", nil), ("WD-1234", nil)]),
        Row(
            what: "case and spaces",
            disks: [disk("sda", serial: "AB 1"), disk("sdb", serial: "ab 1"), disk("sdc", serial: "AB1"), disk("sdd", serial: "XY 9")],
            names: ["AB 1", "ab 1", "AB1", "XY 9"],
            said: [("AB 1", 0), ("  ab 1\t", 1), ("AB1", 2), ("Ab 1", nil), ("XY9", nil), ("xy 9", nil), ("XY  9", nil)]),
        Row(
            what: "a serial number that is another disk's WWN",
            disks: [disk("sda", serial: "S1", wwn: "5000c500a1b2c3d4"), disk("sdb", serial: "5000C500A1B2C3D4", wwn: "5000c500a1b2c3d5")],
            names: ["S1", "5000c500a1b2c3d5"], said: [("5000C500A1B2C3D4", nil), ("5000c500a1b2c3d4", nil)]),
        Row(
            what: "a serial number that is another disk's whole name",
            disks: [
                disk("sda", serial: "T", path: "p"), disk("sdb", serial: "T", path: "q"), disk("sdc", serial: "T@p", path: "r"),
            ], names: ["@p", "T@q", "T@p@r"], said: [("T@p", nil)]),
        Row(
            what: "a serial number as long as can be, and one that goes on where it is cut",
            disks: [disk("sda", serial: String(repeating: "x7", count: 128)), disk("sdb", serial: "S2")],
            names: [String(repeating: "x7", count: 128), "S2"], said: [(String(repeating: "x7", count: 128) + "y", nil)]),
    ]

    @Test("are the strongest that one disk alone answers to, and mean that disk", arguments: rows)
    func names(_ row: Row) throws {
        let names = DiskNames(row.disks)
        #expect(row.disks.indices.map { names.name(of: $0) } == row.names)
        for (index, name) in row.names.enumerated() {
            if let name { #expect(try names.disk(named: name) == index, "\(name)") }
        }
        for (text, wanted) in row.said {
            #expect((try? names.disk(named: text)) == wanted, "“\(text)”")
        }
        // Whatever order the kernel finds them in.
        let reversed = DiskNames(row.disks.reversed())
        #expect(row.disks.indices.reversed().map { reversed.name(of: row.disks.count - 1 - $0) } == row.names.reversed())
    }

    @Test("are told apart: not there, or more than one")
    func reasons() {
        let names = DiskNames([disk("sda", serial: "SAME"), disk("sdb", serial: "SAME")])
        #expect(throws: DiskNameError.ambiguous("SAME", [0, 1])) { try names.disk(named: "SAME") }
        #expect(throws: DiskNameError.notFound("OTHER")) { try names.disk(named: "OTHER") }
    }

    @Test("in an inventory are worked out anew, whatever the machine says they are")
    func claimed() throws {
        let json = """
            {"system":{},"firmware":{"mode":"uefi"},"cpus":[],"memory":{"totalBytes":1,"dimms":[]},"nics":[],"pci":[],"installations":[],
             "disks":[{"name":"sda","id":"S2","serial":"S1","place":"in-the-cloud","path":"p\\u001b[2J","bytes":1,"kind":"ssd","removable":false,"logicalBlockBytes":512},
                      {"name":"sdb","id":"S1","serial":"S2","place":"inside","nguid":"\(String(repeating: "9", count: 9000))","bytes":1,"kind":"ssd","removable":false,"logicalBlockBytes":512},
                      {"name":"sdc","id":"S3","bytes":1,"kind":"ssd","removable":false,"logicalBlockBytes":512}]}
            """
        let inventory = try JSONDecoder().decode(Inventory.self, from: Data(json.utf8))
        #expect(inventory.disks.map(\.id) == ["S1", "S2", nil])
        #expect(inventory.disks.map(\.place) == [.unclear, .inside, nil], "a place that nobody knows is not inside")
        #expect(inventory.disks[0].path == "p�[2J" && inventory.disks[1].nguid?.utf8.count == 64)
        let again = try JSONDecoder().decode(Inventory.self, from: JSONEncoder().encode(inventory))
        #expect(again == inventory)
    }

    @Test("of a thousand disks are found in a moment, and any text names at most one")
    func many() {
        var disks = (0..<AgentLimits.disks).map { disk("sd\($0)", serial: "SAME", wwn: a(of: $0 / 2), path: "p-\($0)") }
        disks.append(disk("odd", serial: "'; rm -rf /; '"))
        let names = DiskNames(disks)
        let began = ContinuousClock.now
        let all = disks.indices.compactMap { names.name(of: $0) }
        #expect(Set(all).count == disks.count && all[3] == "\(a(of: 1))@p-3")
        #expect(ContinuousClock.now - began < .seconds(5))
    }

    private func a(of number: Int) -> String { "5000c500" + String(String(0xa000_0000 + number, radix: 16).suffix(8)) }
}

@Suite("A disk that is the machine's own")
struct OwnDiskTests {
    @Test("is inside it, fixed, and reached by one path", arguments: DiskPlace.allCases)
    func places(_ place: DiskPlace) {
        let names = DiskNames([disk("sda", serial: "S1", place: place), disk("sdb", serial: "S2", place: place, removable: true)])
        #expect(names.isOwn(0) == (place == .inside))
        #expect(!names.isOwn(1))
    }

    @Test("has no twin with its WWN, but may have one with its serial number")
    func twins() {
        let names = DiskNames([
            disk("sda", serial: "S", wwn: "5000c500a1b2c3d4"), disk("sdb", serial: "S", wwn: "5000c500a1b2c3d4"),
            disk("sdc", serial: "S", wwn: "5000c500a1b2c3d5"),
        ])
        #expect((0..<3).map { names.isOwn($0) } == [false, false, true])
        #expect(names.place(of: 0) == .severalPaths)
    }

    @Test("is presumed in a record that does not say, unless its transport speaks against it")
    func earlierRecord() {
        func isOwn(_ transport: String?) -> Bool {
            var facts = disk("sda", serial: "S", place: nil)
            facts.transport = transport
            return DiskNames([facts]).isOwn(0)
        }
        #expect(isOwn("sata") && isOwn("nvme") && isOwn(nil) && !isOwn("iscsi") && !isOwn("usb"))
    }
}

@Suite("A disk that an operation is to write")
struct DiskTargetTests {
    private let own = disk("sda", serial: "S1", wwn: "5000c500a1b2c3d4", path: "pci-1")

    private func find(_ target: DiskTarget, _ disks: [Inventory.DiskFacts]) -> Result<Int, DiskTargetError> {
        Result { () throws(DiskTargetError) in try target.find(among: DiskNames(disks)) }
    }

    @Test("is found again under another kernel name and at another port")
    func moved() {
        let target = DiskTarget(own, name: "5000c500a1b2c3d4", isNamed: false)
        var moved = own
        (moved.name, moved.path) = ("sdq", "pci-9")
        #expect(find(target, [disk("sda", serial: "S2"), moved]) == .success(1))
    }

    @Test("is not found by anything weaker than its name: where the WWN is gone, its serial number does not do")
    func neverWidened() {
        let target = DiskTarget(own, name: "5000c500a1b2c3d4", isNamed: false)
        #expect(find(target, [disk("sda", serial: "S1", path: "pci-1")]) == .failure(.name(.notFound("5000c500a1b2c3d4"))))
        #expect(find(target, []) == .failure(.name(.notFound("5000c500a1b2c3d4"))))
    }

    @Test("is refused when a second one answers to its name")
    func twin() {
        let target = DiskTarget(disk("sda", serial: "S1"), name: "S1", isNamed: true)
        #expect(find(target, [disk("sda", serial: "S1"), disk("sdb", serial: "S1")]) == .failure(.name(.ambiguous("S1", [0, 1]))))
    }

    @Test("is refused when it is not what the record had")
    func exchanged() {
        let target = DiskTarget(own, name: "5000c500a1b2c3d4", isNamed: true)
        for change: (inout Inventory.DiskFacts) -> Void in [{ $0.serial = "S9" }, { $0.model = "other" }, { $0.bytes -= 512 }, { $0.serial = nil }] {
            var now = own
            change(&now)
            guard case .failure(.changed) = find(target, [now]) else {
                Issue.record("\(now)")
                continue
            }
        }
        // Without a WWN, what sits at another port with the same serial number is another disk until somebody looked.
        let weak = DiskTarget(disk("sda", serial: "S1", path: "pci-1"), name: "S1", isNamed: true)
        #expect(find(weak, [disk("sda", serial: "S1", path: "pci-1")]) == .success(0))
        guard case .failure(.changed) = find(weak, [disk("sda", serial: "S1", path: "pci-2")]) else {
            Issue.record("another port")
            return
        }
    }

    @Test("is refused outside the machine, unless a person named it")
    func outside() {
        var lun = own
        lun.place = .fibreChannel
        #expect(find(DiskTarget(own, name: "S1", isNamed: false), [lun]) == .failure(.notOwn(0)))
        #expect(find(DiskTarget(own, name: "S1", isNamed: true), [lun]) == .success(0))
        #expect(find(DiskTarget(own, name: "5000c500a1b2c3d4@pci-1", isNamed: false), [own, own]) != .success(0))
    }

    @Test("is the same as another by the strongest facts that both have")
    func same() {
        func target(_ serial: String?, _ wwn: String? = nil, at path: String? = nil, name: String? = nil) -> DiskTarget {
            DiskTarget(disk("sda", serial: serial, wwn: wwn, path: path), name: name ?? wwn ?? serial ?? "", isNamed: true)
        }
        let (a, b) = ("5000c500a1b2c3d4", "5000c500a1b2c3d5")
        #expect(target("S", a).isSameDisk(as: target("S", a, at: "p")))
        #expect(!target("S", a).isSameDisk(as: target("S", b)), "twins by serial number")
        #expect(!target("S", a).isSameDisk(as: target("T", a)), "twins by WWN")
        #expect(target("S").isSameDisk(as: target("S", a)), "an earlier record has the serial number alone")
        #expect(!target("S").isSameDisk(as: target("T", a)))
        #expect(target("S", at: "p").isSameDisk(as: target("S", at: "q")), "it was moved")
        #expect(!target("S", at: "p", name: "S@p").isSameDisk(as: target("S", at: "q", name: "S@q")), "twins without WWN")
        #expect(target("S", at: "p", name: "S@p").isSameDisk(as: target("S", at: "p", name: "S@p")))
        #expect(!target(nil, at: "p", name: "@p").isSameDisk(as: target(nil, at: "q", name: "@q")))
    }

    @Test("comes out of the store as it went in, bounded")
    func coding() throws {
        let target = DiskTarget(own, name: "S1", isNamed: true)
        #expect(try JSONDecoder().decode(DiskTarget.self, from: JSONEncoder().encode(target)) == target)
        let long = String(repeating: "n", count: 5000)
        let odd = try JSONDecoder().decode(DiskTarget.self, from: Data(#"{"name":"\#(long)","serial":"\#(long)","bytes":-5,"isNamed":false}"#.utf8))
        #expect(odd.name.utf8.count <= 513 && odd.serial?.utf8.count == 256 && odd.bytes == 0)
    }
}

@Suite("Disks that nobody named")
struct DiskChoiceTests {
    @Test("are chosen for an installation inside the machine only, the smallest that is big enough")
    func smallest() throws {
        let names = DiskNames([
            disk("sda", serial: "A", bytes: 500), disk("sdb", serial: "B", bytes: 100), disk("sdc", serial: "C", bytes: 4),
            disk("sdd", serial: "D", bytes: 90, place: .fibreChannel), disk("sde", serial: "E", bytes: 91, place: .enclosure),
            disk("sdf", serial: "F", bytes: 92, removable: true), disk("sdg", serial: "G", bytes: 93, place: .external),
            disk("sdh", serial: "H", bytes: 94),
        ])
        #expect(try DiskChoice.forInstall(among: names, minimumBytes: 50).name == "H")
        #expect(try DiskChoice.forInstall(among: names, minimumBytes: 50) { $0 != 7 }.name == "B")
        #expect(try DiskChoice.forInstall(named: "D", among: names, minimumBytes: 50).isNamed)
        #expect(throws: DiskChoiceError.tooSmall([0, 1, 2, 7], neededBytes: 501)) { try DiskChoice.forInstall(among: names, minimumBytes: 501) }
    }

    @Test("are never guessed between")
    func guesses() {
        let twins = DiskNames([disk("sda", serial: "A"), disk("sdb", serial: "B")])
        #expect(throws: DiskChoiceError.ambiguous([0, 1])) { try DiskChoice.forInstall(among: twins, minimumBytes: 1) }
        #expect(throws: DiskChoiceError.noOwnDisk) { try DiskChoice.forInstall(among: DiskNames([]), minimumBytes: 1) }
        let lun = DiskNames([disk("sda", serial: "A", place: .iscsi)])
        #expect(throws: DiskChoiceError.noOwnDisk) { try DiskChoice.forInstall(among: lun, minimumBytes: 1) }
        #expect(throws: DiskChoiceError.noOwnDisk) { try DiskChoice.forWipe(among: lun) }
        // A place on a bus is no disk's own name: whatever is put there would be installed on.
        let nameless = DiskNames([disk("vda", path: "pci-1")])
        #expect(throws: DiskChoiceError.unidentified(0)) { try DiskChoice.forInstall(among: nameless, minimumBytes: 1) }
        #expect(throws: DiskChoiceError.unidentified(0)) { try DiskChoice.forInstall(named: "@pci-1", among: nameless, minimumBytes: 1) }
    }

    @Test("are wiped inside the machine only, the nameless ones too, and the rest is told of")
    func wipe() throws {
        let names = DiskNames([
            disk("sda", serial: "A"), disk("sdb", serial: "B", place: .fibreChannel), disk("sdc", serial: "C", place: .iscsi),
            disk("vda", path: "pci-1"), disk("sdd", serial: "D", place: .enclosure), disk("nvme0n1", serial: "E", place: .nvmeFabric),
            disk("sde", serial: "F", removable: true), disk("sdf", serial: "G", place: .unclear),
        ])
        let choice = try DiskChoice.forWipe(among: names)
        #expect(choice.targets.map(\.name) == ["A", "@pci-1"] && choice.targets.allSatisfy { !$0.isNamed })
        #expect(choice.left == [1, 2, 4, 5, 6, 7])
        let named = try DiskChoice.forWipe(named: ["B", "A", " B "], among: names)
        #expect(named.map(\.name) == ["B", "A"] && named.allSatisfy(\.isNamed))
        #expect(throws: DiskChoiceError.unidentified(0)) {
            try DiskChoice.forWipe(among: DiskNames([disk("sda", serial: "S", place: nil), disk("sdb", serial: "S", place: nil)]))
        }
    }
}

@Suite("Words of a shell")
struct ShellWordTests {
    @Test(
        "are quoted where a shell would read them otherwise",
        arguments: [
            ("S1", "--disk S1"), ("S1@pci-0000:00:17.0-ata-1", "--disk S1@pci-0000:00:17.0-ata-1"), ("WD 1", "--disk 'WD 1'"),
            ("$(reboot)", "--disk '$(reboot)'"), ("it's", #"--disk 'it'\''s'"#), ("-x", "--disk=-x"), ("", "--disk ''"), ("ü", "--disk 'ü'"),
        ])
    func quoting(_ text: String, _ wanted: String) { #expect(ShellWord.option("--disk", text) == wanted) }
}
