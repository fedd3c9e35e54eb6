internal import Model

/// The JSON Schemas (2020-12) of what the API takes and gives.
enum Schemas {
    static func reference(_ name: String) -> JSONValue { ["$ref": .string("#/components/schemas/\(name)")] }

    static let all: [String: JSONValue] = machine.merging(operation) { $1 }.merging(bmc) { $1 }.merging(server) { $1 }
        .merging(requests) { $1 }.merging(identity) { $1 }.merging(metadata) { $1 }.merging(machineSettings) { $1 }
        .merging(guarding) { $1 }

    static let text: JSONValue = ["type": "string"]
    static let integer: JSONValue = ["type": "integer"]
    static let boolean: JSONValue = ["type": "boolean"]
    static let time: JSONValue = ["type": "string", "format": "date-time"]
    static let textMap: JSONValue = ["type": "object", "additionalProperties": ["type": "string"]]

    static func map(of value: JSONValue) -> JSONValue { ["type": "object", "additionalProperties": value] }

    static func id(_ prefix: String) -> JSONValue {
        ["type": "string", "pattern": .string("^\(prefix)-[0-9a-hjkmnp-tv-z]{4,}$")]
    }
    static func list(_ items: JSONValue) -> JSONValue { ["type": "array", "items": items] }
    static func words<T: RawRepresentable<String> & CaseIterable>(_ type: T.Type) -> JSONValue {
        ["type": "string", "enum": .array(type.allCases.map { .string($0.rawValue) })]
    }

    /// An object of these members and no others; those in `optional` may be absent.
    static func object(_ required: [String: JSONValue], optional: [String: JSONValue] = [:]) -> JSONValue {
        [
            "type": "object", "properties": .object(required.merging(optional) { $1 }),
            "required": .array(required.keys.sorted().map { .string($0) }), "additionalProperties": false,
        ]
    }

    static func page(of name: String) -> JSONValue {
        object(["items": list(reference(name)), "revision": integer], optional: ["next": text, "skipped": list(text)])
    }

    private static let machine: [String: JSONValue] = [
        "MachineList": page(of: "Machine"),
        "Machine": object(
            [
                "id": id("m"), "name": text, "kind": words(MachineKind.self), "state": words(MachineState.self),
                "desired": object(
                    ["labels": textMap, "tags": textMap, "sshKeys": list(text)],
                    optional: [
                        "hostname": text, "userData": reference("UserDataReference"), "network": reference("NetworkConfig"),
                        "lease": object(["id": text, "endsAt": time], optional: ["endedAt": time, "holder": text]),
                    ]),
                "observed": object(
                    [:],
                    optional: [
                        "inventory": reference("Inventory"), "inventoryAt": time, "inventoryEpoch": integer, "address": text, "lastSeen": time,
                        "heardAt": time,
                        "agent": object(["boot": text, "since": time, "version": text], optional: ["mac": text, "address": text, "order": integer]),
                        "claimedInterfaces": list(object(["mac": text], optional: ["name": text, "bootedAt": time])),
                        "strangeBoard": strangeBoard, "foreignDisks": list(text),
                    ]),
                "interfaces": list(object(["mac": text], optional: ["name": text, "bootedAt": time])), "holds": list(reference("Hold")),
                "generation": integer, "createdAt": time, "updatedAt": time,
            ],
            optional: [
                "openOperation": id("op"), "installed": reference("Installation"), "unproved": reference("Installation"),
                "attestation": reference("Attestation"),
                "attestationRule": words(AttestationRule.self), "addedBy": text,
                "takenDisks": list(object(["name": text, "isWiped": boolean])),
            ]),
        "InterfaceRequest": object(["mac": text]),
        "MachineAddition": object(["mac": text], optional: ["name": text]),
        "Hold": object(
            ["id": id("hold"), "problem": reference("ProblemRecord"), "since": time, "evidence": list(text)],
            optional: ["operation": id("op")]),
        "Installation": object(
            [
                "operation": id("op"), "generation": integer, "image": text, "digest": text, "hostname": text,
                "installedAt": time, "hostKeys": list(text),
            ],
            optional: [
                "diskSerial": text, "disk": reference("DiskTarget"), "sshKeys": list(text), "isAdopted": boolean,
                "keyVerifiers": reference("KeyVerifiers"), "seedNamesOperation": boolean,
                "bootMark": object(["sector": integer, "head": text]),
            ]),
        "KeyVerifiers": [
            "type": "object", "description": "SHA-256 of the random keys of an installation.",
            "properties": ["instance": text, "seed": text], "required": ["instance", "seed"], "additionalProperties": false,
        ],
        "DiskTarget": [
            "type": "object", "description": "A disk that an operation writes: its name, and what the record said of it.",
            "properties": [
                "name": text, "wwn": text, "serial": text, "model": text, "bytes": integer, "path": text, "isNamed": boolean,
            ], "required": ["name", "isNamed"], "additionalProperties": false,
        ],
        "Inventory": [
            "type": "object", "description": "What the machine says of itself; what it does not say is absent.",
            "properties": [
                "system": ["type": "object"], "firmware": ["type": "object"], "memory": ["type": "object"],
                "cpus": list(object(["model": text, "cores": integer, "threads": integer])),
                "nics": list(["type": "object", "required": ["name", "mac", "link"]]),
                "disks": list([
                    "type": "object", "required": ["name", "bytes", "kind", "removable"],
                    "properties": [
                        "contents": object([
                            "items": list(object(["kind": text], optional: ["label": text, "partition": integer])), "partitions": integer,
                        ])
                    ],
                ]),
                "pci": list(["type": "object", "required": ["address", "ids"]]),
                "installations": list(["type": "object"]), "storageWithoutDriver": list(text),
            ], "required": ["system", "firmware", "cpus", "memory", "nics", "disks", "pci", "installations"],
        ],
        "Log": object(["lines": list(text)]),
    ]

    private static let operation: [String: JSONValue] = [
        "OperationList": page(of: "Operation"),
        "Operation": object(
            [
                "id": id("op"), "kind": words(OperationKind.self), "machine": id("m"), "generation": integer,
                "request": ["type": "object", "minProperties": 1, "maxProperties": 1, "description": "Keyed by the kind."],
                "steps": list(reference("Step")), "state": words(OperationState.self), "requestedBy": text,
                "cancelRequested": boolean, "createdAt": time,
            ],
            optional: [
                "problem": reference("ProblemRecord"), "finishedAt": time, "madeAfter": integer, "keyVerifiers": reference("KeyVerifiers"),
                "warnings": list(reference("ProblemRecord")), "approvedBy": text, "seedNamesOperation": boolean,
            ]),
        "Step": object(
            [
                "name": words(StepName.self),
                "state": ["type": "string", "enum": ["pending", "running", "succeeded", "failed", "undoing", "undone", "stuck"]],
                "attempts": integer, "evidence": textMap,
            ],
            optional: [
                "startedAt": time, "finishedAt": time, "deadline": time, "retryAt": time, "begun": integer, "due": integer, "wasPutOff": boolean,
                "progress": reference("Progress"), "problem": reference("ProblemRecord"),
            ]),
        "Progress": object(["done": integer, "total": integer, "unit": ["type": "string", "enum": ["bytes", "steps"]]]),
        "EventList": page(of: "Event"),
        "Event": object(
            ["id": text, "at": time, "kind": text, "actor": text, "message": text, "evidence": textMap],
            optional: ["machine": id("m"), "operation": id("op")]),
    ]

    private static let problemMembers: [String: JSONValue] = ["code": text, "title": text, "status": integer]
    private static let problemExtras: [String: JSONValue] = ["detail": text, "remedy": text]

    private static let server: [String: JSONValue] = [
        "ProblemRecord": object(problemMembers, optional: problemExtras),
        "Problem": object(
            problemMembers.merging(["type": text]) { $1 }, optional: problemExtras.merging(["instance": text]) { $1 }),
        "ImageList": page(of: "Image"),
        "Image": object(
            ["name": text, "state": words(ImageState.self)],
            optional: [
                "image": reference("ImageSummary"), "progress": reference("Progress"), "problem": reference("ProblemRecord"),
            ]),
        "ImageSummary": object(
            [
                "name": text, "digest": text, "diskBytes": integer, "dataBytes": integer, "storedBytes": integer,
                "chunkCount": integer, "annotations": textMap,
            ], optional: ["facts": reference("ImageFacts")]),
        "ImageFacts": object([
            "scheme": words(ImageFacts.Scheme.self), "sectorBytes": integer, "endBytes": integer, "tailBytes": integer,
            "hasFreeEntry": boolean, "firmware": list(["type": "string", "enum": ["bios", "uefi"]]), "loaders": list(text),
        ]),
        "TokenList": page(of: "Token"),
        "Token": object(["id": id("t"), "name": text, "role": words(Role.self), "createdAt": time], optional: ["expiresAt": time]),
        "NewToken": object(["token": reference("Token"), "secret": text]),
        "Status": object(
            [
                "version": text, "startedAt": time, "uptimeSeconds": integer, "revision": integer,
                "machines": ["type": "object", "additionalProperties": integer], "heldMachines": integer,
                "openOperations": integer, "images": integer, "memoryBytes": integer,
                "warnings": list(reference("ProblemRecord")), "counters": map(of: map(of: map(of: integer))),
            ], optional: ["machineNamespace": text, "waitingOperations": integer, "freeze": reference("Freeze")]),
        "Health": object(["status": text]),
        "Document": ["type": "object", "required": ["openapi", "info", "paths"]],
    ]

    private static let requests: [String: JSONValue] = [
        "MachinePatch": object(
            [:],
            optional: [
                "name": text, "hostname": text,
                "labels": [
                    "type": "object", "additionalProperties": ["type": ["string", "null"]],
                    "description": "null takes a label away; labels that are not named stay.",
                ],
                "tags": [
                    "type": "object", "additionalProperties": ["type": ["string", "null"]],
                    "description": "What the machine is told of itself; null takes a tag away.",
                ],
                "sshKeys": list(text), "userData": reference("UserDataPatch"), "network": reference("NetworkConfig"),
                "lease": [
                    "type": "object", "properties": ["endsAt": time, "holder": text],
                    "description": "Until when it is lent, and to whom; without endsAt it is lent no longer.",
                ],
            ]),
        "MachineBulkPatch": object([
            "items": list(object(["machine": text, "patch": reference("MachinePatch")], optional: ["revision": integer]))
        ]),
        "MachineBulkReply": bulkReply("Machine"),
        "InstallRequest": object(
            ["image": text],
            optional: [
                "hostname": text, "sshKeys": list(text), "networkConfig": text, "disk": text,
                "userData": ["type": "string", "contentEncoding": "base64"], "restart": words(RestartMethod.self),
                "dataSource": words(DataSource.self),
            ]),
        "WipeRequest": object(
            [:],
            optional: [
                "disks": [
                    "type": "array", "items": ["type": "string"],
                    "description": "By name. Left out: every disk inside the machine. Empty: none.",
                ]
            ]),
        "RescueRequest": object(["sshKeys": list(text)]),
        "OperationBulk": object([
            "items": list(
                object(
                    ["machine": text],
                    optional: [
                        "confirm": text, "install": reference("InstallRequest"), "wipe": reference("WipeRequest"),
                        "rescue": reference("RescueRequest"), "inspect": object([:]),
                    ]))
        ]),
        "OperationBulkReply": bulkReply("Operation"),
        "ImageRequest": object(["name": text, "url": text], optional: ["sha256": text]),
        "TokenRequest": object(["name": text, "role": words(Role.self)], optional: ["expiresAt": time]),
    ]

    private static func bulkReply(_ name: String) -> JSONValue {
        object([
            "results": list(
                object(["machine": text], optional: ["value": reference(name), "problem": reference("ProblemRecord")]))
        ])
    }
}
