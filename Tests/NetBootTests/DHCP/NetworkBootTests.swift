import Testing
import Wire

@testable import NetBoot

@Suite("Network boot by DHCP")
struct NetworkBootTests {
    let server = TestNetwork.server

    func receive(
        _ bytes: [UInt8], _ network: inout TestNetwork, boot: BootAnswer?,
        change: (inout DHCPMessage) -> Void = { _ in }, on context: ReceiveContext = ReceiveContext()
    ) throws -> (action: DHCPAction, reply: DHCPMessage?) {
        var message = try DHCPMessage(parsing: bytes)
        change(&message)
        let action = network.machine.receive(message, on: context, nowMilliseconds: network.now, boot: boot)
        return (action, try action.message.map { try DHCPMessage(parsing: $0.serialize()) })
    }

    func proxy() throws -> TestNetwork {
        var configuration = TestNetwork.configuration()
        configuration.mode = .proxy
        return try TestNetwork(configuration)
    }

    @Test("iPXE is sent its script and told not to wait for a proxy")
    func ipxe() throws {
        var network = try TestNetwork()
        let url = "http://10.77.0.1:8080/boot.ipxe"
        let (_, reply) = try receive(
            CapturedPacket.ipxe, &network, boot: BootAnswer(nextServer: server, bootFile: url))
        let offer = try #require(reply)
        #expect(offer.yourAddress == "10.77.0.50")
        #expect(offer.bootFile == url && offer.nextServer == server)
        #expect(offer.ipxe?.noPXEDHCP == true)
        #expect(offer.vendorClass == "PXEClient")
    }

    @Test("PXE firmware is sent its file and told to load it directly")
    func pxe() throws {
        var network = try TestNetwork()
        let (action, reply) = try receive(
            CapturedPacket.ovmfPXE, &network, boot: BootAnswer(nextServer: server, bootFile: "snponly.efi"))
        let offer = try #require(reply)
        #expect(action.destination == .broadcast)
        #expect(offer.bootFileField == Array("snponly.efi".utf8))
        #expect(offer.options[.bootFileName].map(Array.init) == Array("snponly.efi".utf8))
        #expect(offer.vendorClass == "PXEClient")
        #expect(offer.options[.vendorSpecific].map(Array.init) == [6, 1, 8, 255])
        #expect(offer.machineIdentifier?.count == 16)
        #expect(offer.options[.ipxe] == nil)
    }

    @Test("HTTP boot firmware is sent its URL as an HTTPClient")
    func http() throws {
        var network = try TestNetwork()
        let url = "http://10.77.0.1/" + String(repeating: "d/", count: 60) + "snponly.efi"
        let (_, reply) = try receive(
            CapturedPacket.ovmfHTTP, &network, boot: BootAnswer(nextServer: server, bootFile: url))
        let offer = try #require(reply)
        #expect(offer.vendorClass == "HTTPClient")
        #expect(offer.bootFile == url)
        #expect(offer.options[.vendorSpecific] == nil)
    }

    @Test("without an answer of the boot gate only an address is given")
    func noBoot() throws {
        var network = try TestNetwork()
        let (_, reply) = try receive(CapturedPacket.ovmfPXE, &network, boot: nil)
        let offer = try #require(reply)
        #expect(offer.yourAddress == "10.77.0.50" && offer.bootFile == nil)
        #expect(offer.vendorClass == nil && offer.nextServer == .any)
    }

    @Test("a proxy offers a boot file and no address")
    func proxyOffer() throws {
        var network = try proxy()
        for packet in CapturedPacket.all {
            let (action, reply) = try receive(
                packet, &network, boot: BootAnswer(nextServer: server, bootFile: "file"))
            let offer = try #require(reply)
            #expect(offer.type == .offer && offer.yourAddress == .any && offer.leaseSeconds == nil)
            #expect(offer.subnetMask == nil && offer.routers.isEmpty)
            #expect(offer.bootFile == "file" && offer.serverIdentifier == server)
            #expect(action.destination == .broadcast)
        }
        #expect(network.machine.pool.leases.isEmpty)
    }

    @Test("a proxy sends iPXE its script")
    func proxyIPXE() throws {
        var network = try proxy()
        let url = "http://10.77.0.1/boot.ipxe"
        let (_, reply) = try receive(CapturedPacket.ipxe, &network, boot: BootAnswer(nextServer: server, bootFile: url))
        #expect(reply?.bootFile == url)
        #expect(reply?.vendorClass == "PXEClient")
    }

    @Test("a proxy leaves everything else to the other server")
    func proxySilence() throws {
        var network = try proxy()
        #expect(try network.send(.discover(mac: mac(1), transactionID: 1)) == .drop(.notForProxy))
        let (request, _) = try receive(
            CapturedPacket.ovmfPXE, &network, boot: BootAnswer(nextServer: server, bootFile: "file"),
            change: { $0.options[.messageType] = [3] })
        #expect(request == .drop(.notForProxy))
        let (none, _) = try receive(CapturedPacket.ovmfPXE, &network, boot: nil)
        #expect(none == .drop(.nothingToBoot))
    }

    @Test("port 4011 answers a PXE request to whom it came from")
    func port4011() throws {
        var network = try proxy()
        let context = ReceiveContext(port: 4011, source: "10.77.0.60", sourcePort: 4011)
        let boot = BootAnswer(nextServer: server, bootFile: "undionly.kpxe")
        let (action, reply) = try receive(
            CapturedPacket.ovmfPXE, &network, boot: boot,
            change: {
                $0.options[.messageType] = [3]
                $0.options[.vendorSpecific] = [71, 4, 0x80, 0, 0, 0, 255]
                $0.clientAddress = "10.77.0.60"
            }, on: context)
        let ack = try #require(reply)
        #expect(action.destination == .unicast("10.77.0.60", port: 4011))
        #expect(ack.type == .acknowledge && ack.yourAddress == .any && ack.bootFile == "undionly.kpxe")
        #expect(ack.options[.vendorSpecific].map(Array.init) == [71, 4, 0x80, 0, 0, 0, 6, 1, 8, 255])
        let (other, _) = try receive(
            CapturedPacket.ovmfPXE, &network, boot: boot,
            change: {
                $0.options[.messageType] = [3]
                $0.options[.serverIdentifier] = [10, 77, 0, 2]
            }, on: context)
        #expect(other == .drop(.anotherServerChosen("10.77.0.2")))
        let (discover, _) = try receive(CapturedPacket.ovmfPXE, &network, boot: boot, on: context)
        #expect(discover == .drop(.notForProxy))
    }

    @Test("an operating system's DHCP client asks no boot question")
    func noQuestion() {
        #expect(BootQuestion(.discover(mac: mac(1), transactionID: 1)) == nil)
    }
}
