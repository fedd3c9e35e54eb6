import Testing
import Wire

@testable import hostler_init

@Suite("The kernel command line")
struct BootArgumentsTests {
    @Test("all that a boot script says is read")
    func readsEverything() throws {
        let arguments = try BootArguments(
            commandLine: "quiet hostler.url=http://10.77.0.1:8080/ hostler.nonce=abc.def hostler.mac=52:54:00:aa:bb:01 "
                + "hostler.ip=10.77.0.50 hostler.mask=255.255.255.0 hostler.gateway=10.77.0.1 hostler.server=10.77.0.2 console=ttyS0\n")
        #expect(arguments.url == "http://10.77.0.1:8080")
        #expect(arguments.nonce == "abc.def")
        #expect(arguments.mac == MACAddress("52:54:00:aa:bb:01"))
        #expect(arguments.address == IPv4Address("10.77.0.50"))
        #expect(arguments.mask == IPv4Address("255.255.255.0"))
        #expect(arguments.gateway == IPv4Address("10.77.0.1"))
        #expect(arguments.server == IPv4Address("10.77.0.2"))
    }

    @Test("a machine that was known has patience for ever, an unknown one as long as the script says")
    func patience() throws {
        let line = "hostler.url=http://10.0.0.1 hostler.nonce=x"
        #expect(try BootArguments(commandLine: line).patienceSeconds == nil)
        #expect(try BootArguments(commandLine: line + " hostler.patience=900").patienceSeconds == 900)
    }

    @Test("an address that is absent or empty is asked for by DHCP")
    func addressIsOptional() throws {
        let arguments = try BootArguments(commandLine: "hostler.url=http://10.0.0.1 hostler.nonce=x hostler.ip=")
        #expect(arguments.address == nil)
        #expect(arguments.mac == nil)
    }

    @Test(
        "what is missing or unreadable is named",
        arguments: [
            ("hostler.nonce=x", BootArguments.ParseError.missing("hostler.url")),
            ("hostler.url=ftp://10.0.0.1 hostler.nonce=x", .missing("hostler.url")),
            ("hostler.url=http://10.0.0.1", .missing("hostler.nonce")),
            ("hostler.url=http://10.0.0.1 hostler.nonce=x hostler.ip=10.0.0", .invalid("hostler.ip", "10.0.0")),
            ("hostler.url=http://10.0.0.1 hostler.nonce=x hostler.patience=0", .invalid("hostler.patience", "0")),
            ("hostler.url=http://10.0.0.1 hostler.nonce=x hostler.patience=99999999999", .invalid("hostler.patience", "99999999999")),
        ])
    func namesWhatIsWrong(line: String, error: BootArguments.ParseError) {
        #expect(throws: error) { try BootArguments(commandLine: line) }
    }
}
