import Testing
import Wire

@testable import BootServices

@Suite("The choice between two listening sockets by where a connection comes from")
struct ReuseportFilterTests {
    /// What the program answers for a source address; classic BPF as socket filters have it, as far as it is used.
    private func run(_ filter: ReuseportFilter, _ source: IPv4Address) -> UInt32? {
        var (accumulator, index) = (UInt32(0), 0)
        while index < filter.program.count {
            let instruction = filter.program[index]
            let operand = UInt32(truncatingIfNeeded: instruction >> 32)
            index += 1
            switch instruction & 0xffff {
            case 0x20: accumulator = operand == 0xfff0_000c ? source.value : 0
            case 0x54: accumulator &= operand
            case 0x15: index += Int(accumulator == operand ? instruction >> 16 & 0xff : instruction >> 24 & 0xff)
            case 0x06: return operand
            default: return nil
            }
        }
        return nil
    }

    @Test("the second is for the networks that are named, to their last address")
    func program() throws {
        let networks = try ["10.30.0.0/24", "10.31.128.0/17", "192.0.2.7/32"].map { try #require(IPv4Prefix($0)) }
        let filter = ReuseportFilter(second: networks)
        for (text, expected) in [
            ("10.30.0.0", 1), ("10.30.0.255", 1), ("10.30.1.0", 0), ("10.31.127.255", 0), ("10.31.128.0", 1), ("10.31.255.255", 1),
            ("192.0.2.7", 1), ("192.0.2.6", 0), ("10.20.0.5", 0),
        ] { #expect(run(filter, try address(text)) == UInt32(expected), "\(text)") }
        #expect(run(ReuseportFilter(second: []), try address("10.30.0.0")) == 0)
    }
}
