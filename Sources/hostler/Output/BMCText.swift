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
        add("because", bmc.binding.map { "\($0.basis == .hand ? "by hand" : "it was found so"), \($0.by), \($0.at)" })
        for finding in bmc.binding?.findings ?? [] { add("", finding.words) }
        add("not in", bmc.denied?.map(\.rawValue).joined(separator: " "))
        add("system", bmc.system)
        add("vendor", bmc.facts?.vendor)
        add("model", bmc.facts?.model)
        add("firmware", bmc.facts?.firmware)
        add("serial", bmc.facts?.serial)
        add("uuid", bmc.facts?.systemUUID)
        add("other serials", bmc.facts?.otherSerials?.joined(separator: " "))
        add("macs", bmc.facts?.macs.map(\.description).joined(separator: " "))
        add("link to host", bmc.facts?.hostInterfaces?.map(\.description).joined(separator: " "))
        add("certificate", bmc.trustsAuthorities ? "any that the server's CAs vouch for" : bmc.fingerprint)
        add("options", bmc.options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " "))
        add("power", bmc.observed.power.map { "\($0.state.rawValue), read \(Quantity.ago($0.at) ?? "never")" })
        add("state", state(bmc))
        if !proposals(bmc).isEmpty { lines += ["", proposals(bmc)] }
        if let problem = bmc.observed.problem {
            lines.append("")
            lines.append(ProblemText.text(problem, terminal: .standard))
        }
        return lines.joined(separator: "\n")
    }

    /// In a list: with a question mark where it is only proposed.
    static func machine(_ bmc: BMC) -> String? { bmc.machine?.rawValue ?? bmc.proposals?.first.map { "\($0.machine.rawValue)?" } }

    /// The machines that it may be in, and why; empty: none is proposed.
    static func proposals(_ bmc: BMC) -> String {
        guard bmc.machine == nil, let proposals = bmc.proposals, !proposals.isEmpty else { return "" }
        var lines = ["It may be in \(proposals.count == 1 ? "this machine" : "one of these machines"), and switches nothing until you say so:"]
        for proposal in proposals {
            lines.append("  \(proposal.machine)")
            lines += proposal.findings.map { "    " + Table.printable($0.words) }
        }
        lines.append("If it is: hostler bmc bind \(bmc.id) \(proposals.count == 1 ? proposals[0].machine.rawValue : "MACHINE")")
        lines.append("If it is not: hostler bmc unbind \(bmc.id)")
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

    static func histories(_ histories: SensorHistories, terminal: Terminal = .standard) -> String {
        var lines = ["read: \(histories.at.flatMap { Quantity.ago($0) } ?? "not since the server started")"]
        for fault in histories.faults {
            lines.append("\(fault.health.rawValue): \(Table.printable("\(fault.sensor): \(fault.why)")), since \(fault.since)")
        }
        guard !histories.sensors.isEmpty else { return lines.joined(separator: "\n") }
        var table = Table(["SENSOR", "NOW", "LOWEST", "MEAN", "HIGHEST", "READ", "COURSE", "HEALTH"])
        for sensor in histories.sensors {
            let values = sensor.samples.map(\.value)
            let unit = sensor.reading.unit ?? ""
            let mean = values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
            table.add([
                sensor.reading.name, sensor.reading.value.map { "\(rounded($0)) \(unit)" }, values.min().map(rounded), mean.map(rounded),
                values.max().map(rounded), String(values.count), course(values), sensor.reading.health.rawValue,
            ])
        }
        return (lines + [table.text(terminal: terminal)]).joined(separator: "\n")
    }

    /// The values as a line of blocks, oldest first, in up to 20 columns.
    static func course(_ values: [Double]) -> String {
        guard let low = values.min(), let high = values.max() else { return "" }
        let blocks = Array("▁▂▃▄▅▆▇█")
        let columns = min(values.count, 20)
        return String(
            (0..<columns).map { column -> Character in
                let part = values[column * values.count / columns..<(column + 1) * values.count / columns]
                let mean = part.reduce(0, +) / Double(part.count)
                let height = ((mean - low) / (high - low) * 7).rounded()
                return high > low && height.isFinite ? blocks[Int(min(7, max(0, height)))] : "▁"
            })
    }

    private static func rounded(_ value: Double) -> String {
        let hundredths = (value * 100).rounded() / 100
        return Int64(exactly: hundredths).map { String($0) } ?? String(hundredths)
    }
}
