/// A former installation on another disk of the machine, whose first-boot data is put out of force when a new one is written:
/// two of them, and the new system might take the other's.
public struct RetiredSeed: Codable, Sendable, Equatable {
    /// The disk's serial or WWN, for people. The agent goes by what follows.
    public var disk: String
    public var machine: MachineID
    public var operation: OperationID
    /// The tag of its marker, which the control plane has found to be its own. The agent touches no disk without it.
    public var tag: String
    /// Whether its partition table is put out of force, too: file systems from builds of one image have the same identifiers, and
    /// a kernel would take either. Its data stay as they are. False only in operations that a former version began.
    public var hidesSystem: Bool

    public init(disk: String, machine: MachineID, operation: OperationID, tag: String, hidesSystem: Bool) {
        self.disk = disk
        self.machine = machine
        self.operation = operation
        self.tag = tag
        self.hidesSystem = hidesSystem
    }

    public func isOf(_ record: InstallRecord) -> Bool {
        record.machine == machine && record.operation == operation && record.tag == tag
    }
}
