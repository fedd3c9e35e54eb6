import Model
import Testing

@testable import Hardware

/// Conversations as the public sources that the table of quirks names have them, shortened to what matters.
@Suite("Recorded conversations") struct ReplayTests {
    static let root =
        #"GET /redfish/v1/ -> 200 {"@odata.id":"/redfish/v1/","RedfishVersion":"1.6.0","Systems":{"@odata.id":"/redfish/v1/Systems"},"Links":{"Sessions":{"@odata.id":"/redfish/v1/SessionService/Sessions"}}}"#
    static let login =
        #"POST /redfish/v1/SessionService/Sessions {"UserName":"root","Password":"secret"} -> 201 [X-Auth-Token: t; Location: /redfish/v1/SessionService/Sessions/1] {}"#
    static let systems = #"GET /redfish/v1/Systems -> 200 {"Members":[{"@odata.id":"/redfish/v1/Systems/1"}]}"#

    private func play(
        _ recording: String..., body: (ReplayedBMC) async throws -> Void
    ) async throws {
        let replay = try ReplayedBMC(recording.joined(separator: "\n"))
        try await body(replay)
        #expect(replay.unexpected == [])
        #expect(replay.missing == [])
    }

    @Test("iDRAC 7: its sessions are at the root, since SessionService answers 400; HTTP boot is refused before it is tried") func idrac7()
        async throws
    {
        try await play(
            #"GET /redfish/v1/ -> 200 {"@odata.id":"/redfish/v1/","RedfishVersion":"1.0.2","Systems":{"@odata.id":"/redfish/v1/Systems"}}"#,
            #"POST /redfish/v1/Sessions {"UserName":"root","Password":"secret"} -> 201 [X-Auth-Token: t; Location: /redfish/v1/Sessions/1] {}"#,
            #"GET /redfish/v1/Systems -> 200 {"Members":[{"@odata.id":"/redfish/v1/Systems/System.Embedded.1"}]}"#,
            #"GET /redfish/v1/Systems/System.Embedded.1 -> 200 {"@odata.id":"/redfish/v1/Systems/System.Embedded.1","PowerState":"On","Boot":{"BootSourceOverrideTarget":"None","BootSourceOverrideEnabled":"Disabled","BootSourceOverrideTarget@Redfish.AllowableValues":["None","Pxe","Cd","Hdd","BiosSetup"]}}"#,
            #"GET /redfish/v1/Systems/System.Embedded.1 -> 200 {"@odata.id":"/redfish/v1/Systems/System.Embedded.1","PowerState":"On","Boot":{"BootSourceOverrideTarget":"None","BootSourceOverrideEnabled":"Disabled","BootSourceOverrideTarget@Redfish.AllowableValues":["None","Pxe","Cd","Hdd","BiosSetup"]}}"#,
            #"PATCH /redfish/v1/Systems/System.Embedded.1 {"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}} -> 200 {"Success":[{"Message":"Successfully Completed Request"}]}"#,
            #"GET /redfish/v1/Systems/System.Embedded.1 -> 200 {"@odata.id":"/redfish/v1/Systems/System.Embedded.1","PowerState":"On","Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}}"#
        ) { replay in
            let bmc = replay.bmc("Dell Inc.", "12G Monolithic", "2.65.65.65")
            #expect(await problem { try await bmc.setBoot(.init(target: .http)) }?.code == "bmc-unsupported")
            try await bmc.setBoot(.init(target: .pxe))
        }
    }

    @Test("iLO 5: the boot mode is never written") func ilo5() async throws {
        try await play(
            Self.root, Self.login, Self.systems,
            #"GET /redfish/v1/Systems/1 -> 200 [ETag: W/"5AC6B1F6"] {"@odata.id":"/redfish/v1/Systems/1/","@odata.etag":"W/\"5AC6B1F6\"","PowerState":"Off","Boot":{"BootSourceOverrideTarget":"None","BootSourceOverrideEnabled":"Disabled","BootSourceOverrideMode":"UEFI","BootSourceOverrideTarget@Redfish.AllowableValues":["None","Cd","Hdd","Usb","Pxe","UefiHttp"]}}"#,
            #"PATCH /redfish/v1/Systems/1 {"Boot":{"BootSourceOverrideTarget":"UefiHttp","BootSourceOverrideEnabled":"Once"}} -> 200 {"error":{"@Message.ExtendedInfo":[{"MessageId":"Base.1.4.Success"}],"code":"iLO.0.10.ExtendedInfo"}}"#,
            #"GET /redfish/v1/Systems/1 -> 200 {"@odata.id":"/redfish/v1/Systems/1/","PowerState":"Off","Boot":{"BootSourceOverrideTarget":"UefiHttp","BootSourceOverrideEnabled":"Once","BootSourceOverrideMode":"UEFI"}}"#
        ) { try await $0.bmc("HPE", "iLO 5", "iLO 5 v2.55").setBoot(.init(target: .http)) }
    }

    @Test("ASRock Rack: boot members go to the future state, with its ETag") func asrock() async throws {
        try await play(
            Self.root, Self.login,
            #"GET /redfish/v1/Systems -> 200 {"Members":[{"@odata.id":"/redfish/v1/Systems/Self"}]}"#,
            #"GET /redfish/v1/Systems/Self -> 200 {"@odata.id":"/redfish/v1/Systems/Self","PowerState":"On","Boot":{"BootSourceOverrideTarget":"None","BootSourceOverrideEnabled":"Disabled"},"@Redfish.Settings":{"SettingsObject":{"@odata.id":"/redfish/v1/Systems/Self/SD"}}}"#,
            #"GET /redfish/v1/Systems/Self/SD -> 200 [ETag: "1712328709"] {"@odata.id":"/redfish/v1/Systems/Self/SD"}"#,
            #"PATCH /redfish/v1/Systems/Self/SD {"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}} -> 204"#,
            #"GET /redfish/v1/Systems/Self -> 200 {"@odata.id":"/redfish/v1/Systems/Self","PowerState":"On","Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once"}}"#
        ) { try await $0.bmc("ASRockRack", "WRX80D8", "1.04.00").setBoot(.init(target: .pxe)) }
    }

    @Test("Lenovo XCC: a change goes with the ETag of a fresh read") func lenovo() async throws {
        try await play(
            Self.root, Self.login, Self.systems,
            #"GET /redfish/v1/Systems/1 -> 200 [ETag: "3e8"] {"@odata.id":"/redfish/v1/Systems/1","PowerState":"Off","SecureBoot":{"@odata.id":"/redfish/v1/Systems/1/SecureBoot"}}"#,
            #"GET /redfish/v1/Systems/1/SecureBoot -> 200 [ETag: "77a"] {"@odata.id":"/redfish/v1/Systems/1/SecureBoot","SecureBootEnable":false}"#,
            #"PATCH /redfish/v1/Systems/1/SecureBoot {"SecureBootEnable":true} -> 200 {}"#,
            #"GET /redfish/v1/Systems/1/SecureBoot -> 200 {"@odata.id":"/redfish/v1/Systems/1/SecureBoot","SecureBootEnable":true}"#
        ) { try await $0.bmc("Lenovo", "XCC").setSecureBoot(true) }
    }

    @Test("Supermicro X12: an ejected slot keeps its image, and is empty all the same") func supermicro() async throws {
        let slot = #""@odata.id":"/redfish/v1/Managers/1/VirtualMedia/CD1","MediaTypes":["CD","DVD"],"Image":"http://10.0.0.1/a.iso","Actions":{"#
        try await play(
            Self.root, Self.login, Self.systems,
            #"GET /redfish/v1/Systems/1 -> 200 {"@odata.id":"/redfish/v1/Systems/1","PowerState":"Off","Links":{"ManagedBy":[{"@odata.id":"/redfish/v1/Managers/1"}]}}"#,
            #"GET /redfish/v1/Managers/1 -> 200 {"@odata.id":"/redfish/v1/Managers/1","VirtualMedia":{"@odata.id":"/redfish/v1/Managers/1/VirtualMedia"}}"#,
            #"GET /redfish/v1/Managers/1/VirtualMedia -> 200 {"Members":[{"@odata.id":"/redfish/v1/Managers/1/VirtualMedia/CD1"}]}"#,
            "GET /redfish/v1/Managers/1/VirtualMedia/CD1 -> 200 {\(slot)\"#VirtualMedia.EjectMedia\":{\"target\":\"/redfish/v1/Managers/1/VirtualMedia/CD1/Actions/VirtualMedia.EjectMedia\"}},\"Inserted\":true,\"ConnectedVia\":\"URI\"}",
            "POST /redfish/v1/Managers/1/VirtualMedia/CD1/Actions/VirtualMedia.EjectMedia {} -> 204",
            "GET /redfish/v1/Managers/1/VirtualMedia/CD1 -> 200 {\(slot)},\"Inserted\":true,\"ConnectedVia\":\"NotConnected\"}"
        ) { try await $0.bmc("Supermicro", "X12").ejectMedia() }
    }

    @Test("Supermicro X11: an override that was forgotten by the time of the start is set again before it") func forgotten() async throws {
        func system(_ target: String, _ enabled: String) -> String {
            ##"GET /redfish/v1/Systems/1 -> 200 {"@odata.id":"/redfish/v1/Systems/1","PowerState":"Off","Boot":{"BootSourceOverrideTarget":"\##(target)","BootSourceOverrideEnabled":"\##(enabled)","BootSourceOverrideMode":"UEFI"},"Actions":{"#ComputerSystem.Reset":{"target":"/redfish/v1/Systems/1/Actions/ComputerSystem.Reset","ResetType@Redfish.AllowableValues":["On","ForceOff"]}}}"##
        }
        let set =
            #"PATCH /redfish/v1/Systems/1 {"Boot":{"BootSourceOverrideTarget":"Pxe","BootSourceOverrideEnabled":"Once","BootSourceOverrideMode":"UEFI"}} -> 200 {}"#
        try await play(
            Self.root, Self.login, Self.systems,
            system("None", "Disabled"), set, system("Pxe", "Once"),
            // Asked to start: it has forgotten it.
            system("None", "Disabled"), system("None", "Disabled"), set, system("Pxe", "Once"),
            #"POST /redfish/v1/Systems/1/Actions/ComputerSystem.Reset {"ResetType":"On"} -> 204"#
        ) { replay in
            let bmc = replay.bmc("Supermicro", "X11SPL-F")
            try await bmc.setBoot(.init(target: .pxe))
            try await bmc.request(.on)
        }
    }

    @Test("OpenBMC without a boot override says so at once") func openBMC() async throws {
        try await play(
            Self.root, Self.login, Self.systems,
            #"GET /redfish/v1/Systems/1 -> 200 {"@odata.id":"/redfish/v1/Systems/1","PowerState":"On","Boot":{}}"#
        ) { replay in
            let told = await problem { try await replay.bmc("OpenBMC", "OpenBmc").setBoot(.init(target: .pxe)) }
            #expect(told?.code == "bmc-unsupported" && told?.detail?.contains("without a boot override") == true)
        }
    }
}

@Suite("Manners of power switches") struct PowerMannersTests {
    @Test("quirks become patience, a rest between off and on, and words") func manners() {
        let bluefield = QuirkTable.quirks(for: .init(vendor: "NVIDIA", model: "BlueField-3 BMC", firmware: nil))
        #expect(PowerPursuit.Policy().suiting(PowerManners(bluefield)).repeatAfter == .seconds(60))
        let idrac = QuirkTable.quirks(for: .init(vendor: "Dell", model: "14G Monolithic", firmware: "5.10.10.00"))
        let policy = PowerPursuit.Policy().suiting(PowerManners(idrac))
        #expect(policy.rest == .seconds(10))
        #expect(policy.shutdownCaveat?.contains("no operating system") == true)
        #expect(PowerPursuit.Policy().suiting(.usual) == PowerPursuit.Policy())
    }

    @Test("a cycle rests between off and on, and reads again before it asks") func rest() {
        var policy = PowerPursuit.Policy()
        policy.rest = .seconds(10)
        func at(_ seconds: Int64) -> Timestamp { Timestamp(milliseconds: seconds * 1000) }
        var pursuit = PowerPursuit(.cycle, address: "b", at: at(0), policy: policy)
        #expect(pursuit.read(.init(state: .on), at: at(0)) == .request(.off))
        _ = pursuit.requested(nil, at: at(0))
        #expect(pursuit.read(.init(state: .off), at: at(1)) == .pause(.seconds(10)))
        #expect(pursuit.paused() == .read)
        #expect(pursuit.read(.init(state: .off), at: at(11)) == .request(.on))
        _ = pursuit.requested(nil, at: at(11))
        guard case .proved = pursuit.read(.init(state: .on), at: at(12)) else {
            Issue.record("not proved")
            return
        }
    }

    @Test("each flag stands in the table, and is acted on somewhere") func flags() {
        let listed = QuirkTable.rows.reduce(into: Set<Quirks.Flag>()) { $0.formUnion($1.flags) }
        let unlisted = Set(Quirks.Flag.allCases).subtracting(listed)
        // A BMC of one's own may have these: no public source names one yet.
        #expect(unlisted == [.insertTakesImageOnly, .sessionsScarce])
    }
}
