/// The network card by which a host speaks to its own BMC (DSP0270). It stands among the system's cards, and on all boards of a
/// vendor it has one address.
enum HostInterface {
    /// Whether an EthernetInterface is one, by its own words or by those of the BMC's HostInterfaces.
    static func isOne(_ card: JSON, named: Set<RedfishPath>) -> Bool {
        if let path = card.link, named.contains(path) { return true }
        // EthernetInterface 1.3 `Links.HostInterface`; before that, vendors' names.
        if let link = card["Links"]?["HostInterface"], link.link != nil { return true }
        if card["UefiDevicePath"]?.text?.uppercased().contains("USB(") == true { return true }
        let names = [card["Id"]?.text, card["Name"]?.text, card.link?.text.split(separator: "/").last.map(String.init)]
        return names.compactMap { $0?.lowercased().filter { $0.isLetter || $0.isNumber } }.contains { name in
            words.contains(where: name.contains) || name.hasPrefix("usb")
        }
    }

    private static let words = [
        "tomanager", "tohost", "hostinterface", "hostethernetinterface", "managerethernetinterface", "managernetworkinterface", "rndis", "usbnic",
        "usbeth",
    ]
}
