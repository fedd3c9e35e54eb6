internal import Model

extension RedfishBMC: ConsoleOffering {
    /// By IPMI, where the BMC says that it has the console there: Redfish has none of its own.
    public func holdConsole(_ end: ConsoleEnd) async throws { try await console().holdConsole(end) }

    public func freeConsole() async throws { try await console().freeConsole() }

    private func console() async throws -> IPMIBMC {
        guard let byIPMI, let port = try await consolePort() else {
            throw Problem.bmcUnsupported(
                "the serial console", "the BMC at \(address) does not say that IPMI's serial over LAN is enabled")
        }
        return byIPMI(client.withCredentials { $0 }, port)
    }

    /// What the system says of it, or on older BMCs its manager (Manager 1.0 `SerialConsole`).
    private func consolePort() async throws -> Int? {
        let system = try await system()
        if let port = system.ipmiConsolePort { return port }
        guard let path = system.controllers.first else { return nil }
        let manager = try await client.get(path).json
        guard manager["SerialConsole"]?["ServiceEnabled"]?.flag == true,
            manager["SerialConsole"]?["ConnectTypesSupported"]?.items.contains(where: { $0.text == "IPMI" }) == true
        else { return nil }
        guard let protocols = manager["NetworkProtocol"]?.link else { return 623 }
        let ipmi = try await client.get(protocols).json["IPMI"]
        return ipmi?["ProtocolEnabled"]?.flag == false ? nil : ipmi?["Port"]?.integer ?? 623
    }
}
