import Foundation
import Model
import Testing
import Wire

@testable import API

@Suite("The OpenAPI document") struct OpenAPITests {
    @Test("every route is in the document and everything in the document is served") func complete() async throws {
        #expect(OpenAPIDocument.operations == OpenAPIDocument.routes)
        try await Rack.with { rack in
            let document = try await rack.send(.GET, "/openapi.json", as: nil).json
            #expect(document == OpenAPIDocument.document(version: "0.0-test"))
            for line in OpenAPIDocument.operations {
                let parts = line.split(separator: " ")
                let path = String(parts[1]).replacing(/\{[a-z]+\}/, with: "x")
                let answer = try await rack.send(.init(rawValue: String(parts[0])), path, as: nil)
                #expect(answer.code != "route-not-found" && answer.code != "method-not-allowed", "\(line)")
            }
        }
    }

    @Test("every reference leads to a schema, and every operation has a name of its own") func references() throws {
        let document = OpenAPIDocument.document(version: "1")
        var wanted: Set<String> = []
        func walk(_ value: JSONValue) {
            switch value {
            case .object(let members):
                if case .string(let target)? = members["$ref"] { wanted.insert(target) }
                members.values.forEach(walk)
            case .array(let items): items.forEach(walk)
            default: break
            }
        }
        walk(document)
        for target in wanted { #expect(Schemas.all[String(target.split(separator: "/").last ?? "")] != nil, "\(target)") }
        let names = APIRouter.routes.map(\.name)
        #expect(Set(names).count == names.count)
    }

    @Test("what the routes answer is of the form that the document says") func replies() async throws {
        try await Rack.with { rack in
            var machine = try await rack.machine("one")
            machine.observed.inventory = Inventory()
            machine.holds = [
                Hold(id: HoldID(unchecked: "hold-0000"), problem: Problem("a", title: "b"), operation: nil, since: machine.createdAt)
            ]
            machine.installed = Installation(
                operation: OperationID(unchecked: "op-0000"), generation: 1, image: "i", digest: "d", hostname: "h",
                diskSerial: nil, installedAt: machine.createdAt)
            machine.desired.tags = ["role": "web"]
            machine.desired.userData = UserDataReference(digest: "sha256:", byteCount: 1, access: .once, setAt: machine.createdAt)
            machine.desired.network = NetworkConfig(
                ethernets: [EthernetLink(name: "eth0", mac: MACAddress(value: 1), addressing: LinkAddressing(dhcp: true, mtu: 1500))],
                bonds: [BondLink(name: "bond0", mode: .lacp, members: ["eth0"], monitorMilliseconds: 100)],
                vlans: [VLANLink(name: "v", id: 4, link: "bond0")], bridges: [BridgeLink(name: "br0", members: ["v"])])
            _ = try await rack.control.put(machine)
            _ = try await rack.control.put(
                Event(id: "0000", at: machine.createdAt, kind: "a.b", actor: "x", message: "y", evidence: ["k": "v"]))
            let install = try await rack.send(.POST, "/v1/machines/one/install", body: #"{"image":"debian-12"}"#)
            try check(install, "Operation")
            let fixed: [(String, String)] = [
                ("/v1/machines", "MachineList"), ("/v1/machines/one", "Machine"), ("/v1/operations", "OperationList"),
                ("/v1/events", "EventList"), ("/v1/status", "Status"), ("/v1/tokens", "TokenList"),
                ("/v1/images", "ImageList"), ("/v1/machines/one/log", "Log"), ("/healthz", "Health"),
                ("/v1/machines/none", "Problem"),
            ]
            for (path, schema) in fixed { try check(try await rack.send(.GET, path), schema) }
        }
    }

    private func check(_ answer: Rack.Answer, _ schema: String) throws {
        let faults = SchemaCheck.faults(try answer.json, Schemas.reference(schema), at: "$")
        #expect(faults.isEmpty, "\(schema): \(faults)")
    }
}

/// The part of JSON Schema that our document uses.
enum SchemaCheck {
    static func faults(_ value: JSONValue, _ schema: JSONValue, at path: String) -> [String] {
        if case .string(let target)? = schema["$ref"] {
            guard let found = Schemas.all[String(target.split(separator: "/").last ?? "")] else { return ["\(path): no \(target)"] }
            return faults(value, found, at: path)
        }
        var faults: [String] = []
        if let type = schema["type"], !isOf(value, type) { faults.append("\(path) is not \(type)") }
        if case .array(let values)? = schema["enum"], !values.contains(value) { faults.append("\(path) is not in \(values)") }
        if case .string(let pattern)? = schema["pattern"], case .string(let text) = value,
            text.range(of: pattern, options: .regularExpression) == nil
        {
            faults.append("\(path) is not \(pattern)")
        }
        if case .array(let items) = value, let item = schema["items"] {
            for (index, element) in items.enumerated() { faults += self.faults(element, item, at: "\(path)[\(index)]") }
        }
        guard case .object(let members) = value else { return faults }
        if case .array(let required)? = schema["required"] {
            for case .string(let name) in required where members[name] == nil { faults.append("\(path).\(name) is missing") }
        }
        for (name, member) in members {
            if let known = schema["properties"]?[name] {
                faults += self.faults(member, known, at: "\(path).\(name)")
            } else if let other = schema["additionalProperties"] {
                if other == .bool(false) { faults.append("\(path).\(name) is not in the schema") }
                if case .object = other { faults += self.faults(member, other, at: "\(path).\(name)") }
            }
        }
        return faults
    }

    private static func isOf(_ value: JSONValue, _ type: JSONValue) -> Bool {
        if case .array(let types) = type { return types.contains { isOf(value, $0) } }
        return switch (value, type) {
        case (.object, "object"), (.array, "array"), (.string, "string"), (.bool, "boolean"), (.null, "null"): true
        case (.number(let number), "integer"): number == number.rounded()
        case (.number, "number"): true
        default: false
        }
    }
}
