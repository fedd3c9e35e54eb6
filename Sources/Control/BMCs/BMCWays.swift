internal import Hardware
internal import Model
internal import Wire

extension BMCWays {
    /// Throws where the record does not say what its kind needs.
    func way(to bmc: BMC, password: String?) throws(Problem) -> any PowerSwitch {
        if let substitute { return try substitute(bmc, password) }
        switch bmc.kind {
        case .redfish: return try redfish(bmc, credentials(bmc, password))
        case .ipmi:
            guard let address = HostAddress(bmc.address) else { throw Self.invalidAddress(bmc, "a host, or host:port") }
            var options = try IPMIBMC.Options(bmc.options)
            options.port = address.port ?? options.port
            return IPMIBMC(host: address.host, credentials: try credentials(bmc, password), options: options, network: network)
        case .exec:
            return try ExecPower(
                program: bmc.address, folder: execFolder ?? ExecPower.folder, userName: bmc.userName, password: password, options: bmc.options)
        case .wol:
            guard let mac = MACAddress(bmc.address.lowercased()) else { throw Self.invalidAddress(bmc, "the machine's MAC address") }
            return try WakeOnLAN(mac: mac, options: bmc.options, network: network)
        case .snmp:
            guard let address = HostAddress(bmc.address) else { throw Self.invalidAddress(bmc, "the PDU's host") }
            let host = address.port.map { "\(address.host):\($0)" } ?? address.host
            return try SNMPPower(host: host, community: password ?? "private", options: bmc.options, network: network)
        }
    }

    private func redfish(_ bmc: BMC, _ credentials: BMCCredentials) throws(Problem) -> any PowerSwitch {
        guard let address = RedfishAddress(bmc.address) else { throw Self.invalidAddress(bmc, "a host, host:port or https://host") }
        if let option = bmc.options.keys.sorted().first {
            throw Problem("bmc-option-invalid", status: 422, title: "“\(option)” is no option of a Redfish BMC", remedy: "It has none.")
        }
        let trust = CertificateTrust(pinned: bmc.fingerprint)
        let facts = bmc.facts
        let quirks = facts.map {
            QuirkTable.quirks(for: .init(vendor: $0.vendor, model: $0.model, firmware: $0.firmware))
        }
        let client = RedfishClient(
            transport: HTTPTransport(address, trust: trust, trustsAuthorities: bmc.trustsAuthorities, network: network),
            address: address.description,
            credentials: credentials, quirks: quirks ?? .none)
        let network = network
        return RedfishBMC(client: client, trust: bmc.trustsAuthorities ? nil : trust, system: bmc.system) { credentials, port in
            var options = IPMIBMC.Options()
            options.port = port
            let host = address.host.filter { $0 != "[" && $0 != "]" }
            return IPMIBMC(host: host, credentials: credentials, options: options, network: network)
        }
    }

    private func credentials(_ bmc: BMC, _ password: String?) throws(Problem) -> BMCCredentials {
        guard let userName = bmc.userName, let password else {
            throw Problem(
                "bmc-credentials-missing", status: 422, title: "A BMC of kind \(bmc.kind.rawValue) needs a user name and a password",
                remedy: "hostler bmc add \(bmc.address) --user NAME, with the password on standard input or in HOSTLER_BMC_PASSWORD")
        }
        guard !userName.isEmpty, userName.utf8.count <= 256, !userName.hasPrefix("-"), !userName.contains(":") else {
            throw Problem("bmc-user-invalid", status: 422, title: "“\(userName)” is no user name of a BMC")
        }
        return BMCCredentials(userName: userName, password: password)
    }

    private static func invalidAddress(_ bmc: BMC, _ wanted: String) -> Problem {
        Problem(
            "bmc-address-invalid", status: 422, title: "“\(bmc.address)” is no address of a BMC of kind \(bmc.kind.rawValue)",
            remedy: "Give \(wanted).")
    }
}

/// `host` or `host:port`, as names and numbers are written; nothing that a tool could take for an option.
struct HostAddress: Equatable {
    var host: String
    var port: Int?

    init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2, let name = parts.first, (1...253).contains(name.utf8.count), !name.hasPrefix("-"),
            name.utf8.allSatisfy({
                $0 < 0x80
                    && (Character(Unicode.Scalar($0)).isLetter || Character(Unicode.Scalar($0)).isNumber || $0 == UInt8(ascii: ".")
                        || $0 == UInt8(ascii: "-"))
            })
        else { return nil }
        host = name
        if parts.count == 2 {
            guard let number = Int(parts[1]), (1...65535).contains(number) else { return nil }
            port = number
        }
    }
}
