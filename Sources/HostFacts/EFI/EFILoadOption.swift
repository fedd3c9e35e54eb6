public import Wire

/// Why an EFI variable could not be read.
public enum EFIParseError: Error, Equatable, Sendable, CustomStringConvertible {
    case truncated(TruncatedError)
    /// A list of 16-bit numbers with a byte left over.
    case oddLength(Int)

    public var description: String {
        switch self {
        case .truncated(let error): "EFI variable \(error)"
        case .oddLength(let count): "EFI list of 16-bit numbers has \(count) bytes"
        }
    }
}

/// A boot entry, the content of `Boot0001` (UEFI 2.10 §3.1.3).
public struct EFILoadOption: Hashable, Sendable {
    /// LOAD_OPTION_ACTIVE: without it the boot manager passes the entry over.
    public static let active: UInt32 = 1
    /// LOAD_OPTION_HIDDEN.
    public static let hidden: UInt32 = 8

    public var attributes: UInt32
    /// What a boot menu shows.
    public var description: String
    /// One or more device paths, each with its `end`.
    public var path: [EFIDevicePathNode]
    /// Handed to the loaded program.
    public var optionalData: [UInt8]

    public init(
        attributes: UInt32 = EFILoadOption.active, description: String, path: [EFIDevicePathNode],
        optionalData: [UInt8] = []
    ) {
        self.attributes = attributes
        self.description = description
        self.path = path
        self.optionalData = optionalData
    }

    /// An active entry for a loader on a GPT partition: `HD(…)/\EFI\debian\shimx64.efi`.
    public init(description: String, partition: EFIPartition, loader: String) {
        self.init(description: description, path: [.hardDrive(partition), .filePath(loader), .end])
    }

    public init(parsing bytes: [UInt8]) throws(EFIParseError) {
        do throws(TruncatedError) {
            var reader = ByteReader(bytes)
            attributes = try reader.readUInt32LE()
            let pathBytes = Int(try reader.readUInt16LE())
            var units: [UInt16] = []
            while true {
                let unit = try reader.readUInt16LE()
                if unit == 0 { break }
                units.append(unit)
            }
            description = String(decoding: units, as: UTF16.self)
            path = try Self.path(reader.read(pathBytes))
            optionalData = Array(reader.readRest())
        } catch {
            throw .truncated(error)
        }
    }

    private static func path(_ bytes: ArraySlice<UInt8>) throws(TruncatedError) -> [EFIDevicePathNode] {
        var reader = ByteReader(bytes)
        var nodes: [EFIDevicePathNode] = []
        while !reader.isAtEnd { nodes.append(try EFIDevicePathNode(from: &reader)) }
        return nodes
    }

    /// The content of the variable, without the attributes that efivarfs puts before it.
    public func serialize() -> [UInt8] {
        var nodes = ByteWriter()
        for node in path { node.write(to: &nodes) }
        var writer = ByteWriter()
        writer.writeLE(attributes)
        writer.writeLE(UInt16(truncatingIfNeeded: nodes.count))
        writer.write(UCS2.encodeTerminated(description))
        writer.write(nodes.bytes)
        writer.write(optionalData)
        return writer.bytes
    }

    public var isActive: Bool { attributes & Self.active != 0 }
    /// Whether the path goes through a network interface.
    public var isNetwork: Bool { path.contains { if case .macAddress = $0 { true } else { false } } }
    public var partition: EFIPartition? {
        path.lazy.compactMap { if case .hardDrive(let partition) = $0 { partition } else { nil } }.first
    }
}

/// A variable as efivarfs shows it: four bytes of attributes, then the content.
public struct EFIVariable: Hashable, Sendable {
    /// Non-volatile, for boot services and the running system: what boot variables have.
    public static let bootAttributes: UInt32 = 7

    public var attributes: UInt32
    public var content: [UInt8]

    public init(attributes: UInt32 = EFIVariable.bootAttributes, content: [UInt8]) {
        self.attributes = attributes
        self.content = content
    }

    public init(parsing file: [UInt8]) throws(EFIParseError) {
        do throws(TruncatedError) {
            var reader = ByteReader(file)
            attributes = try reader.readUInt32LE()
            content = Array(reader.readRest())
        } catch {
            throw .truncated(error)
        }
    }

    public func serialize() -> [UInt8] {
        var writer = ByteWriter()
        writer.writeLE(attributes)
        writer.write(content)
        return writer.bytes
    }
}

/// `BootOrder`, and the numbers of boot entries (UEFI 2.10 §3.3).
public enum EFIBootOrder {
    /// The vendor GUID of the boot variables, as efivarfs has it in file names.
    public static let globalVariableGUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

    public static func parse(_ content: [UInt8]) throws(EFIParseError) -> [UInt16] {
        guard content.count.isMultiple(of: 2) else { throw .oddLength(content.count) }
        return stride(from: 0, to: content.count, by: 2).map { UInt16(content[$0 + 1]) << 8 | UInt16(content[$0]) }
    }

    public static func serialize(_ order: [UInt16]) -> [UInt8] {
        order.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    }

    /// `Boot001A` for 26: four hexadecimal digits in upper case.
    public static func variableName(_ number: UInt16) -> String { "Boot" + hex(number, 4).uppercased() }

    /// The number in a name such as `Boot001A`; nil for `BootOrder` and the like.
    public static func number(ofVariable name: some StringProtocol) -> UInt16? {
        guard name.hasPrefix("Boot"), name.utf8.count == 8,
            name.utf8.dropFirst(4).allSatisfy({
                (0x30...0x39).contains($0) || (0x41...0x46).contains($0)
            })
        else { return nil }
        return UInt16(name.dropFirst(4), radix: 16)
    }

    /// The lowest number that no entry has; nil where all 65,536 are taken.
    public static func freeNumber(besides taken: Set<UInt16>) -> UInt16? {
        (UInt16.min...UInt16.max).first { !taken.contains($0) }
    }

    /// The order in which `disk` comes directly after the entry that the
    /// machine booted from just now, and that one comes first.
    ///
    /// The machine booted from the network to get here. To keep asking the
    /// network first is what lets the control plane decide every later boot,
    /// so that entry goes to the front, even past an old entry that failed this time and would not
    /// fail once the disk has a system. All others keep their order; none is lost. Without
    /// `current` (the firmware did not tell) the disk comes second.
    public static func placeDiskAfterCurrent(order: [UInt16], current: UInt16?, disk: UInt16) -> [UInt16] {
        let others = order.filter { $0 != disk && $0 != current }
        guard let current else { return Array(others.prefix(1)) + [disk] + others.dropFirst() }
        return (current == disk ? [disk] : [current, disk]) + others
    }
}
