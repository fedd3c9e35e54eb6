import Model
import OCI
import Store
import Testing

@testable import Control

/// The inputs of issue 18, line 4: all that made an installation fail after its disk had been overwritten.
@Suite("An installation that cannot work")
struct FitAdmissionTests {
    static let gpt512 = ImageFacts(
        scheme: .gpt, sectorBytes: 512, endBytes: 1_999_000_000, tailBytes: 33 * 512, firmware: [.bios, .uefi], loaders: ["BOOTX64.EFI"])
    static let gpt4096 = ImageFacts(
        scheme: .gpt, sectorBytes: 4096, endBytes: 1_990_000_000, tailBytes: 5 * 4096, firmware: [.uefi], loaders: ["BOOTX64.EFI"])
    static let mbr = ImageFacts(scheme: .mbr, endBytes: 2_000_000_000, firmware: [.bios])

    struct Bad: Sendable, CustomTestStringConvertible {
        var name: String
        var facts: ImageFacts
        var sector = 512
        var diskBytes: Int64 = 8_000_000_000
        var firmware = FirmwareMode.bios
        var code: String
        var testDescription: String { name }
    }

    static let bad: [Bad] = [
        Bad(name: "a GPT for sectors of 512 on a 4Kn disk", facts: gpt512, sector: 4096, firmware: .uefi, code: "image-sector-size"),
        Bad(name: "a GPT for sectors of 4096 on a disk of 512", facts: gpt4096, firmware: .uefi, code: "image-sector-size"),
        Bad(name: "an MBR on a 4Kn disk", facts: mbr, sector: 4096, code: "image-sector-size"),
        Bad(name: "an image exactly as large as the disk", facts: mbr, diskBytes: 2_000_000_000, code: "seed-no-room"),
        Bad(
            name: "an MBR with four primary partitions", facts: ImageFacts(scheme: .mbr, endBytes: 1 << 30, hasFreeEntry: false, firmware: [.bios]),
            code: "seed-no-entry"),
        Bad(name: "a UEFI image on a BIOS machine", facts: gpt4096, sector: 4096, code: "disk-sector-bios"),
        Bad(
            name: "an image with an EFI loader only, on a BIOS machine",
            facts: ImageFacts(scheme: .gpt, endBytes: 1 << 30, firmware: [.uefi], loaders: ["BOOTX64.EFI"]), code: "image-firmware"),
        Bad(name: "a BIOS image on a UEFI machine", facts: mbr, firmware: .uefi, code: "image-firmware"),
        Bad(
            name: "an arm64 image on an x86 machine",
            facts: ImageFacts(scheme: .gpt, endBytes: 1 << 30, firmware: [.uefi], loaders: ["BOOTAA64.EFI"]), firmware: .uefi,
            code: "image-architecture"),
    ]

    private func inventory(_ bad: Bad, others: [(String, Int64)] = []) -> Inventory {
        var found = ControlTests.inventory(disks: [("D1", bad.diskBytes)] + others)
        found.disks[0].logicalBlockBytes = bad.sector
        found.firmware.mode = bad.firmware
        found.firmware.loader = bad.firmware == .uefi ? "BOOTX64.EFI" : nil
        return found
    }

    @Test("is refused before anything is written down, with the way out", arguments: bad)
    func refused(_ bad: Bad) async throws {
        let store = MemoryStore()
        let control = try await open(store, images: OneImage(facts: bad.facts))
        try await running(control) { control in
            let id = try await boot(control).machine
            try await control.record(inventory(bad), of: id, wantsProof: false)
            let before = try await store.currentRevision()
            let problem = await #expect(throws: Problem.self) {
                try await control.start(.install(InstallRequest(image: "debian-12", disk: "D1")), on: id.rawValue, by: "test")
            }
            #expect(problem?.code == bad.code)
            #expect(problem?.remedy?.isEmpty == false)
            #expect(try await store.currentRevision() == before)
            #expect(try await control.machine(named: id.rawValue).value.state == .ready)
        }
    }

    @Test("names the disks of the machine that would do")
    func others() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.mbr))
        try await running(control) { control in
            let id = try await boot(control).machine
            let found = inventory(
                Bad(name: "", facts: Self.mbr, diskBytes: 2_000_000_000, code: ""), others: [("D2", 9_000_000_000), ("D3", 1_000_000_000)])
            try await control.record(found, of: id, wantsProof: false)
            let problem = await #expect(throws: Problem.self) {
                try await control.start(.install(InstallRequest(image: "debian-12")), on: id.rawValue, by: "test")
            }
            #expect(problem?.remedy?.hasSuffix("It fits on: D2 (--disk).") == true)
        }
    }

    @Test("user-data that leaves no room is weighed, the machine's own too")
    func userData() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.mbr))
        try await running(control) { control in
            let id = try await boot(control).machine
            try await control.record(
                inventory(Bad(name: "", facts: Self.mbr, diskBytes: 2_000_000_000 + (6 << 20), code: "")), of: id, wantsProof: false)
            let large = Base64Bytes(base64: String(repeating: "QUFB", count: 4 << 20))
            let problem = await #expect(throws: Problem.self) {
                try await control.start(.install(InstallRequest(image: "debian-12", userData: large)), on: id.rawValue, by: "test")
            }
            #expect(problem?.code == "seed-no-room")
            _ = try await control.start(.install(InstallRequest(image: "debian-12")), on: id.rawValue, by: "test")
        }
    }

    @Test("the agent gets what it needs to ask again, and a seed with the disk's sectors")
    func work() async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.gpt4096))
        try await running(control) { control in
            let reply = try await boot(control)
            try await control.record(
                inventory(Bad(name: "", facts: Self.mbr, sector: 4096, firmware: .uefi, code: "")), of: reply.machine, wantsProof: false)
            let operation = try await control.start(.install(InstallRequest(image: "debian-12")), on: reply.machine.rawValue, by: "test")
            let task = try await control.task(for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
            guard case .install(let work) = task.work else { Issue.record("no work: \(task)"); return }
            #expect(work.facts == Self.gpt4096)
            let file = try #require(work.seed(sectorBytes: 4096))
            let seed = try await control.seed(of: operation.id, base: testBase, wantsProof: false, sectorBytes: 4096)
            #expect(file == SeedFile(path: "/seeds/\(operation.id)?sector=4096", digest: seed.digest, bytes: Int64(seed.bytes.count)))
            // FAT §3.1: bytes in a sector.
            #expect(Array(seed.bytes[11...12]) == [0x00, 0x10])
            #expect(work.seed(sectorBytes: 512)?.digest != seed.digest && work.seed(sectorBytes: 520) == nil)
            // What was weighed when it was asked for is never less than what is written.
            let expected = SeedVolume.expectedBytes(
                InstallRequest(image: "debian-12"), of: try await control.machine(named: reply.machine.rawValue).value)
            #expect(Int64(seed.bytes.count) <= expected)
        }
    }

    @Test("what is weighed for first-boot data is never less than what is written", arguments: DataSource.allCases, [512, 4096])
    func seedBound(_ source: DataSource, _ sector: Int) async throws {
        let control = try await open(MemoryStore(), images: OneImage(facts: Self.mbr))
        try await running(control) { control in
            let id = try await boot(control).machine
            try await control.record(inventory(Bad(name: "", facts: Self.mbr, code: "")), of: id, wantsProof: false)
            let data = Base64Bytes(base64: String(repeating: "QUFB", count: 1_000_000))
            let network = source == .configDrive ? nil : "version: 2\nethernets: {}\n# " + String(repeating: "x", count: 200_000)
            let request = InstallRequest(image: "debian-12", userData: data, networkConfig: network, dataSource: source)
            let operation = try await control.start(.install(request), on: id.rawValue, by: "test")
            let seed = try await control.seed(of: operation.id, base: testBase, wantsProof: false, sectorBytes: sector)
            let machine = try await control.machine(named: id.rawValue).value
            #expect(Int64(seed.bytes.count) <= SeedVolume.expectedBytes(request, of: machine))
        }
    }
}
