// One parser, fed by libFuzzer; which one is decided at compile time (scripts/fuzz.sh).
// A parser may refuse anything; it may not trap, hang, or grow without limit.
import BlockIO
import FoundationEssentials
import HostFacts
import Metadata
import Model
import NetBoot
import OCI
import TPM
import Wire

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: start, count: count))
    #if DHCP
        // What can be parsed can be written, and read again.
        if let message = try? DHCPMessage(parsing: bytes) {
            _ = try? DHCPMessage(parsing: message.serialize())
            _ = BootQuestion(message)
        }
    #elseif TFTP
        if let packet = try? TFTPPacket(parsing: bytes) { _ = try? TFTPPacket(parsing: packet.serialize()) }
        _ = try? TFTPPath(String(decoding: bytes, as: UTF8.self))
    #elseif SMBIOS
        _ = try? SMBIOSFacts(entryPoint: Array(bytes.prefix(32)), table: Array(bytes.dropFirst(32)))
    #elseif LLDP
        _ = try? LLDPDataUnit(parsing: bytes)
        _ = try? LLDPDataUnit(parsingFrame: bytes)
    #elseif CHUNKS
        _ = try? ChunkIndex(parsing: bytes)
    #elseif PARTITIONS
        for blockBytes in [512, 4096] {
            guard let table = try? PartitionTable(parsing: bytes, blockBytes: blockBytes) else { continue }
            _ = (table.endBytes, table.tailBytes, table.hasFreeEntry, table.hasBootCode, table.systemPartitions)
            for partition in table.partitionRanges where partition.count >= UInt64(InstallMarker.byteCount) {
                _ = try? SeedRetirement.system(partition, table: table) { count, offset in piece(bytes, count, offset) }
            }
        }
        _ = try? InstallMarker(parsing: bytes)
        // The volume repeats them without end, so that long chains have something to lead to.
        _ = try? FATReader { count, offset in piece(bytes, count, offset) }.entries(of: ["EFI", "BOOT"])
    #elseif CONTENTS
        // The first two bytes say how large the disk is and of which blocks; the rest is its start, and again its end.
        let body = Array(bytes.dropFirst(2))
        let byteCount = UInt64(body.count) << UInt64(bytes.first.map { $0 % 24 } ?? 0)
        let scan = DiskScan(byteCount: byteCount, blockBytes: bytes.count > 1 && bytes[1] & 1 == 1 ? 4096 : 512) { offset, wanted in
            var window = [UInt8](repeating: 0, count: wanted)
            for start in [0, byteCount - UInt64(body.count)] {
                let shared = (start..<start + UInt64(body.count)).clamped(to: offset..<offset + UInt64(wanted))
                for place in shared { window[Int(place - offset)] = body[Int(place - start)] }
            }
            return window
        }
        precondition(scan.items.count <= DiskScan.itemLimit && scan.partitions <= 1024)
        precondition(scan.items.allSatisfy { isShown($0.label) && ($0.label ?? "").utf8.count <= 108 })
        precondition(!scan.isEmpty || body.allSatisfy { $0 == 0 })
    #elseif TPMSTRUCTURES
        // What can be parsed is written as it was: a signature is over the bytes, a name is their hash.
        if let area = try? TPMPublicArea(parsing: bytes) { precondition(area.serialize() == bytes) }
        if let signature = try? TPMSignature(parsing: bytes) { precondition(signature.serialize() == bytes) }
        if let quote = try? TPMQuote(parsing: bytes) { _ = try? TPMQuote(parsing: quote.serialize()) }
        _ = try? TPMResponse(parsing: bytes, hasHandle: true)
    #elseif EVENTLOG
        if let log = try? EventLog(parsing: bytes) { _ = log.events.map(\.summary) + [String(log.startupLocality)] }
    #elseif HELLO
        if let hello = read(HelloRequest.self, bytes) {
            precondition(hello.macs.count <= AgentLimits.helloPorts && isShown(hello.serial) && isShown(hello.uuid) && isShown(hello.version))
            check(hello)
        }
        if let enrolment = read(TPMEnrolment.self, bytes) { check(enrolment) }
        if let proof = read(TPMProof.self, bytes) { check(proof) }
    #elseif INVENTORY
        if let inventory = read(Inventory.self, bytes) {
            precondition(inventory.nics.count <= AgentLimits.nics && inventory.disks.count <= AgentLimits.disks)
            for disk in inventory.disks {
                precondition(disk.bytes >= 0 && disk.logicalBlockBytes.nonzeroBitCount == 1 && (512...65_536).contains(disk.logicalBlockBytes))
                precondition(isShown(disk.serial) && isShown(disk.model) && isShown(disk.name) && isShown(disk.contents?.summary))
                precondition((disk.contents?.items.count ?? 0) <= DiskContents.itemLimit)
            }
            for nic in inventory.nics { precondition(isShown(nic.name) && isShown(nic.neighbour?.systemName) && isShown(nic.neighbour?.port)) }
            if let fitting = try? inventory.fitting() {
                var machine = machine
                machine.observed.inventory = fitting
                machine.judgeDisks(marked: [])
                precondition(isShown(machine.foreignContents) && (machine.foreignContents ?? "").utf8.count <= 512)
                machine.noteWiped([])
                machine.takeDisks()
                precondition(machine.foreignContents == nil)
                check(machine)
            }
        }
    #elseif REPORT
        // The first byte moves the clock, so that what a report leaves is judged at different times.
        // An operation's id is the server's own, of eleven characters: a hold's is made of it.
        if let report = read(StepReport.self, Array(bytes.dropFirst())), report.operation.rawValue.utf8.count <= 11 {
            precondition(report.evidence.allSatisfy { isShown($0.key) && isShown($0.value, inLines: true) } && isShown(report.problem?.title))
            let now = Timestamp(milliseconds: 1_700_000_000_000)
            var transition = OperationTransition.begin(
                id: report.operation, request: .install(InstallRequest(image: "i")), machine: machine, by: "fuzz", now: now)
            transition.agentArrived(AgentPresence(boot: "b", since: now, version: "1"), now)
            var same = report
            same.generation = transition.operation.generation
            for report in [report, same] { transition.report(report, now) }
            _ = transition.timePassed(now + .seconds(Int64(bytes[0]) << 20))
            check(transition.operation)
            check(transition.machine)
        }
    #elseif LOG
        if let batch = read(LogBatch.self, bytes) {
            precondition(batch.lines.count <= AgentLimits.logLines)
            for line in batch.lines {
                precondition(line.uptimeMilliseconds >= 0 && line.text.utf8.count <= AgentLimits.logLineBytes && isShown(line.text))
            }
        }
    #elseif TASK
        if let task = read(AgentTask.self, bytes) { check(task) }
        if let query = read(TaskQuery.self, bytes) { check(query) }
        if let problem = read(Problem.self, bytes) { precondition(isShown(problem.title) && (100...599).contains(problem.status)) }
    #elseif MARKERS
        // As the last 4 KiB of a partition, and as the payload of a marker that is whole.
        for marker in [try? InstallMarker(parsing: bytes), try? InstallMarker(payload: bytes)].compactMap({ $0 }) {
            precondition((try? InstallMarker(parsing: marker.encoded())) == marker)
            if let record = read(InstallRecord.self, marker.payload) {
                precondition(isShown(record.image) && isShown(record.hostname) && record.generation <= 1 << 62)
                check(record)
            }
        }
    #elseif BOOTSCRIPT
        let (path, query) = FormText.split(String(decoding: bytes, as: UTF8.self))
        precondition(query.count <= FormText.pairLimit && path.utf8.count <= 3 * count)
        if let mac = query["mac"].flatMap({ MACAddress($0) }) {
            let url = "http://192.0.2.1/boot/script?mac=\(mac)&platform=\(query["platform"] == "efi" ? "efi" : "bios")"
            for script in [
                IPXEScript.agent(kernelURL: url, initrdURLs: [url], commandLine: "hostler.mac=\(mac)", retryURL: url),
                .refuse(reason: IPXEScript.printable(path), retryURL: url, seconds: 30),
            ] { _ = try? script.render() }
        }
        _ = FormText.pairs(bytes)
    #elseif PRINTABLE
        let text = String(decoding: bytes, as: UTF8.self)
        for shown in [PrintableText.line(text), PrintableText.lines(text, limitBytes: count / 2)] {
            precondition(isShown(shown, inLines: true) && PrintableText.lines(shown) == shown)
        }
    #elseif ROUTER
        _ = RouterDiscovery(parsing: bytes)
    #elseif RMCP
        // What is no message of a session's is answered or dropped by its form alone.
        switch IPMIDatagram(parsing: bytes) {
        case .plain(let request): precondition(IPMIRequest(parsing: request.bytes[...]) == request)
        case .packet(let packet): precondition(packet.body.count <= 1024)
        case .presencePing, nil: break
        }
    #elseif REDFISH
        // As a reply, as a time, and as pieces of a stream of events.
        _ = BMCClock.time(String(decoding: bytes, as: UTF8.self))
        if let json = try? JSONParser.parse(bytes) { _ = BMCClock.time(json["Created"]?.text) }
        var stream = ServerSentEvents()
        for piece in [bytes.prefix(count / 3), bytes.dropFirst(count / 3)] { _ = try? stream.receive(Array(piece)) }
    #elseif METADATA
        // Whatever comes, a stranger to the key gets no secret.
        if case .head(let head, let byteCount) = RequestHead.read(bytes[...]) {
            precondition(byteCount <= count)
            switch desk.answer(head, from: asker, view: view, now: Timestamp(milliseconds: 0)) {
            case .secret(.rawConfig), .reply, .refuse, .issueToken(_, .wire), .watch: break
            case .secret, .identity, .issueToken: fatalError("a secret without the key")
            }
        }
        _ = MetadataSessions { _ in [] }.check(String(decoding: bytes, as: UTF8.self), of: asker, now: Timestamp(milliseconds: 0))
    #endif
    return 0
}

#if HELLO || INVENTORY || REPORT || LOG || TASK || MARKERS
    /// As the server and the agent read JSON.
    private func read<T: Decodable>(_ type: T.Type, _ bytes: [UInt8]) -> T? { try? JSONDecoder().decode(type, from: Data(bytes)) }

    /// What was decoded can be stored and read again, and is then the same bytes.
    private func check<T: Codable>(_ value: T) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        guard let once = try? encoder.encode(value), let again = read(T.self, Array(once)), let twice = try? encoder.encode(again) else {
            fatalError("it cannot be encoded, or not be read again")
        }
        precondition(once == twice)
    }

    private let machine = Machine(
        id: MachineID(unchecked: "m-f0zz00"), name: try! DisplayName("fuzz"), interfaces: [Interface(mac: MACAddress(value: 1))],
        now: Timestamp(milliseconds: 0))
#endif
#if HELLO || INVENTORY || REPORT || LOG || TASK || MARKERS || PRINTABLE || CONTENTS
    /// Whether text holds nothing that a terminal obeys.
    private func isShown(_ text: String?, inLines: Bool = false) -> Bool {
        (text ?? "").unicodeScalars.allSatisfy {
            PrintableText.isPrintable($0) || $0 == "\u{200c}" || $0 == "\u{200d}" || (inLines && ($0 == "\n" || $0 == "\t"))
        }
    }
#endif
#if REPORT
    /// Of the BMCs' part of the control plane a transition needs this.
    enum BMCDesk { static func evidence(_ problem: Problem) -> [String: String] { ["code": problem.code] } }
#endif

#if METADATA
    private let asker = Asker(
        machine: MachineID(unchecked: "m-fuzz00"), incarnation: "op-fuzz0000", address: IPv4Address(value: 0x0a00_0001),
        mac: MACAddress(value: 0x0200_0000_0001))
    // A tag that no input can hold: it is longer than a token has room for.
    private let desk = MetadataDesk(
        sessions: MetadataSessions { _ in Array(repeating: 0xa5, count: 33) }, policy: MetadataPolicy(allowsTokenless: true))
    private let view: InstanceView = {
        let machine = Machine(
            id: asker.machine, name: try! DisplayName("fuzz"), interfaces: [Interface(mac: asker.mac)], now: Timestamp(milliseconds: 0))
        let prefix = IPv4Prefix(address: asker.address, length: 24)!
        return InstanceView(
            machine: machine, operation: nil, placement: Placement(region: "fuzz", zone: "a", prefix: prefix), address: asker.address, mac: asker.mac)
    }()
#endif

#if PARTITIONS
    /// A disk as long as anybody wants, that has nothing but these bytes, again and again.
    private func piece(_ bytes: [UInt8], _ count: Int, _ offset: UInt64) -> [UInt8] {
        guard !bytes.isEmpty else { return [UInt8](repeating: 0, count: count) }
        return (0..<count).map { bytes[Int((offset &+ UInt64($0)) % UInt64(bytes.count))] }
    }
#endif
