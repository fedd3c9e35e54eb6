internal import Model

extension Schemas {
    private static let bmcFacts = object(
        ["macs": list(text), "counts": ["type": "object", "additionalProperties": integer]],
        optional: [
            "vendor": text, "model": text, "firmware": text, "systemUUID": text, "serial": text, "hostInterfaces": list(text),
            "otherSerials": list(text),
        ])
    static let strangeBoard = object(
        ["port": text, "findings": list(reference("FactFinding")), "since": time], optional: ["uuid": text, "serial": text])
    static let bmc: [String: JSONValue] = [
        "BMCList": page(of: "BMC"),
        "BMC": object(
            [
                "id": id("bmc"), "kind": words(BMCKind.self), "address": text, "trustsAuthorities": boolean, "options": textMap,
                "observed": object(
                    ["breaker": words(BreakerState.self)],
                    optional: [
                        "power": reference("ObservedPower"), "problem": reference("ProblemRecord"), "problemAt": time,
                        "faults": list(reference("HardwareFault")), "logMark": object([:], optional: ["id": text, "time": text]),
                    ]),
                "createdAt": time, "updatedAt": time,
            ],
            optional: [
                "userName": text, "machine": id("m"), "binding": reference("BMCBinding"), "proposals": list(reference("BMCProposal")),
                "denied": list(id("m")), "system": text, "fingerprint": text,
                "heldOverride": object(["operation": id("op"), "wanted": reference("BootOverride"), "since": time]),
                "facts": bmcFacts,
            ]),
        "BMCBinding": object(
            ["basis": words(BMCBinding.Basis.self), "by": text, "at": time, "findings": list(reference("FactFinding"))],
            optional: ["facts": bmcFacts]),
        "BMCProposal": object(["machine": id("m"), "findings": list(reference("FactFinding"))]),
        "FactFinding": object(["fact": words(IdentityFact.self), "standing": words(FactStanding.self), "detail": text]),
        "BMCBindRequest": object([:], optional: ["machine": text]),
        "ObservedPower": object(["state": words(PowerState.self), "at": time]),
        "BMCRequest": object(
            ["kind": words(BMCKind.self), "address": text],
            optional: [
                "userName": text, "password": ["type": "string", "writeOnly": true], "machine": text, "system": text,
                "fingerprint": text, "trustsAuthorities": boolean, "options": textMap, "makesMachine": boolean, "macs": list(text),
            ]),
        "BMCScanRequest": object(["network": text]),
        "FoundBMCs": object([
            "items": list(
                object(
                    ["address": text, "kinds": list(words(BMCKind.self))],
                    optional: ["vendor": text, "product": text, "redfishVersion": text, "fingerprint": text, "known": id("bmc")]))
        ]),
        "BMCTrust": object([:], optional: ["fingerprint": text]),
        "PowerRequest": object(["action": words(PowerAction.self)]),
        "PowerProof": object([
            "action": words(PowerAction.self), "state": words(PowerState.self), "at": time, "requests": integer, "evidence": list(text),
        ]),
        "BootOverride": object(["target": words(BootTarget.self)], optional: ["persistent": boolean, "uri": text, "uefi": boolean]),
        "MachineHealth": object([
            "health": words(HealthState.self), "power": words(PowerState.self), "readings": list(reference("SensorReading")), "at": time,
        ]),
        "SensorReading": object(
            ["name": text, "kind": words(SensorReading.Kind.self), "health": words(HealthState.self)],
            optional: ["value": ["type": "number"], "unit": text, "lowerCritical": ["type": "number"], "upperCritical": ["type": "number"]]),
        "HardwareFault": object([
            "sensor": text, "kind": words(SensorReading.Kind.self), "health": words(HealthState.self), "why": text, "since": time,
        ]),
        "SensorHistories": object(
            [
                "machine": id("m"), "faults": list(reference("HardwareFault")),
                "sensors": list(
                    object([
                        "reading": reference("SensorReading"), "at": time,
                        "samples": list(object(["at": time, "value": ["type": "number"]])),
                    ])),
            ], optional: ["at": time]),
        "ConsoleState": object(
            ["machine": id("m"), "connected": boolean, "recordedBytes": integer, "readers": integer],
            optional: ["since": time, "problem": reference("ProblemRecord")]),
        "HardwareLog": object([
            "entries": list(object(["id": text, "severity": words(HealthState.self), "message": text], optional: ["time": text]))
        ]),
    ]
}
