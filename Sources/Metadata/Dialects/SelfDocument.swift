internal import Model
internal import Wire

/// Hostler's own account of a machine to itself: `/hostler/v1/self`.
public enum SelfDocument {
    public static func bytes(_ view: InstanceView) -> [UInt8] {
        let ports = view.ports.map { port -> JSONTree in
            ["mac": .string(port.mac.description), "name": .text(port.name), "address": .text(port.address?.description)]
        }
        let placement = view.placement
        let lease = view.lease.map { lease -> JSONTree in
            ["id": .string(lease.id), "endsAt": .string(lease.endsAt.description), "endedAt": .text(lease.endedAt?.description)]
        }
        let tree: [(String, JSONTree)] = [
            ("machine", .string(view.machine.rawValue)), ("instance", .string(view.instanceID)), ("name", .string(view.name)),
            ("hostname", .string(view.hostname)), ("domain", .text(placement.domain)), ("kind", .string(view.kind.rawValue)),
            ("state", .string(view.state.rawValue)), ("hardware", .text(view.hardware)),
            ("region", ["id": .string(placement.regionID), "name": .string(placement.region)]),
            ("zone", .string(placement.zoneID)),
            ("address", .string(view.address.description)), ("mac", .string(view.mac.description)), ("ports", .array(ports)),
            ("image", .text(view.image)), ("imageDigest", .text(view.imageDigest)),
            ("installedAt", .text(view.installedAt?.description)), ("tags", .map(view.tags)), ("sshKeys", .texts(view.sshKeys)),
            ("lease", lease ?? .null), ("userDataDigest", .text(view.userDataDigest)),
            ("network", view.network.map { NetplanConfig.tree($0) } ?? .null),
        ]
        return JSONTree.object(tree).bytes
    }
}
