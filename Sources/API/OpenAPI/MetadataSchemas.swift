internal import Model

extension Schemas {
    /// What machines are told of themselves, and the network that they are to have.
    static let metadata: [String: JSONValue] = [
        "UserDataReference": object(
            ["digest": text, "byteCount": integer, "access": words(UserDataAccess.self), "setAt": time], optional: ["readAt": time]),
        "UserDataPatch": object(
            [:],
            optional: [
                "content": [
                    "type": "string", "contentEncoding": "base64", "description": "At most 16 MiB; without it the user-data is taken away.",
                ],
                "access": words(UserDataAccess.self),
            ]),
        "NetworkConfig": object(
            [:],
            optional: [
                "ethernets": list(
                    object(["name": text, "mac": text], optional: addressing.merging(["rename": ["type": "boolean"]]) { first, _ in first })),
                "bonds": list(
                    object(
                        ["name": text, "mode": words(BondLink.Mode.self), "members": list(text)],
                        optional: addressing.merging(["monitorMilliseconds": integer]) { $1 })),
                "vlans": list(object(["name": text, "id": integer, "link": text], optional: addressing)),
                "bridges": list(
                    object(
                        ["name": text, "members": list(text)], optional: addressing.merging(["spanningTree": boolean]) { $1 })),
            ]),
        "LinkAddressing": object(
            [:],
            optional: [
                "dhcp": boolean, "addresses": list(text), "routes": list(object(["to": text, "via": text], optional: ["metric": integer])),
                "nameservers": list(text), "searchDomains": list(text), "mtu": integer,
            ]),
    ]

    private static let addressing: [String: JSONValue] = ["addressing": reference("LinkAddressing")]
}
