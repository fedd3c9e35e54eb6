import Foundation
import Testing
import Wire

@testable import Model

@Suite("What an agent says that disks hold") struct DiskContentsTests {
    @Test("is cut to what can be shown and stored, and what is malformed is refused")
    func bounded() throws {
        func decode(_ json: String) throws -> DiskContents { try JSONDecoder().decode(DiskContents.self, from: Data(json.utf8)) }
        let item = #"{"kind":"\u001b[2JGPT","label":"\u202ex\u0007","partition":-3}"#
        let contents = try decode(#"{"partitions":99999999,"items":["# + Array(repeating: item, count: 500).joined(separator: ",") + "]}")
        #expect(contents.items.count == DiskContents.itemLimit && contents.partitions == 1024 && contents.items[0].partition == 0)
        #expect(contents.summary.unicodeScalars.allSatisfy { PrintableText.isPrintable($0) })
        let long = String(repeating: "a", count: 100_000)
        let cut = try decode(#"{"partitions":0,"items":[{"kind":""# + long + #"","label":""# + long + #""}]}"#).items[0]
        #expect(cut.kind.utf8.count <= 64 && cut.label?.utf8.count ?? 0 <= DiskContents.labelBytes)
        for text in [#"{"partitions":"x","items":[]}"#, "[]", "7", #"{"items":[]}"#, #"{"partitions":1e30,"items":[]}"#] {
            #expect(throws: (any Error).self) { try decode(text) }
        }
    }

    @Test("reads like a sentence")
    func summary() {
        #expect(DiskContents().summary == "empty" && DiskContents().isEmpty)
        #expect(DiskContents(items: [.init(kind: "ext4", label: "root")]).summary == "ext4 “root”")
        #expect(DiskContents(items: [.init(kind: "GPT"), .init(kind: "XFS", partition: 2)], partitions: 1).summary == "GPT, 1 partition; 2: XFS")
        #expect(DiskContents(partitions: 2).summary == "2 partitions" && !DiskContents(partitions: 2).isEmpty)
        for kind in [DiskContents.unknownData, DiskContents.unreadable] {
            #expect(!DiskContents(items: [.init(kind: kind)]).hasKnownForm && !DiskContents(items: [.init(kind: kind)]).isEmpty)
        }
    }

    @Test("an inventory and a machine of before read as ever, and an inventory that is too long loses what is on partitions first")
    func others() throws {
        var inventory = Inventory()
        inventory.disks = (0..<900).map { number in
            var disk = Inventory.DiskFacts(name: "sd\(number)", bytes: 1, kind: .hdd)
            let inside = (1...8).map { DiskContents.Item(kind: "ext4", label: "data", partition: $0) }
            disk.contents = DiskContents(items: [.init(kind: "GPT")] + inside, partitions: 8)
            return disk
        }
        let fitting = try inventory.fitting()
        #expect(fitting.disks.count == 900 && fitting.disks.allSatisfy { $0.contents?.items == [.init(kind: "GPT")] && $0.contents?.partitions == 8 })
        let former = #"""
            {"system":{},"firmware":{"mode":"bios"},"cpus":[],"memory":{"totalBytes":0,"dimms":[]},"nics":[],"pci":[],"installations":[],
             "disks":[{"name":"sda","bytes":1,"kind":"ssd","removable":false,"logicalBlockBytes":512}]}
            """#
        let read = try JSONDecoder().decode(Inventory.self, from: Data(former.utf8))
        #expect(read.disks[0].contents == nil && read.storageWithoutDriver == nil)
        var machine = Machine(id: MachineID(unchecked: "m-test01"), name: try DisplayName("one"), interfaces: [], now: Timestamp(milliseconds: 0))
        machine.observed.inventory = read
        machine.judgeDisks(marked: [])
        #expect(machine.observed.foreignDisks == nil && machine.foreignContents == nil)
        let text = String(decoding: try JSONEncoder().encode(machine), as: UTF8.self)
        for field in ["takenDisks", "foreignDisks", "addedBy", "contents"] { #expect(!text.contains(field)) }
    }

    @Test("its own installation is no stranger to a machine, and what is taken stays within a limit")
    func own() throws {
        var machine = Machine(id: MachineID(unchecked: "m-test01"), name: try DisplayName("one"), interfaces: [], now: Timestamp(milliseconds: 0))
        var inventory = Inventory()
        var disk = Inventory.DiskFacts(name: "sda", bytes: 1, kind: .hdd)
        (disk.serial, disk.contents) = ("S1", DiskContents(items: [.init(kind: "GPT")]))
        inventory.disks = [disk]
        machine.observed.inventory = inventory
        machine.installed = Installation(
            operation: OperationID(unchecked: "op-00000000"), generation: 1, image: "i", digest: "d", hostname: "h", diskSerial: "S1",
            installedAt: Timestamp(milliseconds: 0))
        machine.judgeDisks(marked: [])
        #expect(machine.observed.foreignDisks == [])
        for number in 0..<1100 {
            machine.observed.inventory?.disks[0].serial = "S\(number)"
            machine.takeDisks()
        }
        #expect(machine.takenDisks?.count == AgentLimits.disks && machine.takenDisks?.last?.name == "S1099")
    }
}
