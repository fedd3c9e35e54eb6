public import Model
public import Wire

/// Whether the board that boots by a machine's port is the machine's, of what it says of itself. ``SameMachine`` has the rules.
public enum BoardMatch {
    public static func findings(port: MACAddress, uuid: String?, serial: String?, _ machine: Machine) -> [FactFinding] {
        let system = machine.observed.inventory?.system
        return [
            FactFinding(.bootedMAC, .agrees, "\(port) is a port of the machine"),
            BMCMatch.uuid(uuid, system?.uuid, by: "the board"),
            BMCMatch.serial([serial].compactMap(\.self), machine, by: "the board"),
        ]
    }
}
