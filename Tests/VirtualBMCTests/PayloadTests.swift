import Model
import Testing

@testable import VirtualBMC

/// As ipmitool asks: with encryption and authentication.
private let activation: [UInt8] = [1, 1, 0xc6, 0, 0, 0]

@Suite("Serial over LAN in a session") struct PayloadTests {
    private func typing(_ text: String, _ sequence: UInt8) -> SOLPacket {
        SOLPacket(sequence: sequence, characters: Array(text.utf8))
    }

    @Test("a console activates it, reads, types, and ends it") func session() throws {
        var console = try IPMIConsole.ready()
        console.power = .on
        #expect(try console.ask(0x06, 0x4a, [1]) == [0, 1, 0, 0])
        // Sizes of 204 both ways, port 623, no VLAN.
        #expect(try console.ask(0x06, 0x48, activation) == [0, 0, 0, 0, 0, 204, 0, 204, 0, 0x6f, 0x02, 0xff, 0xff])
        #expect(try console.ask(0x06, 0x4a, [1]) == [0, 1, 1, 0])
        let id = try #require(console.service.sessions.first?.id)
        #expect(try console.ask(0x06, 0x4b, [1, 1]) == [0] + id.littleBytes + [1, 0, 0, 0, 0, 0, 0, 0])
        #expect(try console.say(typing("ls\r", 1)) == SOLPacket(acknowledged: 1, accepted: 3))
        #expect(console.typed == Array("ls\r".utf8))
        console.service.serial.wrote(Array("bin etc".utf8), at: console.dialogue.moment.now)
        #expect(console.due() == nil)
        console.dialogue.pass(seconds: 1)
        #expect(console.due() == SOLPacket(sequence: 1, characters: Array("bin etc".utf8)))
        #expect(try console.say(SOLPacket(acknowledged: 1, accepted: 7)) == nil)
        #expect(try console.ask(0x06, 0x49, activation) == [0])
        #expect(try console.ask(0x06, 0x49, activation) == [0x80], "it is over")
        #expect(try console.say(typing("x", 2)) == nil)
        #expect(console.typed.count == 3 && console.due() == nil && console.service.deadline == nil)
    }

    @Test("a second session is refused; it may end the first one's, which is told") func stolen() throws {
        var first = try IPMIConsole.ready()
        #expect(try first.ask(0x06, 0x48, activation)[0] == 0)
        var second = try first.another()
        #expect(try second.ask(0x06, 0x48, activation) == [0x80])
        #expect(try second.ask(0x06, 0x49, activation) == [0])
        first.service = second.service
        #expect(first.due() == SOLPacket(status: .deactivated))
        #expect(first.due() == nil)
        #expect(try first.say(typing("x", 1)) == nil, "silence says that it is over, to those who do not read the bit")
        second.service = first.service
        #expect(try second.ask(0x06, 0x48, activation)[0] == 0)
    }

    @Test("it ends with its session: closed, or not heard for a minute") func ends() throws {
        var first = try IPMIConsole.ready()
        #expect(try first.ask(0x06, 0x48, activation)[0] == 0)
        let id = try #require(first.service.sessions.first?.id)
        #expect(try first.ask(0x06, 0x3c, id.littleBytes) == [0])
        #expect(first.service.serial.session == nil)
        var second = try first.another()
        #expect(try second.ask(0x06, 0x48, activation)[0] == 0)
        second.dialogue.pass(seconds: 40)
        _ = try second.say(SOLPacket(sequence: 1))
        second.dialogue.pass(seconds: 40)
        #expect(second.due() == nil && second.service.serial.session != nil, "an empty packet keeps it")
        second.dialogue.pass(seconds: 21)
        let deadline = try #require(second.service.deadline)
        #expect(deadline <= second.dialogue.moment.now)
        #expect(second.due() == nil)
        #expect(second.service.serial.session == nil && second.service.sessions.isEmpty && second.service.deadline == nil)
    }

    @Test("who is not allowed does not get it: too low, not encrypted, disabled, no serial port, another payload") func refused() throws {
        var console = IPMIConsole()
        #expect(try console.open() == 0)
        #expect(try console.ask(0x06, 0x48, activation) == [IPMICode.privilegeInsufficient], "a user's session")
        #expect(try console.ask(0x06, 0x49, activation) == [IPMICode.privilegeInsufficient])
        #expect(try console.ask(0x0c, 0x21, [1, 1, 0]) == [IPMICode.privilegeInsufficient])
        console = try IPMIConsole.ready()
        #expect(try console.ask(0x06, 0x48, [1, 1, 0x46, 0, 0, 0]) == [0x84])
        #expect(try console.ask(0x06, 0x48, [2, 1, 0xc6, 0, 0, 0]) == [IPMICode.invalidField])
        #expect(try console.ask(0x06, 0x48, [1, 2, 0xc6, 0, 0, 0]) == [IPMICode.invalidField])
        #expect(try console.ask(0x0c, 0x21, [0x0e, 1, 0]) == [0])
        #expect(try console.ask(0x06, 0x48, activation) == [0x81])
        console = try IPMIConsole.ready()
        let accounts = console.dialogue.service.accounts
        console.dialogue.service = RedfishService(inventory: console.dialogue.service.inventory, account: accounts[0])
        #expect(try console.ask(0x06, 0x48, activation) == [0x81])
        #expect(try console.ask(0x0c, 0x22, [1, 1, 0, 0]) == [0, 0x11, 0])
    }

    @Test("its parameters are read and set, and those that are fixed are not") func parameters() throws {
        var console = try IPMIConsole.ready()
        let asked = try (0...9 as ClosedRange<UInt8>).map { try console.ask(0x0c, 0x22, [0x0e, $0, 0, 0]) }
        let head: [UInt8] = [0, 0x11]
        #expect(
            asked == [
                head + [0], head + [1], head + [0xc3], head + [8, 96], head + [7, 25], head + [10], head + [10], head + [1],
                head + [0x6f, 0x02], [0x80],
            ])
        #expect(try console.ask(0x0c, 0x22, [0x81, 1, 0, 0]) == head, "the revision alone")
        #expect(try console.ask(0x0c, 0x22, [3, 1, 0, 0]) == [IPMICode.parameterOutOfRange], "no such channel")
        // As ipmitool does it: it takes the parameters, sets one, and gives them back.
        #expect(try console.ask(0x0c, 0x21, [1, 0, 1]) == [0])
        #expect(try console.ask(0x0c, 0x21, [1, 0, 1]) == [0x81])
        #expect(try console.ask(0x0c, 0x21, [1, 4, 0x03, 50]) == [0])
        #expect(try console.ask(0x0c, 0x21, [1, 0, 0]) == [0])
        #expect(try console.ask(0x0c, 0x22, [1, 4, 0, 0]) == head + [3, 50])
        #expect(try console.ask(0x0c, 0x21, [1, 2, 0xc4]) == [0])
        #expect(try console.ask(0x0c, 0x21, [1, 2, 0x04]) == [IPMICode.invalidField], "without encryption")
        for (number, value) in [(7, [2]), (8, [0, 1])] as [(UInt8, [UInt8])] {
            #expect(try console.ask(0x0c, 0x21, [1, number] + value) == [0x82])
        }
        for data: [UInt8] in [[1, 3, 0, 1], [1, 3, 1, 0], [1, 4, 1, 0], [1, 5, 3], [1, 2, 0xc1]] {
            #expect(try console.ask(0x0c, 0x21, data) == [IPMICode.invalidField], "\(data)")
        }
        #expect(try console.ask(0x0c, 0x21, [1, 9, 1]) == [0x80])
    }

    @Test("which payloads there are, and who may use them") func support() throws {
        var console = try IPMIConsole.ready()
        #expect(try console.ask(0x06, 0x4e, [0x0e]) == [0, 3, 0, 0x3f, 0, 0, 0, 0, 0])
        #expect(try console.ask(0x06, 0x4f, [1, 1]) == [0, 0x10])
        #expect(try console.ask(0x06, 0x4f, [1, 2]) == [0x80])
        #expect(try console.ask(0x06, 0x4d, [1, 2]) == [0, 2, 0, 0, 0])
        #expect(try console.ask(0x06, 0x4d, [1, 1]) == [0, 0, 0, 0, 0], "the nameless user")
        console.dialogue.service.accounts[0].role = .readOnly
        #expect(try console.ask(0x06, 0x4d, [1, 2]) == [0, 0, 0, 0, 0])
    }

    @Test("no command of it is too short to be refused") func short() throws {
        var console = try IPMIConsole.ready()
        let commands: [(UInt8, UInt8, [UInt8])] = [
            (6, 0x48, activation), (6, 0x49, [1, 1]), (6, 0x4a, [1]), (6, 0x4b, [1, 1]), (6, 0x4d, [1, 2]), (6, 0x4e, [1]),
            (6, 0x4f, [1, 1]), (0x0c, 0x21, [1, 4, 1, 1]), (0x0c, 0x22, [1, 1]),
        ]
        for (function, command, data) in commands {
            for length in 0..<data.count {
                let answer = try console.ask(function, command, Array(data.prefix(length)))
                #expect(answer == [IPMICode.requestTooShort], "command \(command), \(length) bytes")
            }
            #expect(try console.ask(function, command, data)[0] == 0, "command \(command)")
        }
    }

    @Test("a packet that is not of the session, or was heard before, types nothing") func forged() throws {
        var console = try IPMIConsole.ready()
        console.power = .on
        #expect(try console.ask(0x06, 0x48, activation)[0] == 0)
        let fresh = try console.datagram(typing("reboot\r", 1))
        for index in 4..<fresh.count {
            var touched = fresh
            touched[index] ^= 0x01
            #expect(console.send(touched) == nil, "byte \(index)")
        }
        for length in 0..<fresh.count { #expect(console.send(Array(fresh.prefix(length))) == nil) }
        #expect(console.send(IPMIDatagram.open(.serialOverLAN, typing("x", 1).bytes)) == nil)
        #expect(console.typed.isEmpty)
        #expect(console.send(fresh) != nil)
        #expect(console.send(fresh) == nil)
        #expect(console.typed == Array("reboot\r".utf8))
    }
}
