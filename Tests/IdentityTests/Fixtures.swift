import Crypto
import Foundation
import Logging
import Model
import Store
import Synchronization

@testable import Identity

/// A running machine, a clock moved by hand, and an issuer that looks at both.
final class Rig: Sendable {
    let store = MemoryStore()
    let clock = Mutex(Timestamp(milliseconds: 1_800_000_000_000))
    let question: Mutex<IdentityQuestion>
    let events = Mutex<[(kind: String, message: String)]>([])
    let sealing: [UInt8]

    static let machine = MachineID(unchecked: "m-7f3k2q")

    init() throws {
        question = Mutex(IdentityQuestion(machine: try Self.running()))
        sealing = SealingKey.random()
    }

    static func running() throws -> Machine {
        let at = Timestamp(milliseconds: 1_700_000_000_000)
        var machine = Machine(id: Self.machine, name: try DisplayName("web-1"), interfaces: [], now: at)
        machine.state = .running
        machine.installed = Installation(
            operation: OperationID(unchecked: "op-12345678"), generation: 1, image: "debian-12", digest: "sha256:abcd",
            hostname: "web-1", diskSerial: nil, installedAt: at)
        machine.desired.labels = ["project": "red", "region": "north"]
        return machine
    }

    var now: Timestamp { clock.withLock { $0 } }
    func pass(_ time: Duration) { clock.withLock { $0 = $0 + time } }

    func service(schedule: KeySchedule = .init()) async throws -> IdentityService {
        let known = Self.machine
        return try await IdentityService(
            issuer: IssuerURL("https://rack.example:8443/"), region: "south", store: store, sealing: SealingKey(sealing),
            schedule: schedule,
            surroundings: IdentitySurroundings(
                question: { id in id == known ? self.question.withLock { $0 } : IdentityQuestion(machine: nil) },
                record: { kind, _, _, message, _ in self.events.withLock { $0.append((kind, message)) } },
                now: { self.now }, logger: Logger(label: "test")))
    }
}

/// The payload of a JWS in compact form.
func payload(_ token: String) throws -> [String: Any] { try part(token, 1) }
func header(_ token: String) throws -> [String: Any] { try part(token, 0) }

private func part(_ token: String, _ index: Int) throws -> [String: Any] {
    var text = token.split(separator: ".")[index].replacing("-", with: "+").replacing("_", with: "/")
    while !text.count.isMultiple(of: 4) { text += "=" }
    let data = Data(base64Encoded: String(text)) ?? Data()
    return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
}
