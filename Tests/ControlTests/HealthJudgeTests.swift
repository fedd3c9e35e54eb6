import Model
import Testing

@testable import Control

private func at(_ seconds: Int) -> Timestamp { Timestamp(milliseconds: Int64(seconds) * 1000) }

private func fan(_ name: String, _ rpm: Double?, _ health: HealthState = .ok, below: Double? = nil) -> SensorReading {
    var reading = SensorReading(name: name, kind: .fan, value: rpm, unit: "RPM", health: health)
    reading.lowerCritical = below
    return reading
}

private func supply(_ name: String, _ health: HealthState = .ok) -> SensorReading {
    SensorReading(name: name, kind: .power, value: 80, unit: "W", health: health)
}

@Suite("What is wrong with a machine's body") struct HealthJudgeTests {
    private func judge(_ confirmations: Int = 1, thresholds: [HealthPolicy.Threshold] = []) -> HealthJudge {
        HealthJudge(HealthPolicy(confirmations: confirmations, thresholds: thresholds))
    }

    @Test("a fan that dies is told after as many readings as confirm it, and once it turns again it is over") func fanDies() {
        var judge = judge(2)
        judge.read([fan("Fan1", 5400)], power: .on, at: at(0))
        #expect(judge.faults.isEmpty)
        judge.read([fan("Fan1", 0, .critical)], power: .on, at: at(60))
        #expect(judge.faults.isEmpty)
        judge.read([fan("Fan1", 0, .critical)], power: .on, at: at(120))
        #expect(
            judge.faults == [
                HardwareFault(sensor: "Fan1", kind: .fan, health: .critical, why: "0 RPM, critical by the BMC", since: at(120))
            ])
        judge.read([fan("Fan1", 5300)], power: .on, at: at(180))
        #expect(judge.faults.count == 1)
        judge.read([fan("Fan1", 5300)], power: .on, at: at(240))
        #expect(judge.faults.isEmpty)
    }

    @Test("one odd reading between good ones is none") func odd() {
        var judge = judge(2)
        for second in 0..<6 {
            judge.read([fan("Fan1", second.isMultiple(of: 2) ? 5400 : 0, second.isMultiple(of: 2) ? .ok : .critical)], power: .on, at: at(second))
            #expect(judge.faults.isEmpty)
        }
    }

    @Test("a fan that stands still has died only if it turned before, and only while the machine is on") func standsStill() {
        var judge = judge()
        judge.read([fan("Empty slot", 0), fan("Fan1", 5400)], power: .on, at: at(0))
        judge.read([fan("Empty slot", 0), fan("Fan1", 0)], power: .off, at: at(1))
        #expect(judge.faults.isEmpty)
        judge.read([fan("Empty slot", 0), fan("Fan1", 0)], power: .on, at: at(2))
        #expect(judge.faults.map(\.sensor) == ["Fan1"])
        #expect(judge.faults.first?.why == "0 RPM, it turned before")
    }

    @Test("a power supply that is no longer listed has dropped; a BMC that lists nothing has a bad moment") func dropped() {
        var judge = judge()
        judge.read([supply("PSU1"), supply("PSU2")], power: .on, at: at(0))
        judge.read([], power: .on, at: at(1))
        #expect(judge.faults.isEmpty)
        judge.read([supply("PSU1")], power: .on, at: at(2))
        #expect(judge.faults.map(\.sensor) == ["PSU2"])
        #expect(judge.faults.first?.why == "the BMC does not list it any more")
        judge.read([supply("PSU1"), supply("PSU2")], power: .on, at: at(3))
        #expect(judge.faults.isEmpty)
    }

    @Test("the BMC's thresholds and the operator's own count") func thresholds() {
        var judge = judge(thresholds: [.init(sensor: "inlet*", above: 35)])
        var hot = SensorReading(name: "CPU1 Temp", kind: .temperature, value: 97.25, unit: "Cel", health: .ok)
        hot.upperCritical = 95
        let inlet = SensorReading(name: "Inlet Temp", kind: .temperature, value: 36, unit: "Cel", health: .ok)
        judge.read([hot, inlet, fan("Fan1", 500, below: 600)], power: .on, at: at(0))
        #expect(
            judge.faults.map(\.why) == [
                "97.25 Cel, critical above 95 Cel", "500 RPM, critical below 600 RPM", "36 Cel, above the limit of 35 Cel",
            ])
    }

    @Test("a warning that becomes critical is told again; a restart tells nothing twice") func restart() {
        var first = judge()
        first.read([supply("PSU1", .warning)], power: .on, at: at(0))
        let warned = first.faults
        #expect(HealthChange.between([], warned).map(\.isOver) == [false])
        var second = HealthJudge(HealthPolicy(confirmations: 1), known: warned)
        second.read([supply("PSU1", .warning)], power: .on, at: at(60))
        #expect(second.faults == warned)
        #expect(HealthChange.between(warned, second.faults).isEmpty)
        second.read([supply("PSU1", .critical)], power: .on, at: at(120))
        let changes = HealthChange.between(warned, second.faults)
        #expect(changes.map(\.fault.health) == [.critical])
        #expect(changes.first?.wasCritical == false)
        second.read([supply("PSU1")], power: .on, at: at(180))
        let over = HealthChange.between(changes.map(\.fault), second.faults)
        #expect(over.map(\.isOver) == [true])
        #expect(over.first?.happening(at: "node1").message == "node1: power supply or power reading “PSU1” is right again")
    }

    @Test("a star in a threshold's sensor stands for any characters") func patterns() {
        #expect(SensorPattern.matches("*", "Fan1"))
        #expect(SensorPattern.matches("fan*a", "FAN 1 A"))
        #expect(SensorPattern.matches("*temp*", "CPU1 Temp"))
        #expect(SensorPattern.matches("a*b*c", "aXbXbXc"))
        #expect(!SensorPattern.matches("fan", "Fan1"))
        #expect(!SensorPattern.matches("*b", "abc"))
        #expect(!SensorPattern.matches("", "a"))
    }

    @Test("the ring keeps an hour of minutes, oldest first, and no more sensors than it may") func ring() {
        var ring = SensorRing()
        for minute in 0..<75 { ring.add(.ok, [fan("Fan1", Double(minute))], at: at(minute * 60)) }
        let history = ring.histories.first
        #expect(history?.samples.map(\.value) == (15..<75).map { Double($0) })
        #expect(history?.samples.first?.at == at(15 * 60))
        #expect(history?.reading.value == 74)
        ring.add(.ok, (0..<1000).map { fan("F\($0)", 1) }, at: at(5000))
        #expect(ring.latest.count == SensorRing.sensorLimit)
    }
}
