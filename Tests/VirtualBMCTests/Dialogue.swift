import Foundation
import Model
import Testing

@testable import VirtualBMC

/// A conversation with a service, without I/O and without a clock of its own.
struct Dialogue {
    var service: RedfishService
    var moment = RedfishMoment(
        now: Timestamp(milliseconds: 1_800_000_000_000),
        reading: .nominal(power: .off, networkCards: 2), nonce: "token-1")
    var credentials = "admin:hostler-lab"

    init(firmware: BMCInventory.Firmware = .uefi) {
        var inventory = BMCInventory.simulated(7)
        inventory.firmware = firmware
        service = RedfishService(
            inventory: inventory,
            account: BMCAccount(id: "1", userName: "admin", password: "hostler-lab", role: .administrator),
            hasSerialPort: true)
        service.ipmiPort = 623
    }

    mutating func ask(
        _ method: String, _ target: String, _ body: JSON? = nil, headers: [(String, String)] = [], anonymous: Bool = false
    ) -> RedfishAnswer {
        var headers = headers.map { (name: $0.0, value: $0.1) }
        if !anonymous, !headers.contains(where: { $0.name == "X-Auth-Token" }) {
            headers.append(("Authorization", "Basic \(Data(credentials.utf8).base64EncodedString())"))
        }
        let target = target.hasPrefix("/") ? target : "/redfish/v1/\(target)"
        return service.answer(
            RedfishRequest(method: method, target: target, headers: headers, body: body?.bytes ?? []), at: moment)
    }

    /// The response; an order is carried out as if by hardware that obeys.
    mutating func response(
        _ method: String, _ target: String, _ body: JSON? = nil, headers: [(String, String)] = [], anonymous: Bool = false
    ) -> RedfishResponse {
        switch ask(method, target, body, headers: headers, anonymous: anonymous) {
        case .response(let response): return response
        case .perform(let order, let completion):
            service.done(order, at: moment.now)
            return service.response(completion, at: moment)
        case .events: return RedfishResponse(status: 200)
        }
    }

    mutating func get(_ target: String) -> JSON { response("GET", target).json }

    mutating func pass(seconds: Int64) { moment.now.milliseconds += seconds * 1000 }
}

extension RedfishResponse {
    var json: JSON { JSON(parsing: body) ?? .null }
    /// Keys of the messages, as `PropertyUnknown`.
    var messages: [String] {
        let list = json["error"]?["@Message.ExtendedInfo"] ?? json["@Message.ExtendedInfo"]
        return (list?.elements ?? []).compactMap { $0["MessageId"]?.text?.split(separator: ".").last.map(String.init) }
    }
}
