import Model

/// A BMC, a machine's health, and what proved its power, as people read them.
enum BMCText {
    static func state(_ bmc: BMC) -> String {
        switch bmc.observed.breaker {
        case .closed: bmc.observed.problem.map { $0.code } ?? "ok"
        case .open: "left alone: \(bmc.observed.problem?.code ?? "failed")"
        case .halfOpen: "being tried"
        }
    }

    static func text(_ bmc: BMC) -> String {
        var lines: [String] = []
        func add(_ name: String, _ value: String?) {
            if let value, !value.isEmpty { lines.append((name + ":").padded(to: 14) + Table.printable(value)) }
        }
        add("id", bmc.id.rawValue)
        add("kind", bmc.kind.rawValue)
        add("address", bmc.address)
        add("user", bmc.userName)
        add("machine", bmc.machine?.rawValue)
        add("system", bmc.system)
        add("vendor", bmc.facts?.vendor)
        add("model", bmc.facts?.model)
        add("firmware", bmc.facts?.firmware)
        add("serial", bmc.facts?.serial)
        add("uuid", bmc.facts?.systemUUID)
        add("macs", bmc.facts?.macs.map(\.description).joined(separator: " "))
        add("certificate", bmc.trustsAuthorities ? "any that the server's CAs vouch for" : bmc.fingerprint)
        add("options", bmc.options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " "))
        add("power", bmc.observed.power.map { "\($0.state.rawValue), read \(Quantity.ago($0.at) ?? "never")" })
        add("state", state(bmc))
        if let problem = bmc.observed.problem {
            lines.append("")
            lines.append(ProblemText.text(problem, terminal: .standard))
        }
        return lines.joined(separator: "\n")
    }

    static func health(_ health: MachineHealth, terminal: Terminal = .standard) -> String {
        var table = Table(["SENSOR", "KIND", "VALUE", "HEALTH"])
        for reading in health.readings {
            let value = reading.value.map { "\(rounded($0)) \(reading.unit ?? "")" }
            table.add([reading.name, reading.kind.rawValue, value, reading.health.rawValue])
        }
        let heading = "health: \(health.health.rawValue)   power: \(health.power.rawValue)"
        return health.readings.isEmpty ? heading : heading + "\n" + table.text(terminal: terminal)
    }

    private static func rounded(_ value: Double) -> String {
        let hundredths = (value * 100).rounded() / 100
        return hundredths == hundredths.rounded() ? String(Int(hundredths)) : String(hundredths)
    }
}
