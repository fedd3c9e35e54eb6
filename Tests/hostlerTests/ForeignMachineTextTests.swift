import Control
import Foundation
import Model
import Testing
import Wire

@testable import hostler

@Suite("A machine with somebody's system, as people read it") struct ForeignMachineTextTests {
    @Test("machine list and machine show say that it boots its own disk, what is there, and the way to take it")
    func text() throws {
        var machine = Machine(id: MachineID(unchecked: "m-test01"), name: try DisplayName("one"), interfaces: [], now: Timestamp(milliseconds: 0))
        machine.state = .ready
        var inventory = Inventory()
        var disk = Inventory.DiskFacts(name: "sda", bytes: 1 << 40, kind: .ssd)
        (disk.serial, disk.contents) = ("S1", DiskContents(items: [.init(kind: "NTFS", label: "Windows")]))
        inventory.disks = [disk]
        inventory.storageWithoutDriver = ["storage controller 0000:03:00.0 (1000:005d)"]
        machine.observed.inventory = inventory
        machine.judgeDisks(marked: [])
        #expect(machine.stateText == "ready (boots its own disk)")
        let shown = MachineText.text(machine, terminal: Terminal(isInteractive: false, hasColour: false, columns: 200))
        #expect(shown.contains("sda (NTFS “Windows”)") && shown.contains("hostler machine take m-test01"))
        #expect(shown.contains("HOLDS") && shown.contains("the ramdisk has no driver for it"))
        machine.takeDisks()
        #expect(machine.stateText == "ready")
    }

    @Test("add and take have what they need, and a port that is none is refused before anything is asked")
    func commands() async throws {
        #expect(try MachineAdd.parse(["52:54:00:12:34:56", "--name", "web"]).name == "web")
        #expect(try MachineTake.parse(["web", "--yes"]).consent.yes)
        await #expect(throws: (any Error).self) { try await MachineAdd.parse(["52:54"]).run() }
    }
}
