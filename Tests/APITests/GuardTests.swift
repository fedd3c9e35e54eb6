import Control
import Foundation
import Model
import NIOHTTP1
import Testing

@testable import API

@Suite("What destroys something goes through one guard") struct GuardTests {
    /// Deletions that lose nothing that could not be had again at once.
    private static let harmless: Set<String> = ["ejectMedia", "unbindBMC"]
    /// What destroys, stops or forgets something without being called a deletion.
    private static let destructive: Set<String> = [
        "installMachine", "wipeMachine", "rescueMachine", "setPower", "updateFirmware", "pushFirmware", "takeInterface", "replaceIdentityKeys",
        "approveOperation", "takeMachine", "inspectMachine",
    ]
    /// The items of a bulk request have their own confirmations.
    private static let bulk: Set<String> = ["startOperations"]
    /// What changes a machine.
    private static let changing: Set<String> = [
        "installMachine", "wipeMachine", "inspectMachine", "rescueMachine", "startOperations", "approveOperation", "deleteMachine", "releaseHold",
        "takeInterface", "setPower", "setBootOverride", "clearHardwareLog", "stageFirmwareSettings", "setSecureBoot", "insertMedia", "ejectMedia",
        "updateFirmware", "pushFirmware", "rotateBMCPassword", "takeMachine",
    ]
    /// What changes no machine, although it is no question.
    private static let recordOnly: Set<String> = [
        "addMachine", "updateMachine", "updateMachines", "cancelOperation", "importImage", "deleteImage", "createToken", "revokeToken", "addBMC",
        "removeBMC", "bindBMC", "unbindBMC",
        "verifyBMC", "trustBMC", "scanForBMCs", "takeBackup", "freeze", "thaw", "replaceIdentityKeys", "mintIdentityToken", "acceptMachineBoot",
        "forgetMachineTPM", "setAttestationRule", "signSSHUserKey", "signSSHHostKey", "signMachineHostKeys",
    ]

    @Test("every route that deletes, and every other that destroys, foresees what will be lost") func everyRoute() {
        for route in APIRouter.routes {
            let destroys = route.method == .delete && !Self.harmless.contains(route.name) || Self.destructive.contains(route.name)
            #expect((route.foresee != nil) == destroys, "\(route.method.rawValue) \(route.path)")
        }
        #expect(Self.destructive.isSubset(of: APIRouter.routes.map(\.name)))
    }

    @Test("every route that is not a question is either stopped by a freeze or changes no machine; a new one is in one list")
    func freezeKnowsAll() {
        for route in APIRouter.routes where route.method != .get {
            let name = route.name
            #expect(Self.changing.contains(name) != Self.recordOnly.contains(name), "\(name) belongs to one list")
            #expect(route.stopsInFreeze == Self.changing.contains(name), "\(name)")
        }
    }

    /// The target and body of a request to a route that would work.
    private func request(_ route: Route, _ machine: Machine, _ operation: OperationID, token: String) -> (path: String, body: String?) {
        let path = route.path.replacing("{machine}", with: "one").replacing("{operation}", with: operation.rawValue)
            .replacing("{hold}", with: "hold-0000").replacing("{token}", with: token).replacing("{image}", with: "web").replacing("{bmc}", with: "b")
        let body: String? =
            switch route.name {
            case "installMachine": #"{"image":"other"}"#
            case "wipeMachine": "{}"
            case "rescueMachine": #"{"sshKeys":[]}"#
            case "setPower": #"{"action":"off"}"#
            case "updateFirmware": #"{"url":"http://x/fw"}"#
            case "takeInterface": #"{"mac":"52:54:00:00:00:09"}"#
            default: nil
            }
        return (path + (route.name == "pushFirmware" ? "?name=fw.bin" : ""), body)
    }

    @Test("each is refused without a confirmation, and with a stale one; a dry run writes nothing and says what to confirm")
    func refused() async throws {
        try await Rack.with { rack in
            let machine = try await rack.machine("one", state: .running)
            var operation = Model.Operation(
                id: OperationID(unchecked: "op-0000"), machine: machine.id, generation: 1, request: .wipe(WipeRequest()), steps: [],
                requestedBy: "t", createdAt: machine.createdAt)
            operation.state = .waiting
            _ = try await rack.control.put(operation)
            let token = try await rack.tokens.create(name: "old", role: .viewer).token.id.rawValue
            _ = try await rack.send(.POST, "/v1/images", body: #"{"name":"web","url":"http://x/there"}"#)
            while try await rack.send(.GET, "/v1/images/web").json["state"] != .string("ready") { await Task.yield() }
            var tried: Set<String> = []
            // Without BMCs and an issuer these say so before anything else.
            for route in APIRouter.routes where route.foresee != nil && !["removeBMC", "replaceIdentityKeys"].contains(route.name) {
                let (path, body) = request(route, machine, operation.id, token: token)
                let mark = path.contains("?") ? "&" : "?"
                let method = HTTPMethod(rawValue: route.method.rawValue)
                let before = try await rack.store.currentRevision()
                let unasked = try await rack.send(method, path, body: body)
                #expect(unasked.status == 428 && unasked.code == "confirmation-needed", "\(route.name): \(unasked.text)")
                let stale = try await rack.send(method, path + mark + "confirm=0123456789abcdef", body: body)
                #expect(stale.status == 412 && stale.code == "confirmation-stale", "\(route.name): \(stale.text)")
                let dry = try await rack.send(method, path + mark + "dryRun=true", body: body)
                #expect(dry.status == 200, "\(route.name): \(dry.text)")
                let consequence = try dry.decode(Consequence.self)
                let confirmation = try #require(consequence.confirmation, "\(route.name)")
                #expect(!consequence.losses.isEmpty && unasked.text.contains(confirmation), "the refusal says the way, too: \(route.name)")
                let faults = SchemaCheck.faults(try dry.json, Schemas.reference("Consequence"), at: "$")
                #expect(faults.isEmpty, "\(route.name): \(faults)")
                #expect(try await rack.store.currentRevision() == before, "\(route.name) wrote something")
                // With it the order goes through: it is not refused by the guard any more.
                let agreed = try await rack.send(method, path + mark + "confirm=\(confirmation)", body: body)
                #expect(!["confirmation-needed", "confirmation-stale"].contains(agreed.code), "\(route.name): \(agreed.text)")
                tried.insert(route.name)
                // What was deleted is there again for the next.
                _ = try await rack.control.put(machine)
                _ = try await rack.control.put(operation)
            }
            #expect(tried.count >= 12)
            let gone = try await rack.send(.DELETE, "/v1/images/web")
            #expect(gone.status == 404)
            #expect(rack.control.kinds.contains("image.removed") && rack.control.kinds.contains("token.revoked"))
        }
    }

    @Test("a dry run that is asked for without a value, or twice, is refused and not taken for none") func unclear() async throws {
        try await Rack.with { rack in
            try await rack.machine("one", state: .ready)
            let before = try await rack.store.currentRevision()
            for query in ["dryRun", "dryRun=", "dryRun=true&dryRun=false", "dryRun=false&dryRun=true", "dryRun=1", "confirm=x&confirm=y"] {
                let answer = try await rack.send(.POST, "/v1/machines/one/install?\(query)", body: #"{"image":"web"}"#)
                #expect(answer.status == 400 && ["query-invalid", "query-twice"].contains(answer.code), "\(query): \(answer.text)")
            }
            #expect(try await rack.store.currentRevision() == before)
        }
    }

    @Test("what loses nothing needs no confirmation") func nothingLost() async throws {
        try await Rack.with { rack in
            try await rack.machine("one", state: .ready)
            #expect(try await rack.send(.POST, "/v1/machines/one/install", body: #"{"image":"web"}"#).status == 202)
        }
    }

    @Test("an image that an installation uses is removed under no name of it; nobody uses the second name for another")
    func imageInUse() async throws {
        try await Rack.with { rack in
            let machine = try await rack.machine("one")
            _ = try await rack.send(.POST, "/v1/images", body: #"{"name":"debian-12","url":"http://x/there"}"#)
            while try await rack.send(.GET, "/v1/images/debian-12:latest").json["state"] != .string("ready") { await Task.yield() }
            var wanted = InstallRequest(image: "debian-12")
            wanted.digest = "sha256:00"
            let operation = Model.Operation(
                id: OperationID(unchecked: "op-0000"), machine: machine.id, generation: 1, request: .install(wanted), steps: [],
                requestedBy: "t", createdAt: machine.createdAt)
            _ = try await rack.control.put(operation)
            for name in ["debian-12", "debian-12:latest", "debian-12%3Alatest", "%64ebian-12"] {
                for query in ["", "?dryRun=true", "?confirm=0123456789abcdef"] {
                    let answer = try await rack.send(.DELETE, "/v1/images/\(name)\(query)")
                    #expect(answer.status == 409 && answer.code == "image-in-use", "\(name)\(query): \(answer.text)")
                }
            }
            #expect(try await rack.send(.DELETE, "/v1/images/Debian-12").code == "invalid-image-name")
            #expect(try await rack.send(.GET, "/v1/images/debian-12").status == 200)
            let again = try await rack.send(.POST, "/v1/images", body: #"{"name":"debian-12:latest","url":"http://x/other"}"#)
            #expect(again.code == "image-exists")
        }
    }

    @Test("each item of a bulk request agrees for itself, and a dry run of all starts none") func bulk() async throws {
        try await Rack.with { rack in
            try await rack.machine("one", state: .running)
            let body = #"{"items":[{"machine":"one","wipe":{}}]}"#
            let dry = try await rack.send(.POST, "/v1/operations?dryRun=true", body: body)
            let lost = try #require(try dry.decode(BulkReply<Consequence>.self).results.first?.value)
            #expect(lost.losses.map(\.kind) == [.system] && lost.confirmation != nil)
            #expect(try await rack.control.records.all(Model.Operation.self).isEmpty)
        }
    }

    @Test("a freeze refuses what changes a machine, in every answer says so, and only an admin makes or ends one") func freeze() async throws {
        try await Rack.with { rack in
            let machine = try await rack.machine("one", state: .running)
            for role in [Role.viewer, .operator] {
                #expect(try await rack.send(.POST, "/v1/freeze", as: role, body: #"{"reason":"x"}"#).status == 403)
                #expect(try await rack.send(.POST, "/v1/thaw", as: role).status == 403)
            }
            #expect(try await rack.send(.POST, "/v1/thaw").code == "not-frozen")
            #expect(try await rack.send(.GET, "/v1/machines").headers.first(name: "Hostler-Frozen") == nil)
            let frozen = try await rack.send(.POST, "/v1/freeze", body: #"{"reason":"row 2 is hot"}"#)
            #expect(SchemaCheck.faults(try frozen.json, Schemas.reference("FreezeState"), at: "$").isEmpty)
            for route in APIRouter.routes where route.stopsInFreeze {
                let (path, body) = request(route, machine, OperationID(unchecked: "op-0000"), token: "t-0000")
                for query in ["", "dryRun=true"] where query.isEmpty || route.foresee != nil {
                    let target = query.isEmpty ? path : path + (path.contains("?") ? "&" : "?") + query
                    let answer = try await rack.send(.init(rawValue: route.method.rawValue), target, body: body ?? "{}")
                    #expect(answer.status == 423 && answer.code == "frozen" && answer.text.contains("row 2 is hot"), "\(route.name): \(answer.text)")
                }
            }
            #expect(try await rack.send(.GET, "/v1/machines", as: .viewer).headers.first(name: "Hostler-Frozen") == "row%202%20is%20hot")
            #expect(try await rack.send(.GET, "/healthz", as: nil).headers.first(name: "Hostler-Frozen") == nil, "strangers are not told")
            let status = try await rack.send(.GET, "/v1/status").decode(StatusReply.self)
            #expect(status.freeze?.reason == "row 2 is hot" && status.warnings.first?.code == "frozen")
            #expect(try await rack.send(.GET, "/metrics").text.contains("hostler_frozen 1"))
            #expect(try await rack.send(.POST, "/v1/thaw").status == 200)
            #expect(try await rack.send(.GET, "/metrics").text.contains("hostler_frozen 0"))
        }
    }
}
