import FoundationEssentials
import Model
import Testing
import Wire

@Suite("What machines say is bounded") struct BoundedDecodingTests {
    private func decode<T: Decodable>(_ type: T.Type, _ json: String) throws -> T {
        try JSONDecoder().decode(type, from: Data(json.utf8))
    }

    private func text(_ text: String) throws -> String { String(decoding: try JSONEncoder().encode(text), as: UTF8.self) }

    @Test("progress is never below nothing nor above all") func progress() throws {
        for (done, total) in [(Int64.min, Int64.max), (.max, 1), (-1, -1), (5, 3), (.max, 0), (1 << 61, 1 << 62)] {
            for progress in [
                Progress(done: done, total: total), try decode(Progress.self, #"{"done":\#(done),"total":\#(total),"unit":"bytes"}"#),
            ] {
                #expect((0...Int64(1) << 60).contains(progress.done) && (0...Int64(1) << 60).contains(progress.total))
                #expect(progress.total == 0 || progress.done <= progress.total)
                #expect((0...1).contains(progress.fraction))
            }
        }
        #expect(Progress(done: 7, total: 0).done == 7)
    }

    @Test("a report's text is printable and short") func report() throws {
        let long = String(repeating: "long ", count: 10_000)
        let json = """
            {"operation":"op-0000","generation":18446744073709551615,"step":"write-image","kind":"failed",
             "evidence":{\((0..<5000).map { "\"k\($0)\":\"v\"" }.joined(separator: ",")),"a\\u001b":\(try text("\u{202e}" + long))},
             "problem":{"code":"x y","title":\(try text("\u{1b}]0;owned\u{7}" + long)),"detail":"one\\ntwo\\u009b1m","status":-5}}
            """
        let report = try decode(StepReport.self, json)
        #expect(report.evidence.count == AgentLimits.evidenceFacts)
        #expect(report.evidence.values.allSatisfy { $0.utf8.count <= AgentLimits.evidenceValueBytes })
        #expect(report.evidence["a�"]?.hasPrefix("long long") == true)
        let problem = try #require(report.problem)
        #expect(problem.code == "unnamed" && problem.status == 100 && problem.title.hasPrefix("�]0;owned�"))
        #expect(problem.title.utf8.count <= 512 && problem.detail == "one\ntwo�1m")
        #expect(report.generation == 1 << 62)
    }

    @Test("evidence does not grow without end, however often it is added to") func evidence() {
        var facts: [String: String] = ["serial": "S1"]
        for round in 0..<200 {
            facts = EvidenceFacts.merged(
                facts, Dictionary(uniqueKeysWithValues: (0..<64).map { ("k\(round)-\($0)", String(repeating: "v", count: 3000)) }))
        }
        let bytes = facts.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        #expect(bytes <= AgentLimits.evidenceBytes && facts.count <= AgentLimits.evidenceFacts)
        // What is there can still be told anew.
        #expect(facts["serial"] == "S1")
        facts = EvidenceFacts.merged(facts, ["serial": "S2"])
        #expect(facts["serial"] == "S2")
    }

    @Test("an inventory's numbers are possible, its texts printable, its lists short") func inventory() throws {
        let nic =
            #"{"name":"eth0\u001b[2J","mac":"52:54:00:00:00:01","link":true,"megabitsPerSecond":-9223372036854775808,"neighbour":{"chassis":"sw\u009d","port":"\u202ep","vlan":9223372036854775807}}"#
        let disk = #"{"name":"sda","serial":"S\u0007","bytes":-1,"kind":"ssd","removable":false,"logicalBlockBytes":9223372036854775807}"#
        let record = #"{"machine":"m-000000","operation":"op-0000","generation":GEN,"image":"i","digest":"d","hostname":"h"}"#
        let json = """
            {"system":{"serial":\(try text(String(repeating: "9", count: 10_000)))},"firmware":{"mode":"uefi"},
             "cpus":[\(Array(repeating: #"{"model":"m","cores":-1,"threads":9223372036854775807}"#, count: 500).joined(separator: ","))],
             "memory":{"totalBytes":9223372036854775807,"dimms":[{"slot":"A1","bytes":-9223372036854775808}]},
             "nics":[\(Array(repeating: nic, count: 1000).joined(separator: ","))],
             "disks":[\(disk),\(disk.replacing("9223372036854775807", with: "-1")),\(disk.replacing("9223372036854775807", with: "4097"))],
             "pci":[],
             "installations":[{"disk":"sda","record":\(record.replacing("GEN", with: "18446744073709551615"))},
                              {"disk":"sdb","record":\(record.replacing("GEN", with: "7"))},{"disk":1}]}
            """
        let inventory = try decode(Inventory.self, json)
        #expect(inventory.system.serial?.utf8.count == AgentLimits.wordBytes)
        #expect(inventory.cpus.count == AgentLimits.cpus && inventory.cpus[0].cores == 0 && inventory.cpus[0].threads == 1 << 24)
        #expect(inventory.memory.totalBytes == 1 << 60 && inventory.memory.dimms[0].bytes == 0)
        #expect(inventory.nics.count == AgentLimits.nics && inventory.nics[0].name == "eth0�[2J" && inventory.nics[0].megabitsPerSecond == 0)
        #expect(
            inventory.nics[0].neighbour?.chassis == "sw�" && inventory.nics[0].neighbour?.port == "p" && inventory.nics[0].neighbour?.vlan == 4095)
        #expect(
            inventory.disks.map(\.logicalBlockBytes) == [65_536, 512, 4096] && inventory.disks[0].serial == "S�" && inventory.disks[0].bytes == 0)
        // What stands on a disk that is no record does not keep the machine from being looked at.
        #expect(inventory.installations.map(\.disk) == ["sdb"])
    }

    @Test("an inventory that is too large loses the names of PCI functions first, then those functions") func fitting() throws {
        var inventory = Inventory()
        #expect(try inventory.fitting() == inventory)
        for number in 0..<1500 {
            var function = Inventory.PCIFacts(address: "0000:00:\(number)", ids: "8086:100e")
            function.name = String(repeating: "n", count: 200)
            inventory.pci.append(function)
        }
        let unnamed = try inventory.fitting()
        #expect(unnamed.pci.count == 1500 && unnamed.pci.allSatisfy { $0.name == nil })
        for index in inventory.pci.indices { inventory.pci[index].className = String(repeating: "c", count: 200) }
        #expect(try inventory.fitting().pci.isEmpty)
        inventory.disks = (0..<1000).map { number in
            var disk = Inventory.DiskFacts(name: "sd\(number)", bytes: 1, kind: .hdd)
            disk.model = String(repeating: "m", count: 250)
            return disk
        }
        #expect(throws: Problem.self) { try inventory.fitting() }
    }

    @Test("a hello, a log and a TPM's proof are no longer than they need be") func others() throws {
        let macs = (0..<500).map { "\"52:54:00:00:\(String($0 / 100 + 10)):\(String($0 % 100 / 10))\($0 % 10)\"" }.joined(separator: ",")
        let hello = try decode(
            HelloRequest.self,
            """
            {"nonce":"n","sessionKey":"k","mac":"52:54:00:00:00:01","macs":[\(macs)],"uuid":"u\\u001b","serial":\(try text(String(repeating: "s", count: 9000))),
             "firmware":"bios","version":"1\\n2"}
            """)
        #expect(hello.macs.count == AgentLimits.helloPorts && hello.uuid == "u�" && hello.serial?.utf8.count == 256 && hello.version == "1 2")
        let line = #"{"uptimeMilliseconds":-9223372036854775808,"text":"a\nb\u001b"}"#
        let batch = try decode(LogBatch.self, "{\"lines\":[\(Array(repeating: line, count: 3000).joined(separator: ","))]}")
        #expect(batch.lines.count == AgentLimits.logLines && batch.lines[0].uptimeMilliseconds == 0 && batch.lines[0].text == "a b�")
        let key = String(repeating: "A", count: AgentLimits.tpmStructureBytes + 1)
        #expect(throws: DecodingError.self) { try decode(TPMEnrolment.self, #"{"endorsementKey":"\#(key)","attestationKey":"AA=="}"#) }
    }

    @Test("the next generation of a damaged record is a number") func generation() throws {
        var machine = Machine(id: MachineID(unchecked: "m-000000"), name: try DisplayName("m"), interfaces: [], now: .first)
        #expect(machine.nextGeneration == 1)
        machine.generation = .max
        #expect(machine.nextGeneration == .max)
    }
}
