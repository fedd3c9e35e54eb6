import Control
import Foundation
import Model
import Testing

@testable import API

/// Reads Prometheus' text format 0.0.4 as strictly as its documentation has it; everything else is an error.
struct StrictExposition {
    struct Fault: Error, CustomStringConvertible {
        var description: String
    }
    struct Sample: Hashable {
        var name: String
        var labels: [String: String]
        var value: Double
    }

    var types: [String: String] = [:]
    var helps: [String: String] = [:]
    var samples: [Sample] = []

    init(_ text: String) throws {
        guard text.hasSuffix("\n") || text.isEmpty else { throw Fault(description: "the last line does not end") }
        var finished: Set<String> = []
        var current = ""
        var series: Set<String> = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            if let help = line.wholeMatch(of: #/\# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)/#) {
                let name = String(help.1)
                guard helps[name] == nil, finished.insert(name).inserted else { throw Fault(description: "HELP twice: \(line)") }
                helps[name] = try Self.unescaped(String(help.2), quotes: false)
                current = name
            } else if let type = line.wholeMatch(of: #/\# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)/#) {
                guard String(type.1) == current, types[current] == nil else { throw Fault(description: "TYPE out of place: \(line)") }
                types[current] = String(type.2)
            } else {
                let sample = try Self.sample(String(line))
                guard sample.name == current, types[current] != nil else { throw Fault(description: "a sample out of its group: \(line)") }
                if types[current] == "counter", sample.value < 0 { throw Fault(description: "a counter below 0: \(line)") }
                let key = sample.name + sample.labels.sorted { $0.key < $1.key }.map { "\u{1}\($0.key)\u{2}\($0.value)" }.joined()
                guard series.insert(key).inserted else { throw Fault(description: "a series twice: \(line)") }
                samples.append(sample)
            }
        }
    }

    private static func sample(_ line: String) throws -> Sample {
        guard let head = line.prefixMatch(of: /[a-zA-Z_:][a-zA-Z0-9_:]*/) else { throw Fault(description: "no metric: \(line)") }
        var rest = line[head.range.upperBound...]
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest = rest.dropFirst()
            while rest.first != "}" {
                guard let label = rest.prefixMatch(of: /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"/) else {
                    throw Fault(description: "no label: \(line)")
                }
                guard labels.updateValue(try unescaped(String(label.2), quotes: true), forKey: String(label.1)) == nil else {
                    throw Fault(description: "a label twice: \(line)")
                }
                rest = rest[label.range.upperBound...]
                if rest.first == "," { rest = rest.dropFirst() } else if rest.first != "}" { throw Fault(description: "labels: \(line)") }
            }
            rest = rest.dropFirst()
        }
        guard let value = rest.wholeMatch(of: /[ ](NaN|[+-]Inf|[+-]?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)/) else {
            throw Fault(description: "no value: \(line)")
        }
        let number: Double? =
            switch value.1 {
            case "NaN": .nan
            case "+Inf": .infinity
            case "-Inf": -.infinity
            default: Double(value.1)
            }
        guard let number else { throw Fault(description: "no number: \(line)") }
        return Sample(name: String(head.0), labels: labels, value: number)
    }

    private static func unescaped(_ text: String, quotes: Bool) throws -> String {
        var output = ""
        var isEscaped = false
        for character in text {
            if isEscaped {
                switch character {
                case "n": output += "\n"
                case "\\": output += "\\"
                case "\"" where quotes: output += "\""
                default: throw Fault(description: "a wrong escape in “\(text)”")
                }
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else {
                output.append(character)
            }
        }
        guard !isEscaped else { throw Fault(description: "an escape without an end in “\(text)”") }
        return output
    }
}

@Suite("Metrics") struct MetricsTests {
    private static func vitals() -> [BMCVitals] {
        var bmc = BMC(id: BMCID(unchecked: "bmc-0001"), kind: .redfish, address: "10.0.9.4", now: .init(milliseconds: 1))
        bmc.machine = MachineID(unchecked: "m-0001")
        bmc.observed.power = ObservedPower(state: .on, at: .init(milliseconds: 1_700_000_000_250))
        bmc.observed.faults = [
            HardwareFault(sensor: "Fan\"1\"", kind: .fan, health: .critical, why: "0 RPM", since: .init(milliseconds: 5))
        ]
        bmc.facts = BMCFacts()
        bmc.facts?.vendor = "Back\\slash\nand “Anführung”\""
        var silent = BMC(id: BMCID(unchecked: "bmc-0002"), kind: .ipmi, address: "10.0.9.5", now: .init(milliseconds: 1))
        silent.observed.breaker = .open
        let readings = [
            SensorReading(name: "Fan\"1\"", kind: .fan, value: 0, unit: "RPM", health: .critical),
            SensorReading(name: "Fan2", kind: .fan, value: 45, unit: "%", health: .ok),
            SensorReading(name: "CPU\\1 Temp 🔥", kind: .temperature, value: 48.5, unit: "Cel", health: .ok),
            SensorReading(name: "12V", kind: .voltage, value: 12.125, unit: "V", health: .ok),
            SensorReading(name: "PSU1", kind: .power, value: 84.5, unit: "W", health: .warning),
            SensorReading(name: "PSU2", kind: .power, value: nil, unit: "W", health: .unknown),
            SensorReading(name: "I1", kind: .current, value: 1e-7, unit: "A", health: .ok),
        ]
        return [
            BMCVitals(bmc: bmc, health: .critical, readings: readings, readAt: .init(milliseconds: 1_700_000_000_000)),
            BMCVitals(bmc: silent, health: .unknown, readings: [], readAt: nil),
        ]
    }

    @Test("what sensors and BMCs are called comes back unharmed, and every family has its type") func sensors() throws {
        var metrics = ServerMetrics()
        metrics.add(bmcs: Self.vitals())
        let read = try StrictExposition(metrics.exposition.text)
        func value(_ name: String, _ labels: [String: String]) -> Double? {
            read.samples.first { sample in sample.name == name && labels.allSatisfy { sample.labels[$0.key] == $0.value } }?.value
        }
        #expect(value("hostler_sensor_fan_rpm", ["sensor": "Fan\"1\"", "machine": "m-0001", "bmc": "bmc-0001"]) == 0)
        #expect(value("hostler_sensor_fan_ratio", ["sensor": "Fan2"]) == 0.45)
        #expect(value("hostler_sensor_temperature_celsius", ["sensor": "CPU\\1 Temp 🔥"]) == 48.5)
        #expect(value("hostler_sensor_voltage_volts", [:]) == 12.125)
        #expect(value("hostler_sensor_current_amperes", [:]) == 1e-7)
        #expect(value("hostler_sensor_health", ["sensor": "PSU1", "kind": "power"]) == 1)
        #expect(value("hostler_sensor_health", ["sensor": "PSU2"]) == nil)
        #expect(value("hostler_machine_health", ["machine": "m-0001"]) == 2)
        #expect(value("hostler_machine_hardware_faults", ["health": "critical"]) == 1)
        #expect(value("hostler_bmc_info", ["vendor": "Back\\slash\nand “Anführung”\""]) == 1)
        #expect(value("hostler_bmc_up", ["bmc": "bmc-0001"]) == 1)
        #expect(value("hostler_bmc_up", ["bmc": "bmc-0002"]) == 0)
        #expect(value("hostler_bmc_breaker", ["bmc": "bmc-0002", "state": "open"]) == 1)
        #expect(value("hostler_bmc_power_on", ["bmc": "bmc-0001"]) == 1)
        #expect(value("hostler_bmc_power_read_timestamp_seconds", ["bmc": "bmc-0001"]) == 1_700_000_000.25)
    }

    @Test("a name is told once, names and numbers are what the format allows") func format() throws {
        var exposition = Exposition()
        exposition.add("a-b.c", .gauge, "two\nlines and a \\ backslash", [.init(.nan), .init(.infinity, [("1x", "y")])])
        exposition.add("a_b_c", .counter, "again", [.init(1)])
        exposition.add("empty", .gauge, "nothing", [])
        exposition.add("9lives", .counter, "", [.init(9_007_199_254_740_991), .init(1.5e300, [("a", "")])])
        let read = try StrictExposition(exposition.text)
        #expect(read.types == ["a_b_c": "gauge", "_9lives": "counter"])
        #expect(read.helps["a_b_c"] == "two\nlines and a \\ backslash")
        #expect(read.samples.map(\.value).dropFirst() == [.infinity, 9_007_199_254_740_991, 1.5e300])
        #expect(throws: StrictExposition.Fault.self) { try StrictExposition("a 1\n") }
        #expect(throws: StrictExposition.Fault.self) { try StrictExposition("# HELP a b\n# TYPE a gauge\na{x=\"\\q\"} 1\n") }
        #expect(throws: StrictExposition.Fault.self) { try StrictExposition("# HELP a b\n# TYPE a gauge\na 1\na 2\n") }
    }

    @Test("a viewer's token gets them, in the format's own type; every name is documented") func served() async throws {
        let document = try String(
            contentsOf: URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/metrics.md"), encoding: .utf8)
        try await Rack.with { rack in
            _ = try await rack.machine("one")
            let refused = try await rack.send(.GET, "/metrics", as: nil)
            #expect(refused.status == 401)
            let answer = try await rack.send(.GET, "/metrics", as: .viewer)
            #expect(answer.status == 200)
            #expect(answer.headers.first(name: "content-type") == "text/plain; version=0.0.4; charset=utf-8")
            var metrics = ServerMetrics()
            metrics.add(bmcs: Self.vitals())
            let server = try StrictExposition(answer.text)
            let all = Array(server.types.keys) + Array(try StrictExposition(metrics.exposition.text).types.keys)
            for name in all { #expect(document.contains("`\(name)`"), "\(name) is not in docs/metrics.md") }
            #expect(server.samples.contains { $0.name == "hostler_machines" && $0.labels == ["state": "ready"] && $0.value == 1 })
            #expect(server.samples.contains { $0.name == "hostler_dhcp_received_total" && $0.labels == ["network": "rack"] && $0.value == 7 })
        }
    }
}
