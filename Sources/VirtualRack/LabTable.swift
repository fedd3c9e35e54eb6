/// A lab's status for people's eyes.
public enum LabTable {
    public static func text(_ status: RackStatus) -> String {
        var rows = [["MACHINE", "FIRMWARE", "MAC", "POWER", "EVIDENCE", "FAULTS"]]
        for machine in status.machines {
            rows.append([
                machine.spec.name, machine.spec.firmware.rawValue,
                machine.spec.nics.first.map { "\($0.mac)" } ?? "-", machine.power.state.rawValue,
                machine.power.evidence, list(machine.faults),
            ])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        let table = rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - cell.count + 2) }
            }
            return line
        }
        let bmcs = status.machines.compactMap { machine in
            machine.bmc.map { "\(machine.spec.name)’s BMC: \($0.url) \($0.user) \($0.password) \($0.certificate)" }
        }
        let head = [
            "lab \(status.lab): server \(status.server) on \(status.bridge) in network namespace \(status.namespace), "
                + "\(status.accelerator.rawValue), lab process \(status.pid)",
            "rack faults: \(list(status.faults))", "",
        ]
        return (head + table + (bmcs.isEmpty ? [] : [""] + bmcs)).joined(separator: "\n")
    }

    private static func list(_ faults: [Fault]) -> String {
        faults.isEmpty ? "none" : faults.map(\.description).joined(separator: " ")
    }
}
