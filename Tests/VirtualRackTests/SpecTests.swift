import Foundation
import Testing
import Wire

@testable import VirtualRack

@Suite("names, identities and specifications")
struct SpecTests {
    @Test("a lab's name is narrow", arguments: ["", "Lab", "1a", "a/b", "a.b", "ä", String(repeating: "a", count: 25)])
    func badNames(_ name: String) { #expect(throws: LabError.self) { try LabName(name) } }

    @Test("MACs follow from lab, machine and card, and differ between them")
    func macs() throws {
        let lab = try LabName("lab")
        let other = try LabName("lab2")
        let first = DerivedIdentity.mac(lab: lab, machine: "node1", nic: 0)
        #expect(first == DerivedIdentity.mac(lab: lab, machine: "node1", nic: 0))
        #expect(first.description.hasPrefix("52:54:00:77:"))
        let all = [
            first, DerivedIdentity.mac(lab: lab, machine: "node1", nic: 1),
            DerivedIdentity.mac(lab: lab, machine: "node2", nic: 0),
            DerivedIdentity.mac(lab: other, machine: "node1", nic: 0),
            DerivedIdentity.mac(lab: lab, machine: "node1", nic: 0, attempt: 1),
        ]
        #expect(Set(all).count == all.count)
    }

    @Test("a UUID has version 8 and the RFC's variant")
    func uuid() throws {
        let text = DerivedIdentity.uuid(lab: try LabName("lab"), machine: "node1")
        #expect(UUID(uuidString: text) != nil)
        #expect(Array(text)[14] == "8")
        #expect("89ab".contains(Array(text)[19]))
    }

    @Test("a standard machine is valid and survives JSON")
    func roundTrip() throws {
        let spec = VirtualMachineSpec(name: "node1", lab: try LabName("lab"), firmware: .uefi, nicCount: 2)
        try spec.validate()
        let data = try JSONEncoder().encode(spec)
        #expect(try JSONDecoder().decode(VirtualMachineSpec.self, from: data) == spec)
    }

    @Test("what QEMU or a guest could not take is refused")
    func refused() throws {
        let good = VirtualMachineSpec(name: "n", lab: try LabName("lab"))
        var bad: [VirtualMachineSpec] = []
        func with(_ change: (inout VirtualMachineSpec) -> Void) {
            var spec = good
            change(&spec)
            bad.append(spec)
        }
        with { $0.name = "../x" }
        with { $0.cpus = 0 }
        with { $0.memoryMiB = 64 }
        with { $0.nics += $0.nics }
        with { $0.uuid = "no" }
        with { $0.serial = "a,b" }
        with { $0.disks[0].sizeBytes = 1000 }
        with { $0.disks[0].serial = String(repeating: "x", count: 21) }
        with { $0.disks += $0.disks }
        with { $0.disks[0].isRotational = true }
        with { $0.disks[0].isRemovable = true }
        for spec in bad { #expect(throws: LabError.self) { try spec.validate() } }
    }

    @Test("a state directory whose sockets would not fit is refused")
    func longPath() throws {
        let lab = try LabName("lab")
        #expect(throws: LabError.self) { try LabPaths(lab, stateDirectory: "/" + String(repeating: "x", count: 60)) }
        #expect(throws: LabError.self) { try LabPaths(lab, stateDirectory: "relative") }
    }

    @Test(
        "a fault's text is read back as it was written",
        arguments: [
            "link-down:0", "link-down:1", "packet-loss=20", "latency=50", "disk-error:S1", "disk-full",
            "slow-disk:S1=1000000", "console-silence", "partition",
        ])
    func faults(_ text: String) throws { #expect(try Fault(text).description == text) }

    @Test(
        "what is no fault is refused",
        arguments: [
            "", "link", "link-down:9", "packet-loss", "packet-loss=0", "packet-loss=101", "latency=x", "disk-error:",
            "disk-error=1", "slow-disk=1", "partition=1", "partition:a", "link-down:",
        ])
    func noFaults(_ text: String) { #expect(throws: LabError.self) { try Fault(text) } }
}
