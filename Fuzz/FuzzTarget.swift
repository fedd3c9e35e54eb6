// One parser, fed by libFuzzer; which one is decided at compile time (scripts/fuzz.sh).
// A parser may refuse anything; it may not trap, hang, or grow without limit.
import BlockIO
import HostFacts
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
    #endif
    return 0
}
