import Model
import Testing
import Wire

@testable import Metadata

@Suite("A dialect of the metadata")
struct DialectTests {
    private func text(_ path: String, _ view: InstanceView) -> String? { EC2Tree.text(at: path.split(separator: "/").map(String.init)[...], view) }

    @Test("EC2's: every name that is listed leads somewhere, and directories alone have a slash")
    func walk() throws {
        let view = try view()
        var leaves: [String: String] = [:]
        func visit(_ path: String) throws {
            let listing = try #require(text(path, view), "\(path)")
            for name in listing.split(separator: "\n").map(String.init) {
                if name.hasSuffix("/") {
                    try visit(path + "/" + name.dropLast())
                } else if let equals = name.firstIndex(of: "=") {
                    #expect(text("\(path)/\(name[..<equals])", view) == "openssh-key")
                    leaves["\(path)/\(name[..<equals])"] = text("\(path)/\(name[..<equals])/openssh-key", view)
                } else {
                    let leaf: String = try #require(text("\(path)/\(name)", view), "\(path)/\(name)")
                    leaves["\(path)/\(name)"] = leaf
                }
            }
        }
        try visit("")
        #expect(leaves["/instance-id"] == "op-1234abcd")
        #expect(leaves["/local-hostname"] == "web-1.rack.example")
        #expect(leaves["/placement/region"] == "z-ufc-rich-u1f384")
        #expect(leaves["/placement/availability-zone"] == leaves["/placement/region"].map { $0 + "b" })
        #expect(leaves["/tags/instance/owner"] == "Bjørk")
        #expect(leaves["/public-keys/0"] == key)
        #expect(leaves["/network/interfaces/macs/52:54:00:00:00:01/local-ipv4s"] == "10.77.0.50")
        #expect(leaves["/network/interfaces/macs/52:54:00:00:00:02/device-number"] == "1")
        #expect(leaves["/network/interfaces/macs/52:54:00:00:00:02/local-ipv4s"] == nil)
        #expect(leaves.count == 29, "\(leaves.keys.sorted())")
    }

    @Test("EC2's: what a machine does not have is not listed")
    func bare() throws {
        let view = try view { $0.desired = DesiredMachine() }
        #expect(text("", view)?.contains("public-keys") == false)
        #expect(text("", view)?.contains("tags") == false)
        #expect(text("public-keys", view) == nil && text("tags/instance", view) == nil)
    }

    @Test("OpenStack's and Hostler's own are JSON that says what the machine is")
    func documents() throws {
        let view = try view { $0.desired.network = bondedNetwork() }
        let meta = try json(OpenStackTree.metaData(view))
        #expect(meta["uuid"] as? String == "op-1234abcd")
        #expect((meta["public_keys"] as? [String: String])?["key-0"] == key)
        #expect((meta["meta"] as? [String: String])?["owner"] == "Bjørk")
        let network = try json(OpenStackTree.networkData(view))
        let links = try #require(network["links"] as? [[String: Any]])
        #expect(links.map { $0["type"] as? String } == ["phy", "phy", "bond", "vlan"])
        let networks = try #require(network["networks"] as? [[String: Any]])
        #expect(networks.map { $0["link"] as? String } == ["bond0", "bond0.40"])
        let own = try json(SelfDocument.bytes(view))
        #expect(own["machine"] as? String == "m-7f3k2q")
        #expect((own["region"] as? [String: String])?["name"] == "Zürich 🎄")
        let identity = try json(EC2Tree.identityDocument(view))
        #expect(identity["region"] as? String == view.placement.regionID)
        #expect(identity["instanceId"] as? String == "op-1234abcd")
        let seed = try json(NoCloudSeed.metaData(view))
        #expect(seed["local-hostname"] as? String == "web-1")
    }

    @Test("netplan's has the bond, the VLAN, and a way to the metadata service")
    func netplan() throws {
        let network = try #require(MetadataRoute(gateway: prefix).added(to: bondedNetwork(), port: nil))
        let config = try json(NetplanConfig.bytes(network))
        #expect(config["version"] as? Int == 2)
        let bond = try #require((config["bonds"] as? [String: [String: Any]])?["bond0"])
        #expect(bond["interfaces"] as? [String] == ["eth0", "eth1"])
        #expect(bond["macaddress"] as? String == macs[0].description, "by it the machine is known")
        #expect((bond["parameters"] as? [String: Any])?["mode"] as? String == "active-backup")
        let routes = try #require(bond["routes"] as? [[String: Any]])
        #expect(routes.count == 1 && routes[0]["to"] as? String == "169.254.169.254/32" && routes[0]["via"] as? String == "10.77.0.1")
        let vlan = try #require((config["vlans"] as? [String: [String: Any]])?["bond0.40"])
        #expect(vlan["id"] as? Int == 40 && vlan["link"] as? String == "bond0" && vlan["mtu"] as? Int == 1400)
        let port = try #require((config["ethernets"] as? [String: [String: Any]])?["eth0"])
        #expect((port["match"] as? [String: String])?["macaddress"] == macs[0].description && port["set-name"] as? String == "eth0")
    }

    @Test("JSON is written as RFC 8259 has it, for any text")
    func escapes() throws {
        var generator = Seeded(state: 7)
        for _ in 0..<500 {
            let scalars = (0..<20).compactMap { _ in Unicode.Scalar(UInt32.random(in: 0..<0x1_0000, using: &generator)) }
            let text = String(String.UnicodeScalarView(scalars))
            let read = try json(JSONTree.object([("a", .string(text))]).bytes)
            #expect((read["a"] as? String).map { Array($0.unicodeScalars) } == Array(text.unicodeScalars))
        }
    }

    @Test("a name becomes safe ASCII, whatever script it is in", arguments: ["🎄", "Zürich", "東京", "a b", "..", "A_B", "--x--", "Ωmega/1"])
    func names(_ name: String) {
        let safe = ASCIIName.of(name)
        #expect(HostLabel.isValid(safe), "\(safe)")
        #expect(ASCIIName.of(safe) == safe)
    }

    @Test("user-data is read once, until ready, or always, as its access says")
    func access() {
        func reference(_ access: UserDataAccess, setAt: Int64 = 10) -> UserDataReference {
            UserDataReference(digest: "sha256:", byteCount: 1, access: access, setAt: Timestamp(milliseconds: setAt))
        }
        let later = Timestamp(milliseconds: 20)
        #expect(reference(.untilReady).isReadable(provedAt: nil, isInstalling: false))
        #expect(!reference(.untilReady).isReadable(provedAt: later, isInstalling: false))
        #expect(reference(.untilReady).isReadable(provedAt: later, isInstalling: true))
        #expect(reference(.untilReady, setAt: 30).isReadable(provedAt: later, isInstalling: false))
        #expect(reference(.always).isReadable(provedAt: later, isInstalling: false))
        var once = reference(.once)
        #expect(once.isReadable(provedAt: later, isInstalling: false))
        once.readAt = later
        #expect(!once.isReadable(provedAt: nil, isInstalling: true))
    }
}
