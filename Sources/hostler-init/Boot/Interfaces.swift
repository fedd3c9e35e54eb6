internal import CLinux
internal import Glibc
internal import Wire

/// The machine's Ethernet ports.
enum Interfaces {
    struct Port: Sendable {
        var name: String
        var mac: MACAddress

        /// Whether it only leads to the machine's own BMC: on all boards of a vendor it has one address.
        var isHostInterface: Bool {
            let driver = SystemFile.linkName("/sys/class/net/\(name)/device/driver")
            return Filler.isHostInterface(mac) || driver.map(Filler.hostInterfaceDrivers.contains) == true && mac.isLocallyAdministered
        }
    }

    /// Every Ethernet port with a device behind it, in the order of their names.
    static func all() -> [Port] {
        SystemFile.names(in: "/sys/class/net").compactMap { name in
            let folder = "/sys/class/net/\(name)"
            // ARPHRD_ETHER; the device is missing for what is only software.
            guard SystemFile.attribute("\(folder)/type") == "1", SystemFile.exists("\(folder)/device"),
                let mac = SystemFile.attribute("\(folder)/address").flatMap({ MACAddress($0) }), mac.value != 0
            else { return nil }
            return Port(name: name, mac: mac)
        }
    }

    /// Turns every port on, so that links come up and LLDP can be heard.
    static func turnOn(_ ports: [Port], log: AgentLog) {
        for port in ports {
            let code = agent_link_up(port.name)
            if code < 0 { log("\(port.name): cannot be turned on: \(String(cString: strerror(-code)))") }
        }
    }

    static func hasLink(_ name: String) -> Bool { SystemFile.attribute("/sys/class/net/\(name)/carrier") == "1" }
}
