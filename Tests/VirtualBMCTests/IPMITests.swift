import Foundation
import Model
import Testing

@testable import VirtualBMC

@Suite("IPMI of the virtual BMC") struct IPMITests {
    @Test("a presence ping is answered, and says that IPMI is spoken") func ping() {
        var console = IPMIConsole()
        let pong = console.send([6, 0, 255, 6, 0, 0, 0x11, 0xbe, 0x80, 42, 0, 0])
        #expect(pong == [6, 0, 255, 6, 0, 0, 0x11, 0xbe, 0x40, 42, 0, 16, 0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test("what a console asks first is answered without a session, and nothing else is") func outside() throws {
        var console = IPMIConsole()
        // As ipmitool sends it: Get Channel Authentication Capabilities for this channel, IPMI 2.0, administrator.
        let asked: [UInt8] = [6, 0, 255, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x20, 0x18, 0xc8, 0x81, 0, 0x38, 0x8e, 0x04, 0xb5]
        let answer = console.send(asked)
        let reply = try #require(answer)
        #expect(Array(reply[13...].dropFirst().prefix(2)) == [0x81, 0x1c])
        #expect(Array(reply[20..<29]) == [0, 1, 0x80, 4, 2, 0, 0, 0, 0])
        let power = IPMIRequest(function: 0, command: 1)
        #expect(console.send(IPMIDatagram.plain(power.bytes)) == nil)
        let refusal = console.send(IPMIDatagram.plain(IPMIRequest(function: 6, command: 1).bytes))
        let identity = try #require(refusal)
        #expect(identity[20] == IPMICode.privilegeInsufficient)
    }

    @Test("a console with the password gets a session, by either suite", arguments: CipherSuite.allCases)
    func session(_ suite: CipherSuite) throws {
        var console = try IPMIConsole.ready(suite)
        #expect(try console.ask(0x00, 0x01) == [0, 0, 0, 0])
        #expect(try console.ask(0x06, 0x37).count == 17)
    }

    @Test("a wrong password, a stranger and too high a privilege get none") func refused() throws {
        var console = IPMIConsole()
        console.password = "wrong"
        #expect(try console.open() == 0x0f)
        console = IPMIConsole()
        console.name = "nobody"
        #expect(try console.open() == 0x0d)
        console = IPMIConsole()
        console.dialogue.service.accounts[0].role = .readOnly
        #expect(try console.open() == 0x09)
        #expect(console.service.sessions.count == 1, "what was begun is there until it gives way")
    }

    @Test("power is switched by chassis control, and a command that makes no sense now is refused") func power() throws {
        var console = try IPMIConsole.ready()
        #expect(try console.ask(0x00, 0x02, [3]) == [IPMICode.notInThisState], "no reset of what is off")
        #expect(try console.ask(0x00, 0x02, [1]) == [0])
        #expect(try console.ask(0x00, 0x01)[1] == 1)
        #expect(try console.ask(0x00, 0x02, [2]) == [0])
        #expect(try console.ask(0x00, 0x02, [0]) == [0])
        #expect(console.orders == [.power(.on), .power(.powerCycle), .power(.forceOff)])
        #expect(try console.ask(0x00, 0x02, [9]) == [IPMICode.invalidField])
        #expect(try console.ask(0x2c, 0x02) == [IPMICode.invalidCommand])
    }

    @Test("boot flags are the boot override that Redfish shows") func boot() throws {
        var console = try IPMIConsole.ready()
        #expect(try console.ask(0x00, 0x09, [5, 0, 0]) == [0, 1, 5, 0, 0, 0, 0, 0])
        // As `ipmitool chassis bootdev pxe options=efiboot` does it.
        for data: [UInt8] in [[0, 1], [3, 0x1f], [4, 1, 1], [5, 0xa0, 4, 0, 0, 0], [0, 0]] {
            #expect(try console.ask(0x00, 0x08, data) == [0])
        }
        #expect(console.orders == [.boot(BootOverride(target: .pxe, mode: .uefi, isOnce: true))])
        #expect(try console.ask(0x00, 0x09, [5, 0, 0]) == [0, 1, 5, 0xa0, 4, 0, 0, 0])
        let shown = console.dialogue.get("Systems/1")["Boot"]
        #expect(shown?["BootSourceOverrideTarget"] == "Pxe" && shown?["BootSourceOverrideEnabled"] == "Once")
        #expect(try console.ask(0x00, 0x08, [5, 0x80, 0, 0, 0, 0]) == [0])
        #expect(console.dialogue.service.bootOverride == nil)
        #expect(try console.ask(0x00, 0x08, [5, 0x80, 4, 0, 0, 0]) == [IPMICode.invalidField], "no BIOS boot on a UEFI machine")
    }

    @Test("a request whose answer was lost is answered again and not done again") func again() throws {
        var console = try IPMIConsole.ready()
        _ = try console.ask(0x00, 0x02, [1])
        let once = console.orders.count
        let datagram = try console.datagram(0x00, 0x02, [1], sameNumber: true)
        let reply = console.send(datagram)
        #expect(reply.flatMap(console.opened) == [0])
        #expect(console.orders.count == once)
    }

    @Test("a packet that was heard before, or was touched on the way, gets no answer") func replay() throws {
        var console = try IPMIConsole.ready()
        _ = try console.ask(0x00, 0x01)
        let heard = try #require(console.sent.last)
        #expect(console.send(heard) == nil)
        let fresh = try console.datagram(0x00, 0x02, [1])
        for index in 4..<fresh.count {
            var touched = fresh
            touched[index] ^= 0x01
            #expect(console.send(touched) == nil, "byte \(index)")
        }
        #expect(console.orders.isEmpty)
        #expect(console.send(fresh) != nil)
    }

    @Test("less than an operator switches nothing, and a closed session hears nothing") func privilege() throws {
        var console = IPMIConsole()
        #expect(try console.open() == 0)
        #expect(try console.ask(0x00, 0x02, [1]) == [IPMICode.privilegeInsufficient], "a session begins as a user's")
        #expect(console.orders.isEmpty)
        let id = try #require(console.service.sessions.first?.id)
        #expect(try console.ask(0x06, 0x3c, id.littleBytes) == [0])
        #expect(console.send(try console.datagram(0x00, 0x01)) == nil)
    }

    @Test("a session that is not used ends, and unfinished ones give way") func ends() throws {
        var console = try IPMIConsole.ready()
        console.dialogue.pass(seconds: 61)
        #expect(console.send(try console.datagram(0x00, 0x01)) == nil)
        for _ in 0..<20 {
            console.password = "wrong"
            _ = console.send(
                IPMIDatagram.open(
                    .openSessionRequest, [1, 4, 0, 0, 1, 2, 3, 4] + [0, 0, 0, 8, 1, 0, 0, 0, 1, 0, 0, 8, 1, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0]))
        }
        #expect(console.service.sessions.count == IPMIService.sessionLimit)
        console.password = "hostler-lab"
        #expect(try console.open() == 0)
    }

    @Test("the FRU says what Redfish says") func fru() throws {
        var console = try IPMIConsole.ready()
        let size = try console.ask(0x0a, 0x10, [0])
        let total = Int(size[1]) | Int(size[2]) << 8
        var area: [UInt8] = []
        while area.count < total {
            let part = try console.ask(0x0a, 0x11, [0, UInt8(area.count), 0, 32])
            area += part[2...]
        }
        #expect(area[0..<8].reduce(0, &+) == 0 && area[8...].reduce(0, &+) == 0)
        let text = String(decoding: area, as: UTF8.self)
        let inventory = console.dialogue.service.inventory
        #expect(text.contains(inventory.serial) && text.contains(inventory.manufacturer) && text.contains(inventory.model))
    }

    @Test("nothing that comes by the wire ends it: cut short, changed, or plain noise") func noise() throws {
        var console = try IPMIConsole.ready()
        let good = try [
            console.datagram(0x00, 0x01), IPMIDatagram.open(.openSessionRequest, [UInt8](repeating: 0, count: 32)),
            IPMIDatagram.open(.rakp1, [UInt8](repeating: 3, count: 40)),
            IPMIDatagram.plain(IPMIRequest(function: 6, command: 0x38, data: [0x8e, 4]).bytes),
        ]
        for datagram in good { for length in 0..<datagram.count { _ = console.send(Array(datagram.prefix(length))) } }
        var generator = SeededGenerator(seed: 20_261_124)
        for _ in 0..<20_000 {
            var datagram = good.randomElement(using: &generator) ?? []
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                datagram[Int.random(in: 0..<datagram.count, using: &generator)] = .random(in: .min ... .max, using: &generator)
            }
            _ = console.send(datagram)
        }
        #expect(console.orders.isEmpty)
    }
}
