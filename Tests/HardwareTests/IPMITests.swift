import Model
import Testing
import Wire

@testable import Hardware

/// Output of ipmitool 1.8.19 against OpenIPMI's ipmi_sim, and of public bug reports' machines.
@Suite("What ipmitool prints") struct IPMITextTests {
    @Test("the power") func power() {
        #expect(IPMIText.power("Chassis Power is on\n") == .on)
        #expect(IPMIText.power("Chassis Power is off\n") == .off)
        #expect(IPMIText.power("") == .unknown)
        #expect(IPMIText.power("Chassis Power is") == .unknown)
    }

    @Test("boot flags, by their five bytes") func bootFlags() {
        func flags(_ hex: String) -> BootOverride? { IPMIText.bootFlags("Boot parameter version: 1\nBoot parameter data: \(hex)\n Boot Flags :\n") }
        #expect(flags("a004000000") == BootOverride(target: .pxe, persistent: false, uefi: true))
        #expect(flags("e008000000") == BootOverride(target: .disk, persistent: true, uefi: true))
        #expect(flags("8014000000") == BootOverride(target: .cd, persistent: false, uefi: false))
        #expect(flags("0004000000") == BootOverride(target: .none), "a flag that is not valid is no override")
        #expect(IPMIText.bootFlags("Boot parameter data: 0004000000", quirks: Quirks([.bootFlagsLost]))?.target == .pxe)
        #expect(IPMIText.bootFlags("Error") == nil)
    }

    @Test("sensors, with empty slots left out") func sensors() {
        let text = """
            CPU1 Temp,45.000,degrees C,ok
            FAN1,3500,RPM,ok
            FANA,,,ns
            12V,11.9,Volts,nc
            P1-DIMMA1 Temp,98,degrees C,ucr
            PS1 Status,0x01,discrete,ok
            broken
            """
        let readings = IPMIText.sensors(text)
        #expect(readings.map(\.name) == ["CPU1 Temp", "FAN1", "12V", "P1-DIMMA1 Temp"])
        #expect(readings.map(\.health) == [.ok, .ok, .warning, .critical])
        #expect(readings.map(\.unit) == ["Cel", "RPM", "V", "Cel"])
    }

    @Test("the event log") func log() {
        let text = """
            1,11/24/2026,09:12:11,Power Supply #0xc8,Failure detected,Asserted
            2,11/24/2026,09:12:15,Power Supply #0xc8,Failure detected,Deasserted
            """
        let entries = IPMIText.log(text)
        #expect(entries.map(\.severity) == [.critical, .ok])
        #expect(entries.first?.message == "Power Supply #0xc8: Failure detected: Asserted")
        #expect(IPMIText.log("SEL has no entries").isEmpty)
    }

    @Test("identity and users") func identity() {
        let controller = "Firmware Revision         : 9.08\nManufacturer Name         : MontaVista Software, Inc.\n"
        let facts = IPMIText.facts(
            fru: " Product Serial        : S123\n", controller: controller, guid: "System GUID   : EFCDAB89-6745-23a1-efcd-ab89674523a1\n")
        #expect(facts.serial == "S123" && facts.firmware == "9.08")
        #expect(facts.systemUUID == "efcdab89-6745-23a1-efcd-ab89674523a1")
        #expect(IPMIText.userNumber("1,,true,false,true,USER\n2,ipmiusr,true,false,true,ADMINISTRATOR\n", named: "ipmiusr") == 2)
    }
}

@Suite("Finding BMCs") struct DiscoveryTests {
    @Test("the presence ping is what ASF says, and a pong tells of IPMI") func ping() {
        #expect(PresencePing.ping(tag: 7) == [6, 0, 255, 6, 0, 0, 0x11, 0xbe, 0x80, 7, 0, 0])
        var pong: [UInt8] = [6, 0, 255, 6, 0, 0, 0x11, 0xbe, 0x40, 7, 0, 16, 0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0, 0, 0, 0, 0, 0, 0]
        #expect(PresencePing.supportsIPMI(pong) == true)
        pong[20] = 1
        #expect(PresencePing.supportsIPMI(pong) == false)
        for length in 0..<21 { #expect(PresencePing.supportsIPMI(Array(pong.prefix(length))) == nil) }
    }

    @Test("only Redfish's answers to a search are taken") func ssdp() {
        let answer =
            "HTTP/1.1 200 OK\r\nCACHE-CONTROL:max-age=1800\r\nST:urn:dmtf-org:service:redfish-rest:1:6\r\nUSN:uuid:x\r\nAL:https://10.0.0.4/redfish/v1/\r\n\r\n"
        #expect(SSDPSearch.serviceRoot(Array(answer.utf8)) == "https://10.0.0.4/redfish/v1/")
        #expect(SSDPSearch.serviceRoot(Array(answer.replacing("redfish-rest", with: "media").utf8)) == nil)
        #expect(SSDPSearch.serviceRoot(Array(answer.replacing("https:", with: "file:").utf8)) == nil)
    }

    @Test("a scan of loopback finds the Redfish service there, without a word of credentials") func scan() async throws {
        let good = GoodBMC()
        try await ScriptedBMC.with(tls: try ScriptedBMC.selfSigned(), { good.answer($0) }) { server in
            var limits = BMCScan.Limits()
            limits.redfishPort = server.port
            limits.timeout = .milliseconds(300)
            limits.usesSSDP = false
            let found = try await BMCScan(limits).run(IPv4Prefix("127.0.0.1/32")!)
            #expect(found.map(\.address) == ["127.0.0.1:\(server.port)"])
            #expect(found.first?.vendor == "Contoso" && found.first?.fingerprint?.hasPrefix("SHA256:") == true)
            #expect(server.questions.allSatisfy { $0.headers["authorization"] == nil && $0.method == "GET" })
        }
    }

    @Test("too large a network is refused") func tooLarge() async {
        #expect(await problem { _ = try await BMCScan().run(IPv4Prefix("10.0.0.0/8")!) }?.code == "scan-too-large")
    }
}

@Suite("Quirks") struct QuirkTests {
    private func flags(_ vendor: String, _ model: String? = nil, _ firmware: String? = nil) -> Set<Quirks.Flag> {
        QuirkTable.quirks(for: .init(vendor: vendor, model: model, firmware: firmware)).flags
    }

    @Test("rows are found by vendor, model and firmware") func lookup() {
        #expect(flags("Dell", "iDRAC10").contains(.bootInSettings))
        #expect(!flags("Dell", "iDRAC9").contains(.bootInSettings))
        #expect(flags("Dell", nil, "5.10.10.05").contains(.onNeedsPause))
        #expect(!flags("Dell", nil, "5.10.30.00").contains(.onNeedsPause))
        #expect(flags("HPE", "iLO 6").isSuperset(of: [.modeReadOnly, .httpBootByHPEBIOS]))
        #expect(flags("Supermicro").contains(.modeMustBeRepeated))
        #expect(flags("Lenovo").contains(.ifMatchRequired))
        #expect(flags("ASRockRack").contains(.bootInSettings))
        #expect(flags("Contoso").isEmpty)
    }

    @Test("each row says what it is about and where it was seen") func rows() {
        for row in QuirkTable.rows {
            #expect(row.seenAt.hasPrefix("https://") && !row.note.isEmpty && !row.flags.isEmpty, "\(row.name)")
        }
        #expect(Set(QuirkTable.rows.map(\.name)).count == QuirkTable.rows.count)
    }

    @Test("what is sent differs by them") func bodies() throws {
        let boot = ComputerSystem(["Boot": ["BootSourceOverrideMode": "UEFI"]]).boot
        func body(_ wanted: BootOverride, _ flags: Set<Quirks.Flag>) throws -> JSON? {
            try BootOverridePlan.body(for: wanted, on: boot, quirks: Quirks(flags))["Boot"]
        }
        let once = BootOverride(target: .pxe)
        #expect(try body(once, []) == ["BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"])
        #expect(try body(once, [.modeMustBeRepeated])?["BootSourceOverrideMode"] == "UEFI")
        #expect(try body(.init(target: .http), [.modeReadOnly])?["BootSourceOverrideMode"] == nil)
        #expect(try body(.init(target: .none), [.disabledOverrideKeepsTarget]) == ["BootSourceOverrideEnabled": "Disabled"])
    }
}
