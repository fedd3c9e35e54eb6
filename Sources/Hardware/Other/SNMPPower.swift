internal import FoundationEssentials
public import Model

/// An outlet of a PDU, switched by SNMP with Debian's snmp tools. The community goes to them by a file of
/// mode 0600, never by their arguments.
public final class SNMPPower: PowerSwitch {
    /// What a PDU calls an outlet, and its states.
    public struct Outlet: Sendable, Equatable {
        public var oid: String
        public var on: Int
        public var off: Int

        /// - Parameter options: `outlet` and `model` (`apc`, `servertech`, `raritan`), or `oid`, `on`, `off`.
        public init(_ options: [String: String]) throws(Problem) {
            if let oid = options["oid"] {
                guard Self.isOID(oid), let on = Int(options["on"] ?? "1"), let off = Int(options["off"] ?? "2") else { throw Self.invalid }
                (self.oid, self.on, self.off) = (oid, on, off)
                return
            }
            guard let number = options["outlet"].flatMap({ Int($0) }), (1...512).contains(number) else { throw Self.invalid }
            switch options["model"] ?? "apc" {
            // PowerNet-MIB sPDUOutletCtl: 1 on, 2 off.
            case "apc": (oid, on, off) = ("1.3.6.1.4.1.318.1.1.4.4.2.1.3.\(number)", 1, 2)
            // Sentry3-MIB outletControlAction of tower 1, infeed 1: 1 on, 2 off.
            case "servertech": (oid, on, off) = ("1.3.6.1.4.1.1718.3.2.3.1.11.1.1.\(number)", 1, 2)
            // PDU2-MIB switchingOperation of PDU 1: 1 on, 0 off.
            case "raritan": (oid, on, off) = ("1.3.6.1.4.1.13742.6.4.1.2.1.2.1.\(number)", 1, 0)
            default: throw Self.invalid
            }
        }

        private static func isOID(_ text: String) -> Bool {
            let parts = text.split(separator: ".")
            return (4...64).contains(parts.count) && parts.allSatisfy { UInt32($0) != nil }
        }

        private static let invalid = Problem(
            "bmc-option-invalid", status: 422, title: "An SNMP outlet is not described",
            remedy: "Give outlet=NUMBER and model=apc, servertech or raritan; or oid=…, on=NUMBER, off=NUMBER.")

        /// Of what `snmpget -Oqv` printed.
        public func state(_ text: String) -> PowerState {
            switch Int(text.trimmed) {
            case on: .on
            case off: .off
            default: .unknown
            }
        }
    }

    private let host: String
    private let community: String
    private let outlet: Outlet
    private let network: BMCNetwork
    private static let get = HostTool(name: "snmpget", package: "snmp")
    private static let set = HostTool(name: "snmpset", package: "snmp")

    public init(host: String, community: String, options: [String: String], network: BMCNetwork = .own) throws(Problem) {
        self.network = network
        guard !host.hasPrefix("-"), community.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\"") }) else {
            throw Problem("bmc-address-invalid", status: 422, title: "Host or community have characters that SNMP does not")
        }
        self.host = host
        self.community = community
        outlet = try Outlet(options)
    }

    public var address: String { host }

    public func readPower() async throws -> PowerReading {
        PowerReading(state: outlet.state(try await call(Self.get, ["-Oqve", host, outlet.oid])))
    }

    public func request(_ request: PowerRequest) async throws {
        let value: Int
        switch request {
        case .on: value = outlet.on
        case .off: value = outlet.off
        case .shutdown, .restart: throw unable("do “\(request.rawValue)”")
        }
        _ = try await call(Self.set, ["-Oqve", host, outlet.oid, "i", String(value)])
    }

    private func call(_ tool: HostTool, _ arguments: [String]) async throws -> String {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("hostler-snmp-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let settings = "defVersion 2c\ndefCommunity \"\(community)\"\n"
        guard FileManager.default.createFile(atPath: folder + "/snmp.conf", contents: Data(settings.utf8), attributes: [.posixPermissions: 0o600])
        else {
            throw Problem.bmc("unreachable", "The settings for the SNMP tools could not be written")
        }
        let result = try await tool.run(
            ["-t", "2", "-r", "2"] + arguments, environment: ["SNMPCONFPATH": folder], namespace: network.namespace, timeout: .seconds(20))
        guard result.status == 0 else {
            throw Problem.bmcUnreachable(host, RedfishAnswer.printable((result.errors + " " + result.output).trimmed))
        }
        return result.output
    }
}
