/// Where the files of one lab lie.
public struct LabPaths: Hashable, Sendable {
    public static let defaultStateDirectory = "/var/lib/hostler/lab"

    /// The lab's own folder; removed with the lab.
    public let directory: String

    /// `stateDirectory` holds one folder per lab. Its path may have about 40
    /// bytes at most, as the kernel limits a socket's path to 107 (unix(7)).
    public init(_ lab: LabName, stateDirectory: String = LabPaths.defaultStateDirectory) throws(LabError) {
        directory = "\(stateDirectory)/\(lab.text)"
        let longest = machine(String(repeating: "m", count: VirtualMachineSpec.longestName)).serialSocket
        guard stateDirectory.utf8.first == UInt8(ascii: "/"), longest.utf8.count <= 107 else {
            throw LabError(
                .invalidName, "the state directory \(stateDirectory) is relative or too long for sockets in it",
                remedy: "Give a shorter absolute path, such as \(Self.defaultStateDirectory).")
        }
    }

    public var record: String { "\(directory)/lab.json" }
    public var controlSocket: String { "\(directory)/lab.sock" }
    public var processFile: String { "\(directory)/lab.pid" }
    public var log: String { "\(directory)/lab.log" }
    public var machines: String { "\(directory)/machines" }

    public func machine(_ name: String) -> MachinePaths {
        MachinePaths(directory: "\(machines)/\(name)")
    }
}

/// Where the files of one machine of a lab lie.
public struct MachinePaths: Hashable, Sendable {
    public let directory: String

    public func disk(_ index: Int) -> String { "\(directory)/disk\(index).raw" }
    public var firmwareVariables: String { "\(directory)/OVMF_VARS.fd" }
    /// The image in the BMC's virtual drive.
    public var bmcDisc: String { "\(directory)/bmc-disc.iso" }
    public var bmcCertificates: String { "\(directory)/bmc.json" }
    public var consoleLog: String { "\(directory)/console.log" }
    /// Raw bytes both ways, the ring buffer first; any number of clients.
    public var consoleSocket: String { "\(directory)/console.sock" }
    /// QEMU's end of the serial port: one client, the lab itself.
    public var serialSocket: String { "\(directory)/serial.sock" }
    public var qmpSocket: String { "\(directory)/qmp.sock" }
    public var processFile: String { "\(directory)/pid" }
    public var qemuLog: String { "\(directory)/qemu.log" }
}
