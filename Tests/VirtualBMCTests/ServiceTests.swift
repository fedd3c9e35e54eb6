import Model
import Testing

@testable import VirtualBMC

@Suite("the Redfish service")
struct ServiceTests {
    @Test("a stranger sees the root and the metadata, and nothing else")
    func strangers() {
        var talk = Dialogue()
        for open in ["/redfish", "/redfish/v1", "/redfish/v1/", "odata", "$metadata"] {
            #expect(talk.response("GET", open, anonymous: true).status == 200, "\(open)")
        }
        let refused = talk.response("GET", "Systems/1", anonymous: true)
        #expect(refused.status == 401)
        #expect(refused.header("WWW-Authenticate")?.hasPrefix("Basic") == true)
        talk.credentials = "admin:wrong-password"
        #expect(talk.response("GET", "Systems/1").status == 401)
    }

    @Test("a session begins with a token, lasts while it is used, and ends")
    func sessions() throws {
        var talk = Dialogue()
        let made = talk.response(
            "POST", "SessionService/Sessions", ["UserName": "admin", "Password": "hostler-lab"], anonymous: true)
        #expect(made.status == 201)
        #expect(made.header("X-Auth-Token") == "token-1")
        let place = try #require(made.header("Location"))
        let token = [("X-Auth-Token", "token-1")]
        talk.pass(seconds: 1700)
        #expect(talk.response("GET", "Systems/1", headers: token).status == 200)
        talk.pass(seconds: 1700)
        #expect(talk.response("GET", place, headers: token).status == 200)
        #expect(talk.response("DELETE", place, headers: token).status == 204)
        #expect(talk.response("GET", "Systems/1", headers: token).status == 401)
        #expect(talk.response("POST", "SessionService/Sessions", ["UserName": "admin"], anonymous: true).status == 400)
        let wrong = talk.response(
            "POST", "SessionService/Sessions", ["UserName": "admin", "Password": "no"], anonymous: true)
        #expect(wrong.status == 401)
    }

    @Test("an unused session is forgotten")
    func timeout() {
        var talk = Dialogue()
        _ = talk.response(
            "POST", "SessionService/Sessions", ["UserName": "admin", "Password": "hostler-lab"], anonymous: true)
        talk.pass(seconds: 1801)
        #expect(talk.response("GET", "Systems/1", headers: [("X-Auth-Token", "token-1")]).status == 401)
    }

    @Test("a reset is an order to the hardware, and its type is checked")
    func reset() {
        var talk = Dialogue()
        let path = "Systems/1/Actions/ComputerSystem.Reset"
        #expect(talk.ask("POST", path, ["ResetType": "ForceOff"]) == .perform(.power(.forceOff), then: .noContent))
        #expect(talk.response("POST", path, ["ResetType": "Explode"]).messages == ["ActionParameterValueFormatError"])
        #expect(talk.response("POST", path, ["ResetType": 1]).messages == ["ActionParameterValueTypeError"])
        #expect(talk.response("POST", path, [:]).messages == ["ActionParameterMissing"])
        #expect(talk.response("GET", path).status == 405)
        #expect(talk.response("POST", "Systems/1/Actions/ComputerSystem.Sing", [:]).status == 404)
    }

    @Test("a boot override for once is gone after the start that used it; a continuous one stays")
    func bootOverride() {
        var talk = Dialogue()
        let wanted: JSON = [
            "Boot": [
                "BootSourceOverrideTarget": "UefiHttp", "BootSourceOverrideEnabled": "Once",
                "HttpBootUri": "http://10.77.0.1/boot.efi",
            ]
        ]
        let override = BootOverride(target: .uefiHTTP, mode: .uefi, isOnce: true, httpURI: "http://10.77.0.1/boot.efi")
        #expect(
            talk.ask("PATCH", "Systems/1", wanted) == .perform(.boot(override), then: .resource(["Systems", "1"])))
        #expect(talk.response("PATCH", "Systems/1", wanted).status == 200)
        #expect(talk.get("Systems/1")["Boot"]?["BootSourceOverrideTarget"] == "UefiHttp")
        #expect(talk.get("Systems/1")["Boot"]?["HttpBootUri"] == "http://10.77.0.1/boot.efi")
        talk.service.noted(.poweredOn, at: talk.moment.now)
        talk.service.noted(.bootOverrideUsed, at: talk.moment.now)
        #expect(talk.get("Systems/1")["Boot"]?["BootSourceOverrideEnabled"] == "Disabled")

        _ = talk.response(
            "PATCH", "Systems/1",
            ["Boot": ["BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Continuous"]])
        talk.service.noted(.bootOverrideUsed, at: talk.moment.now)
        #expect(talk.get("Systems/1")["Boot"]?["BootSourceOverrideTarget"] == "Pxe")
        #expect(
            talk.ask("PATCH", "Systems/1", ["Boot": ["BootSourceOverrideEnabled": "Disabled"]])
                == .perform(.boot(nil), then: .resource(["Systems", "1"])))
    }

    @Test("a BIOS machine has no UEFI HTTP boot and no Secure Boot")
    func bios() {
        var talk = Dialogue(firmware: .bios)
        let answer = talk.response("PATCH", "Systems/1", ["Boot": ["BootSourceOverrideTarget": "UefiHttp"]])
        #expect(answer.messages == ["PropertyValueNotInList"])
        #expect(talk.get("Systems/1")["Boot"]?["BootSourceOverrideMode"] == "Legacy")
        #expect(talk.response("GET", "Systems/1/SecureBoot").status == 404)
    }

    @Test("a change names what it changes, or it is refused in words")
    func patch() {
        var talk = Dialogue()
        #expect(talk.response("PATCH", "Systems/1", [:]).messages == ["NoOperation"])
        #expect(talk.response("PATCH", "Systems/1", ["Nonsense": 1]).messages == ["PropertyUnknown"])
        #expect(talk.response("PATCH", "Systems/1", ["UUID": "x"]).messages == ["PropertyNotWritable"])
        #expect(talk.response("PATCH", "Systems/1", ["AssetTag": 4]).messages == ["PropertyValueTypeError"])
        let mixed = talk.response("PATCH", "Systems/1", ["AssetTag": "rack 4", "UUID": "x"])
        #expect(mixed.status == 200)
        #expect(mixed.messages == ["PropertyNotWritable"])
        #expect(talk.get("Systems/1")["AssetTag"] == "rack 4")
        // One wrong value, and nothing changes.
        #expect(talk.response("PATCH", "Systems/1", ["AssetTag": "rack 5", "IndicatorLED": "Red"]).status == 400)
        #expect(talk.get("Systems/1")["AssetTag"] == "rack 4")
        #expect(talk.response("PUT", "Systems/1", ["AssetTag": "x"]).status == 405)
    }

    @Test("If-Match protects a change from one that came between")
    func etags() throws {
        var talk = Dialogue()
        let etag = try #require(talk.response("GET", "Systems/1").header("ETag"))
        #expect(talk.response("GET", "Systems/1", headers: [("If-None-Match", etag)]).status == 304)
        let first = talk.response("PATCH", "Systems/1", ["AssetTag": "one"], headers: [("If-Match", etag)])
        #expect(first.status == 200)
        let second = talk.response("PATCH", "Systems/1", ["AssetTag": "two"], headers: [("If-Match", etag)])
        #expect(second.status == 412)
        #expect(talk.get("Systems/1")["AssetTag"] == "one")
    }

    @Test("what a role may not do, it does not do")
    func roles() {
        var talk = Dialogue()
        for (name, role) in [("operator", "Operator"), ("guest", "ReadOnly")] {
            let body: JSON = ["UserName": .string(name), "Password": "password-1", "RoleId": .string(role)]
            #expect(talk.response("POST", "AccountService/Accounts", body).status == 201)
        }
        talk.credentials = "guest:password-1"
        #expect(talk.response("GET", "Systems/1").status == 200)
        #expect(talk.response("POST", "Systems/1/Actions/ComputerSystem.Reset", ["ResetType": "On"]).status == 403)
        #expect(talk.response("PATCH", "AccountService/Accounts/1", ["Password": "password-2"]).status == 403)
        #expect(talk.response("PATCH", "AccountService/Accounts/3", ["RoleId": "Administrator"]).status == 403)
        #expect(talk.response("PATCH", "AccountService/Accounts/3", ["Password": "password-3"]).status == 200)
        #expect(talk.response("GET", "Systems/1").status == 401)
        talk.credentials = "operator:password-1"
        #expect(
            talk.ask("POST", "Systems/1/Actions/ComputerSystem.Reset", ["ResetType": "On"])
                == .perform(.power(.on), then: .noContent))
        #expect(talk.response("POST", "Systems/1/LogServices/SEL/Actions/LogService.ClearLog", [:]).status == 403)
    }

    @Test("a new password is good at once, and the old one is not; no answer holds either")
    func passwords() throws {
        var talk = Dialogue()
        let before = try #require(talk.response("GET", "AccountService/Accounts/1").header("ETag"))
        #expect(talk.response("PATCH", "AccountService/Accounts/1", ["Password": "short"]).status == 400)
        let changed = talk.response("PATCH", "AccountService/Accounts/1", ["Password": "another-secret"])
        #expect(changed.status == 200)
        #expect(!String(decoding: changed.body, as: UTF8.self).contains("another-secret"))
        #expect(talk.response("GET", "AccountService/Accounts/1").status == 401)
        talk.credentials = "admin:another-secret"
        let after = talk.response("GET", "AccountService/Accounts/1")
        #expect(after.json["Password"] == .null)
        #expect(after.header("ETag") != before)
        #expect(talk.response("DELETE", "AccountService/Accounts/1").messages == ["ResourceCannotBeDeleted"])
    }
}
