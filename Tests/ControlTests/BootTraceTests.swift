import Control
import Model
import Testing

@Suite("The trace of a boot")
struct BootTraceTests {
    private func at(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: 1_700_000_000_000 + seconds * 1000) }

    @Test("says where the seconds to an installed system went")
    func installedSystem() {
        var trace = BootTrace()
        trace.note(.firmware, at: at(10))
        trace.note(.firmware, at: at(12))
        trace.note(.script, at: at(14))
        trace.note(.system, at: at(20))
        trace.note(.system, at: at(25))
        let parts = trace.evidence(from: at(0), to: at(29))
        #expect(parts["firmwareSeconds"] == "10.0")
        #expect(parts["dhcpSeconds"] == "4.0")
        #expect(parts["systemSeconds"] == "6.0")
        #expect(parts["cloudInitSeconds"] == "9.0")
        #expect(parts["loadSeconds"] == nil)
    }

    @Test("begins anew with each boot, and a system's own questions before any script say nothing")
    func nextBoot() {
        var trace = BootTrace()
        trace.note(.system, at: at(1))
        trace.note(.firmware, at: at(2))
        trace.note(.script, at: at(3))
        trace.note(.system, at: at(5))
        trace.note(.firmware, at: at(100))
        trace.note(.script, at: at(101))
        let parts = trace.evidence(from: nil, to: at(104))
        #expect(parts["loadSeconds"] == "3.0")
        #expect(parts["firmwareSeconds"] == nil)
        #expect(parts["systemSeconds"] == nil)
    }

    @Test("has nothing to tell of a boot that it did not see")
    func unseen() {
        #expect(BootTrace().evidence(from: at(0), to: at(1)).isEmpty)
    }
}
