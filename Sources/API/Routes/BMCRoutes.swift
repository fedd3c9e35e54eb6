internal import Control
internal import Hummingbird
public import Model
internal import Wire

enum BMCRoutes {
    static let routes: [Route] = records + machines

    private static let records: [Route] = [
        Route(
            method: .get, path: "/v1/bmcs", name: "listBMCs", summary: "The BMCs, with what was seen of them and when",
            access: .role(.viewer), reply: .json("BMCList")
        ) { call in
            let revision = try await call.server.records.store.currentRevision().rawValue
            return try .json(ListReply(items: await bmcs(call).all(), revision: revision, next: nil))
        },
        Route(
            method: .post, path: "/v1/bmcs", name: "addBMC",
            summary: "Add a BMC, once it answered with this password; its machine is found by what it says of itself",
            access: .role(.admin), body: "BMCRequest", reply: .json("BMC", status: .created)
        ) { call in
            let added = try await bmcs(call).add(call.body(BMCRequest.self), by: call.actor)
            return try .json(added, status: .created, headers: [.location: "/v1/bmcs/\(added.id)"])
        },
        Route(
            method: .post, path: "/v1/bmc-scans", name: "scanForBMCs",
            summary: "Look for BMCs in a network, at a bounded rate and without credentials", access: .role(.operator),
            body: "BMCScanRequest", reply: .json("FoundBMCs")
        ) { call in
            let request = try await call.body(BMCScanRequest.self)
            return try .json(FoundBMCsReply(items: await bmcs(call).scan(request.network, by: call.actor)))
        },
        Route(
            method: .get, path: "/v1/bmcs/{bmc}", name: "getBMC", summary: "One BMC, by id, address or machine",
            access: .role(.viewer), reply: .json("BMC")
        ) { call in try .json(await bmcs(call).bmc(named: call.path("bmc")).value) },
        Route(
            method: .delete, path: "/v1/bmcs/{bmc}", name: "removeBMC", summary: "Forget a BMC and its password",
            access: .role(.admin), reply: .none,
            foresee: { call in try await removal(of: bmcs(call).bmc(named: call.path("bmc")).value) }
        ) { call in
            try await bmcs(call).remove(call.path("bmc"), by: call.actor)
            return .nothing
        },
        Route(
            method: .post, path: "/v1/bmcs/{bmc}/verify", name: "verifyBMC", summary: "Log in to a BMC and ask anew who it is",
            access: .role(.operator), reply: .json("BMC")
        ) { call in try .json(await bmcs(call).verify(call.path("bmc"), by: call.actor)) },
        Route(
            method: .post, path: "/v1/bmcs/{bmc}/machine", name: "bindBMC",
            summary: "Say in which machine a BMC is; without one, in the only one that is proposed", access: .role(.operator),
            body: "BMCBindRequest", reply: .json("BMC")
        ) { call in
            let request = try await call.body(BMCBindRequest.self)
            return try .json(await bmcs(call).bind(call.path("bmc"), to: request.machine, by: call.actor))
        },
        Route(
            method: .delete, path: "/v1/bmcs/{bmc}/machine", name: "unbindBMC",
            summary: "Say that a BMC is not in the machine that it was taken for, or that is proposed", access: .role(.operator),
            reply: .json("BMC")
        ) { call in try .json(await bmcs(call).unbind(call.path("bmc"), by: call.actor)) },
        Route(
            method: .post, path: "/v1/bmcs/{bmc}/trust", name: "trustBMC",
            summary: "Trust this certificate of a BMC, or whichever it shows next", access: .role(.admin), body: "BMCTrust",
            reply: .json("BMC")
        ) { call in
            let trust = try await call.body(BMCTrust.self)
            return try .json(await bmcs(call).trust(call.path("bmc"), fingerprint: trust.fingerprint, by: call.actor))
        },
        Route(
            method: .post, path: "/v1/bmcs/{bmc}/rotate", name: "rotateBMCPassword",
            summary: "Give a BMC a new password, prove it, and forget the old one", access: .role(.admin), reply: .json("BMC"), stopsInFreeze: true
        ) { call in try .json(await bmcs(call).rotatePassword(call.path("bmc"), by: call.actor)) },
    ]

    private static let machines: [Route] = [
        Route(
            method: .get, path: "/v1/machines/{machine}/power", name: "getPower", summary: "A machine's power, read now",
            access: .role(.viewer), reply: .json("ObservedPower")
        ) { call in try .json(await bmcs(call).powerStatus(machine: call.path("machine"))) },
        Route(
            method: .post, path: "/v1/machines/{machine}/power", name: "setPower",
            summary: "Switch a machine, and prove it by reading back; answers when it is proved or its deadline is over",
            access: .role(.operator),
            query: [
                .init(name: "beyondLimits", summary: "With an admin's token: also beyond the limits for the whole rack.", type: "boolean")
            ],
            body: "PowerRequest", reply: .json("PowerProof"), stopsInFreeze: true,
            foresee: { call in try await call.consequence(of: .power(call.body(PowerActionRequest.self).action)) }
        ) { call in
            let request = try await call.body(PowerActionRequest.self)
            let beyondLimits = try call.flag("beyondLimits")
            if beyondLimits, call.token?.role != .admin {
                throw Problem(
                    "role-too-low", status: 403, title: "Only an admin may go beyond the limits for the whole rack",
                    remedy: "Wait until the hour is over, or ask an admin.")
            }
            return try .json(
                await bmcs(call).power(request.action, machine: call.path("machine"), by: call.actor, beyondLimits: beyondLimits))
        },
        Route(
            method: .get, path: "/v1/machines/{machine}/boot", name: "getBootOverride", summary: "Where a machine boots from next, read now",
            access: .role(.viewer), reply: .json("BootOverride")
        ) { call in try .json(await bmcs(call).bootOverride(machine: call.path("machine"))) },
        Route(
            method: .post, path: "/v1/machines/{machine}/boot", name: "setBootOverride",
            summary: "Say where a machine boots from next, and read it back", access: .role(.operator), body: "BootOverride",
            reply: .json("BootOverride"), stopsInFreeze: true
        ) { call in
            let wanted = try await call.body(BootOverrideRequest.self).value
            return try .json(await bmcs(call).setBoot(wanted, machine: call.path("machine"), by: call.actor))
        },
        Route(
            method: .get, path: "/v1/machines/{machine}/health", name: "getMachineHealth",
            summary: "A machine's sensors and health, read now", access: .role(.viewer), reply: .json("MachineHealth")
        ) { call in try .json(await bmcs(call).health(machine: call.path("machine"))) },
        Route(
            method: .get, path: "/v1/machines/{machine}/sensors", name: "getMachineSensors",
            summary: "What was read of a machine's sensors in the last hour, and what is wrong with it", access: .role(.viewer),
            reply: .json("SensorHistories")
        ) { call in try .json(await bmcs(call).sensors(machine: call.path("machine"))) },
        Route(
            method: .get, path: "/v1/machines/{machine}/hardware-log", name: "getHardwareLog",
            summary: "The newest entries of the BMC's event log, newest first", access: .role(.viewer), query: [.limit],
            reply: .json("HardwareLog")
        ) { call in
            let limit = try call.number("limit", in: 1...1000, default: 100)
            return try .json(HardwareLogReply(entries: await bmcs(call).hardwareLog(machine: call.path("machine"), limit: limit)))
        },
        Route(
            method: .delete, path: "/v1/machines/{machine}/hardware-log", name: "clearHardwareLog", summary: "Clear the BMC's event log",
            access: .role(.operator), reply: .none, stopsInFreeze: true, foresee: { try await $0.consequence(of: .clearLog) }
        ) { call in
            try await bmcs(call).clearHardwareLog(machine: call.path("machine"), by: call.actor)
            return .nothing
        },
    ]

    private static func removal(of bmc: BMC) -> Consequence {
        .naming(
            .removeBMC, target: bmc.id.rawValue, name: bmc.address,
            losses: [
                .init(
                    .password, id: "\(bmc.id) \(bmc.address)",
                    "the record of BMC \(bmc.address)\(bmc.machine.map { " of \($0)" } ?? ""), its certificate's fingerprint and its password; where it was rotated, nobody else knows it"
                )
            ])
    }

    static func bmcs(_ call: Call) throws(Problem) -> any BMCControl {
        guard let bmcs = call.server.bmcs else {
            throw Problem("bmcs-off", status: 503, title: "This server speaks to no BMCs")
        }
        return bmcs
    }
}

/// The entries of a BMC's event log, newest first.
public struct HardwareLogReply: Codable, Sendable {
    public var entries: [HardwareLogEntry]
}

extension BMCRequest: RequestBodyForm {
    static let fields = [
        "kind", "address", "userName", "password", "machine", "system", "fingerprint", "trustsAuthorities", "options", "makesMachine",
        "macs",
    ]
}

/// What a scan found, in the order of addresses.
public struct FoundBMCsReply: Codable, Sendable {
    public var items: [FoundBMC]
}

struct BMCScanRequest: RequestBodyForm {
    static let fields = ["network"]
    var network: IPv4Prefix
}

struct BMCBindRequest: RequestBodyForm {
    static let fields = ["machine"]
    var machine: String?
}

struct BMCTrust: RequestBodyForm {
    static let fields = ["fingerprint"]
    var fingerprint: String?
}

struct PowerActionRequest: RequestBodyForm {
    static let fields = ["action"]
    var action: PowerAction
}

struct BootOverrideRequest: RequestBodyForm {
    static let fields = ["target", "persistent", "uri", "uefi"]
    var value: BootOverride

    private enum CodingKeys: CodingKey { case target, persistent, uri, uefi }
    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        value = BootOverride(
            target: try container.decode(BootTarget.self, forKey: .target),
            persistent: try container.decodeIfPresent(Bool.self, forKey: .persistent) ?? false,
            uri: try container.decodeIfPresent(String.self, forKey: .uri),
            uefi: try container.decodeIfPresent(Bool.self, forKey: .uefi))
    }
}
