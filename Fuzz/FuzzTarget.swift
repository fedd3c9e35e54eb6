// One parser, fed by libFuzzer; which one is decided at compile time (scripts/fuzz.sh).
// A parser may refuse anything; it may not trap, hang, or grow without limit.
import BlockIO
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
        _ = try? PartitionTable(parsing: bytes, blockBytes: 512)
        _ = try? InstallMarker(parsing: bytes)
    #elseif TPMSTRUCTURES
        // What can be parsed is written as it was: a signature is over the bytes, a name is their hash.
        if let area = try? TPMPublicArea(parsing: bytes) { precondition(area.serialize() == bytes) }
        if let signature = try? TPMSignature(parsing: bytes) { precondition(signature.serialize() == bytes) }
        if let quote = try? TPMQuote(parsing: bytes) { _ = try? TPMQuote(parsing: quote.serialize()) }
        _ = try? TPMResponse(parsing: bytes, hasHandle: true)
    #elseif EVENTLOG
        if let log = try? EventLog(parsing: bytes) { _ = log.events.map(\.summary) + [String(log.startupLocality)] }
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
