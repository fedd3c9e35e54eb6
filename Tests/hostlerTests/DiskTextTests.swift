import Model
import Testing
import Wire

@testable import hostler

@Suite("Disks on the command line")
struct DiskTextTests {
    private func machine() throws -> Machine {
        func disk(_ name: String, _ serial: String, _ wwn: String?, _ place: DiskPlace) -> Inventory.DiskFacts {
            var disk = Inventory.DiskFacts(name: name, bytes: 960_000_000_000, kind: .ssd)
            (disk.serial, disk.wwn, disk.place, disk.model) = (serial, wwn, place, "PERC\u{1b}[2J H750")
            return disk
        }
        var machine = Machine(
            id: MachineID(unchecked: "m-test01"), name: try DisplayName("one"), interfaces: [], now: Timestamp(milliseconds: 0))
        var inventory = Inventory()
        inventory.disks = [
            disk("sda", "SAME", "600605b00d1e2f3a2c0a1b2c3d4e5f60", .inside), disk("sdb", "SAME", "600605b00d1e2f3a2c0a1b2c3d4e5f61", .inside),
            disk("sdc", "LUN1", nil, .fibreChannel),
        ]
        machine.observed.inventory = inventory
        return machine
    }

    private let plain = Terminal(isInteractive: false, hasColour: false, columns: 200)

    @Test("are shown with the name that --disk takes, and where they are")
    func table() throws {
        let lines = MachineText.text(try machine(), terminal: plain).split(separator: "\n")
        let volume = try #require(lines.first { $0.hasPrefix("sdb") })
        #expect(volume.contains("600605b00d1e2f3a2c0a1b2c3d4e5f61") && volume.contains("SAME") && volume.contains("inside"))
        let lun = try #require(lines.first { $0.hasPrefix("sdc") })
        #expect(lun.contains("LUN1") && lun.contains("Fibre Channel"))
    }
}
