import Testing

@testable import HostFacts

@Suite("CPU and memory")
struct CPUTests {
    @Test("sockets, cores and threads are counted from the topology")
    func topology() {
        var text = ""
        for thread in 0..<8 {
            text += """
                processor\t: \(thread)
                vendor_id\t: AuthenticAMD
                model name\t: AMD EPYC 7313 16-Core Processor
                physical id\t: \(thread / 4)
                core id\t\t: \(thread % 2)
                flags\t\t: fpu vme aes avx2 lm svm fxsr


                """
        }
        let facts = CPUFacts(cpuinfo: text)
        #expect(facts.model == "AMD EPYC 7313 16-Core Processor")
        #expect(facts.vendor == "AuthenticAMD")
        #expect((facts.sockets, facts.cores, facts.threads) == (2, 4, 8))
        #expect(facts.flags == ["aes", "avx2", "lm", "svm"])
    }

    @Test("a kernel that tells no topology has one socket and a core a processor")
    func bare() {
        let facts = CPUFacts(cpuinfo: "processor\t: 0\nFeatures : aes sha2\n\nprocessor\t: 1\n")
        #expect((facts.sockets, facts.cores, facts.threads) == (1, 2, 2))
        #expect(facts.model == nil)
        #expect(facts.flags == ["aes", "sha2"])
        #expect(CPUFacts(cpuinfo: "").sockets == 0)
    }

    @Test("memory is told in bytes")
    func memory() {
        let facts = MemoryFacts(
            meminfo: "MemTotal:       24656256 kB\nMemFree: 5 kB\nMemAvailable:   16 kB\nHugePages_Total: 0\n")
        #expect(facts?.totalBytes == 24_656_256 * 1024)
        #expect(facts?.availableBytes == 16384)
        #expect(MemoryFacts(meminfo: "nothing") == nil)
    }
}
