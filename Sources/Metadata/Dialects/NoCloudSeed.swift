internal import Model

/// NoCloud's four files (cloud-init, "NoCloud") as they are served over HTTP.
public enum NoCloudSeed {
    public static func metaData(_ view: InstanceView) -> [UInt8] {
        let tree: [(String, JSONTree)] = [
            ("instance-id", .string(view.instanceID)), ("local-hostname", .string(view.hostname)),
            ("public-keys", .texts(view.sshKeys)), ("availability-zone", .string(view.placement.zoneID)),
            ("region", .string(view.placement.regionID)), ("tags", .map(view.tags)),
        ]
        return JSONTree.object(tree).bytes + [UInt8(ascii: "\n")]
    }

    /// Where people want nothing special it is a YAML document without contents: cloud-init then asks DHCP on the first
    /// port. It would ask ten times, a second apart, for a file that is not there.
    public static func networkConfig(_ view: InstanceView) -> [UInt8] {
        view.network.map { NetplanConfig.bytes($0) } ?? Array("# DHCP on the first port\n".utf8)
    }

    /// cloud-init wants user-data to be there even where there is nothing to say.
    public static let emptyUserData = Array("#cloud-config\n{}\n".utf8)
}
