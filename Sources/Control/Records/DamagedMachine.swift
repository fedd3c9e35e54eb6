internal import FoundationEssentials
public import Model
public import Store
public import Wire

/// A machine whose record cannot be read. It is neither booted into the agent nor touched; what can still be read of it
/// stays taken: its id, its name, its ports.
public struct DamagedMachine: Sendable, Equatable {
    public var id: MachineID
    public var name: String?
    public var macs: Set<MACAddress>
    public var revision: Revision

    init(id: MachineID, in stored: StoredValue) {
        self.id = id
        revision = stored.modifiedRevision
        let outline = try? RecordCoding.decode(Outline.self, from: stored.value)
        name = outline?.name
        // Of a record that is torn: any text in it that has the form of a port's address.
        let ports = outline?.interfaces?.compactMap { $0.mac.flatMap { MACAddress($0) } } ?? []
        macs = Set(ports.isEmpty ? Self.addresses(in: stored.value) : ports)
    }

    private struct Outline: Decodable {
        struct Port: Decodable {
            var mac: String?
            init(from decoder: any Decoder) throws {
                mac = try? decoder.container(keyedBy: Keys.self).decode(String.self, forKey: .mac)
            }
            enum Keys: String, CodingKey { case mac }
        }
        var name: String?
        var interfaces: [Port]?
        enum Keys: String, CodingKey { case name, interfaces }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Keys.self)
            name = try? container.decode(String.self, forKey: .name)
            interfaces = try? container.decode([Port].self, forKey: .interfaces)
        }
    }

    static func addresses(in bytes: [UInt8]) -> [MACAddress] {
        let length = 17
        guard bytes.count >= length else { return [] }
        var found: [MACAddress] = []
        var index = 0
        while index + length <= bytes.count {
            let window = bytes[index..<index + length]
            let hasForm = window.enumerated().allSatisfy { offset, byte in
                offset % 3 == 2 ? byte == UInt8(ascii: ":") : Character(Unicode.Scalar(byte)).isHexDigit
            }
            if hasForm, let mac = MACAddress(String(decoding: window, as: UTF8.self)) {
                found.append(mac)
                index += length
            } else {
                index += 1
            }
        }
        return found
    }

    public var problem: Problem { .damagedRecord(Machine.prefix + id.rawValue) }
}

extension BootGate {
    /// The gate does not decide for a machine whose record cannot be read: it boots what is on its disk.
    static func decide(damaged machine: DamagedMachine, policy: DiscoveryPolicy) -> BootVerdict {
        if policy == .watch { return .leave(why: "this network only watches") }
        return .localDisk(why: "the record of \(machine.id) cannot be read, so nothing is done to it; see hostler store check")
    }
}

extension Problem {
    /// A record that cannot be read.
    public static func damagedRecord(_ key: String, detail: String? = nil) -> Problem {
        Problem(
            "record-damaged", status: 500, title: "The record at \(key) cannot be read", detail: detail,
            remedy: "Everything else works. See what is wrong with it: hostler store check. "
                + "Restore a backup, or take it out with the server stopped: hostler store repair.")
    }
}

extension DamagedRecords {
    /// How many of them a person is told one by one.
    private static let named = 8

    /// For those who look at the server's state.
    public var warnings: [Problem] {
        let all = all
        var warnings = all.prefix(Self.named).map { Problem.damagedRecord($0.key, detail: $0.why) }
        if all.count > Self.named {
            warnings.append(
                Problem(
                    "records-damaged", status: 500, title: "\(all.count - Self.named) more records cannot be read",
                    remedy: "See them all: hostler store check"))
        }
        return warnings
    }
}
