public import Model

/// A machine whose power an operator's own program switches (docs/power-exec.md): PDUs, smart plugs, AMT.
///
/// Only programs in one folder of the host can be named, so that whoever may add a BMC cannot run anything else.
public final class ExecPower: PowerSwitch {
    public static let folder = "/etc/hostler/power.d"

    private let name: String
    private let tool: HostTool
    private let environment: [String: String]
    private let password: String?
    private let timeout: Duration

    /// - Parameters:
    ///   - name: the file's name in `folder`.
    ///   - options: go to the program as `HOSTLER_OPTION_NAME`.
    public init(
        program name: String, folder: String = ExecPower.folder, userName: String?, password: String?, options: [String: String] = [:],
        timeout: Duration = .seconds(30)
    ) throws(Problem) {
        guard !name.isEmpty, !name.hasPrefix("."),
            name.utf8.allSatisfy({ byte in
                let character = Character(Unicode.Scalar(byte))
                return byte < 0x80 && (character.isLetter || character.isNumber || "._-".contains(character))
            })
        else {
            throw Problem(
                "bmc-address-invalid", status: 422, title: "“\(name)” is no name of a power program",
                remedy: "Put the program into \(folder) and give its file name.")
        }
        var variables: [String: String] = [:]
        if let userName { variables["HOSTLER_USER"] = userName }
        for (key, value) in options {
            let safe = key.uppercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" }
            variables["HOSTLER_OPTION_" + String(safe)] = value
        }
        self.name = name
        tool = HostTool(name: folder + "/" + name)
        environment = variables
        self.password = password
        self.timeout = timeout
    }

    public var address: String { name }

    public func readPower() async throws -> PowerReading {
        let text = try await call("status").trimmed
        guard let state = PowerState(rawValue: text) else {
            throw Problem.bmc(
                "reply-unknown", "“\(name) status” printed neither on nor off", detail: RedfishAnswer.head(Array(text.utf8)),
                remedy: "See docs/power-exec.md.")
        }
        return PowerReading(state: state)
    }

    public func request(_ request: PowerRequest) async throws { _ = try await call(request.rawValue) }

    private func call(_ verb: String) async throws -> String {
        let result = try await tool.run([verb], environment: environment, input: password.map { $0 + "\n" } ?? "", timeout: timeout)
        let said = RedfishAnswer.printable((result.errors + " " + result.output).trimmed)
        switch result.status {
        case 0: return result.output
        case 3: throw Problem.bmcUnsupported("do “\(verb)”", said.isEmpty ? "\(name) says so" : said)
        case 4: throw Problem.bmcUnauthorised(name, said: said)
        default: throw Problem.bmc("error", "“\(name) \(verb)” ended with \(result.status)", detail: said)
        }
    }
}
