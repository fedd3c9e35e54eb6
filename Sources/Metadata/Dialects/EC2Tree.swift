internal import Model
internal import Wire

/// EC2's tree of metadata (Amazon EC2 User Guide, "Instance metadata categories"): what a path below
/// `meta-data/` holds. A directory's listing has a slash after the names of directories.
enum EC2Tree {
    /// The versions of the interface that clients ask for by date; all say the same.
    static let versions = [
        "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04",
        "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30",
        "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23",
        "2021-07-15", "2022-09-24", "latest",
    ]
    static let isVersion = Set(versions)

    /// The text at `path` (the parts after `meta-data`), or nil where there is nothing.
    static func text(at path: ArraySlice<String>, _ view: InstanceView) -> String? {
        let rest = path.dropFirst()
        switch path.first {
        case nil: return root(view)
        case "ami-id": return leaf(rest, view.image.map(ASCIIName.of) ?? "none")
        case "ami-launch-index": return leaf(rest, "0")
        case "hostname", "local-hostname": return leaf(rest, view.fullHostname)
        case "instance-action": return leaf(rest, "none")
        case "instance-id": return leaf(rest, view.instanceID)
        case "instance-life-cycle": return leaf(rest, "on-demand")
        case "instance-type": return leaf(rest, view.hardwareID)
        case "local-ipv4": return leaf(rest, view.address.description)
        case "mac": return leaf(rest, view.mac.description)
        case "network": return network(rest, view)
        case "placement": return placement(rest, view)
        case "public-keys": return publicKeys(rest, view)
        case "reservation-id": return leaf(rest, view.machine.rawValue)
        case "security-groups": return leaf(rest, "default")
        case "tags": return tags(rest, view)
        default: return nil
        }
    }

    private static func leaf(_ rest: ArraySlice<String>, _ value: String) -> String? { rest.isEmpty ? value : nil }

    private static func listing(_ names: [String]) -> String { names.joined(separator: "\n") }

    private static func root(_ view: InstanceView) -> String {
        var names = [
            "ami-id", "ami-launch-index", "hostname", "instance-action", "instance-id", "instance-life-cycle", "instance-type",
            "local-hostname", "local-ipv4", "mac", "network/", "placement/",
        ]
        if !view.sshKeys.isEmpty { names.append("public-keys/") }
        names += ["reservation-id", "security-groups"]
        if !view.tags.isEmpty { names.append("tags/") }
        return listing(names)
    }

    private static func placement(_ path: ArraySlice<String>, _ view: InstanceView) -> String? {
        let rest = path.dropFirst()
        switch path.first {
        case nil: return listing(["availability-zone", "availability-zone-id", "host-id", "region"])
        case "availability-zone", "availability-zone-id": return leaf(rest, view.placement.zoneID)
        case "host-id": return leaf(rest, view.machine.rawValue)
        case "region": return leaf(rest, view.placement.regionID)
        default: return nil
        }
    }

    private static func publicKeys(_ path: ArraySlice<String>, _ view: InstanceView) -> String? {
        guard !view.sshKeys.isEmpty else { return nil }
        guard let first = path.first else {
            return listing(view.sshKeys.enumerated().map { "\($0.offset)=\(keyName($0.element, $0.offset))" })
        }
        guard let index = Int(first), view.sshKeys.indices.contains(index), String(index) == first else { return nil }
        let rest = path.dropFirst()
        if rest.isEmpty { return "openssh-key" }
        return rest.first == "openssh-key" && rest.count == 1 ? view.sshKeys[index] : nil
    }

    /// The key's comment in a form that may stand in a listing.
    private static func keyName(_ key: String, _ index: Int) -> String {
        let comment = key.split(separator: " ", maxSplits: 2).dropFirst(2).first.map(String.init)
        return comment.map(ASCIIName.of) ?? "key-\(index)"
    }

    private static func tags(_ path: ArraySlice<String>, _ view: InstanceView) -> String? {
        guard !view.tags.isEmpty else { return nil }
        guard let first = path.first else { return "instance/" }
        guard first == "instance" else { return nil }
        let rest = path.dropFirst()
        guard let key = rest.first else { return listing(view.tags.keys.sorted()) }
        return rest.count == 1 ? view.tags[key] : nil
    }

    private static func network(_ path: ArraySlice<String>, _ view: InstanceView) -> String? {
        let path = Array(path)
        switch path.count {
        case 0: return "interfaces/"
        case 1: return path[0] == "interfaces" ? "macs/" : nil
        default: break
        }
        guard path[0] == "interfaces", path[1] == "macs" else { return nil }
        guard path.count > 2 else { return listing(view.ports.map { "\($0.mac)/" }) }
        guard let index = view.ports.firstIndex(where: { $0.mac.description == path[2] }) else { return nil }
        return port(path[3...], view.ports[index], number: index, view)
    }

    private static func port(
        _ path: ArraySlice<String>, _ port: InstanceView.Port, number: Int, _ view: InstanceView
    ) -> String? {
        let rest = path.dropFirst()
        switch path.first {
        case nil:
            var names = ["device-number", "interface-id"]
            if port.address != nil { names += ["local-hostname", "local-ipv4s"] }
            names.append("mac")
            if port.address != nil { names.append("subnet-ipv4-cidr-block") }
            return listing(names)
        case "device-number": return leaf(rest, String(number))
        case "interface-id": return leaf(rest, "eni-\(port.mac.description.filter { $0 != ":" })")
        case "mac": return leaf(rest, port.mac.description)
        case "local-hostname": return port.address == nil ? nil : leaf(rest, view.fullHostname)
        case "local-ipv4s": return port.address.flatMap { leaf(rest, $0.description) }
        case "subnet-ipv4-cidr-block":
            let prefix = view.placement.prefix
            return port.address == nil ? nil : leaf(rest, "\(prefix.network)/\(prefix.length)")
        default: return nil
        }
    }

    /// `dynamic/instance-identity/document`.
    static func identityDocument(_ view: InstanceView) -> [UInt8] {
        let document: [(String, JSONTree)] = [
            ("accountId", "000000000000"), ("architecture", "x86_64"), ("availabilityZone", .string(view.placement.zoneID)),
            ("billingProducts", .null), ("devpayProductCodes", .null), ("marketplaceProductCodes", .null),
            ("imageId", .text(view.image.map(ASCIIName.of))), ("instanceId", .string(view.instanceID)),
            ("instanceType", .string(view.hardwareID)), ("kernelId", .null),
            ("pendingTime", .text(view.installedAt?.description)), ("privateIp", .string(view.address.description)),
            ("ramdiskId", .null), ("region", .string(view.placement.regionID)), ("version", "2017-09-30"),
        ]
        return JSONTree.object(document).bytes
    }
}
