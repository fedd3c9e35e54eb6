import Foundation
import Model
import Store
import Testing
import Wire

@testable import Control

/// User-data is read before vendor-data, and by it cloud-init decides whether the proof that a system is up gets there.
@Suite("User-data and the proof that a system is up")
struct UserDataAdmissionTests {
    struct Row: Sendable, CustomTestStringConvertible {
        /// Nil: it is fine.
        var code: String?
        var text: String
        var testDescription: String { (code ?? "fine") + ": " + text.prefix(160) }
    }

    private static func mime(_ type: String, _ body: String, headers: String = "", newline: String = "\n") -> String {
        """
        Content-Type: multipart/mixed;
         boundary="=_b 1"
        MIME-Version: 1.0

        preamble
        --=_b 1
        Content-Type: text/x-shellscript

        #!/bin/sh
        --=_b 1
        Content-Type: \(type)
        \(headers)
        \(body)
        --=_b 1--

        """.replacing("\n", with: newline)
    }

    private static let off = "user-data-vendor-data"
    private static let modules = "user-data-final-modules"
    private static let home = "user-data-phone-home"

    static let rows: [Row] =
        [
            "vendor_data: {enabled: false}", "vendor_data: false", "vendor_data: no", "vendor_data:", "vendor_data: []", "vendor_data: {enabled: 0}",
            "vendor_data: {enabled: null}", "vendor_data: {enabled: }", "vendor_data: {enabled: \"no\"}", "vendor_data: {enabled: off}",
            "vendor_data: {enabled: [true]}", "vendor_data: {disabled_handlers: [text/x-shellscript]}",
            "vendor_data: {enabled: true, disabled_handlers: [text/cloud-config]}", "vendor_data: {disabled_handlers: text/x-shellscript}",
            "\"vendor_data\": {\"enabled\": false}", "x: &off {vendor_data: {enabled: false}}\n<<: *off",
            "x: &off {enabled: false}\nvendor_data: {<<: *off}", "vendor_data: {enabled: true}\nvendor_data: false",
        ].map { Row(code: off, text: "#cloud-config\n\($0)\n") }
        + [
            "cloud_final_modules: [scripts-user, final-message]", "cloud_final_modules: []", "cloud_final_modules:",
            "cloud_final_modules:\n  - [scripts-user, always]\n  - name: runcmd",
        ].map { Row(code: modules, text: "#cloud-config\n\($0)\n") }
        + [
            "vendor_data: {enabled: true, prefix: [ionice]}", "vendor_data: {}", "vendor_data: {prefix: x}", "vendor_data: {enabled: \"Yes\"}",
            "vendor_data: {enabled: 1, disabled_handlers: []}", "cloud_final_modules: [scripts-vendor]",
            "cloud_final_modules: [[phone-home, always]]",
            "cloud_final_modules:\n  - name: cc_scripts_vendor.py", "packages: [curl]\nruncmd:\n  - echo phone_home", "packages: [a\n", "- a list",
            "",
        ].map { Row(text: "#cloud-config\n\($0)\n") }
        + [
            Row(code: home, text: "#cloud-config\nphone_home: {url: x}\n"), Row(code: home, text: "#cloud-config\nphone_home:\n"),
            Row(code: off, text: "\n  #Cloud-Config\nvendor_data: false\n"), Row(code: off, text: "#cloud-config\r\nvendor_data: false\r\n"),
            Row(code: off, text: "## template: jinja\n#cloud-config\nvendor_data: false\n"),
            Row(code: home, text: "## template: jinja\n#cloud-config\n{% if v1 %}\nphone_home:\n  url: {{ v1.x }}\n{% endif %}\n"),
            Row(text: "## template: jinja\n#cloud-config\n{% if v1 %}\npackages: [curl]\n{% endif %}\n"),
            Row(code: off, text: mime("text/cloud-config", "vendor_data: false\n")),
            Row(code: off, text: mime("text/cloud-config; charset=\"utf-8\"", "vendor_data: false\n", newline: "\r\n")),
            Row(code: off, text: mime("text/plain", "#cloud-config\nvendor_data: false\n")),
            Row(code: off, text: mime("text/jinja2", "## template: jinja\n#cloud-config\nvendor_data: false\n")),
            Row(
                code: off,
                text: mime(
                    "text/cloud-config", Data("vendor_data: false\n".utf8).base64EncodedString(options: .lineLength76Characters),
                    headers: "Content-Transfer-Encoding: base64\n")),
            Row(code: home, text: mime("text/cloud-config", "phone=5Fhome: {=\nurl: x}\n", headers: "Content-Transfer-Encoding: quoted-printable\n")),
            Row(code: modules, text: mime("multipart/mixed; boundary=in", "--in\n\n#cloud-config\ncloud_final_modules: []\n--in--\n")),
            Row(text: mime("text/cloud-config", "packages: [curl]\n")), Row(text: mime("text/x-note", "vendor_data: false\n")),
            Row(code: off, text: "MIME-Version: 1.0\nContent-Type: text/cloud-config\n\nvendor_data: false\n"),
            Row(code: off, text: "#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    vendor_data: false\n"),
            Row(code: off, text: "#cloud-config-archive\n- |\n  #cloud-config\n  vendor_data: false\n"),
            Row(text: "#cloud-config-archive\n- type: text/x-shellscript\n  content: |\n    #!/bin/sh\n    vendor_data: false\n"),
            Row(code: off, text: "#cloud-config-jsonp\n[{\"op\": \"add\", \"path\": \"/vendor_data\", \"value\": {\"enabled\": false}}]\n"),
            Row(text: "#cloud-config-jsonp\n[{\"op\": \"add\", \"path\": \"/packages\", \"value\": []}]\n"),
            Row(text: "#!/bin/sh\n# vendor_data: false\nphone_home: x\n"), Row(text: "{\"ignition\": {}}"), Row(text: ""),
        ]

    private func base64(_ text: String) -> Base64Bytes { Base64Bytes(base64: Data(text.utf8).base64EncodedString()) }

    private func code(_ body: () async throws -> Void) async -> String? {
        do {
            try await body()
            return nil
        } catch {
            #expect((error as? Problem)?.remedy != nil, "\(error)")
            return (error as? Problem)?.code ?? "\(error)"
        }
    }

    @Test("what keeps the proof from the system is refused, with a request and with `machine set`, for every data source", arguments: rows)
    func refused(row: Row) async throws {
        try await running(try await open(MemoryStore())) { control in
            let reply = try await boot(control)
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            let name = reply.machine.rawValue
            for source in DataSource.allCases {
                let request = InstallRequest(image: "debian-12", sshKeys: [], userData: base64(row.text), dataSource: source)
                #expect(await code { _ = try await control.start(.install(request), on: name, by: "test", agreeing: .dryRun) } == row.code)
            }
            #expect(try await control.machine(named: name).value.openOperation == nil)
            let patch = MachinePatch(userData: UserDataPatch(content: base64(row.text)))
            #expect(await code { _ = try await control.update(machine: name, with: patch, expecting: nil, by: "test") } == row.code)
        }
    }

    @Test("what an earlier version took with `machine set` is refused when it is installed with")
    func stored() async throws {
        let store = MemoryStore()
        try await running(try await open(store)) { control in
            let reply = try await boot(control)
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            let value = try RecordCoding.encode(StoredUserData(userData: base64("#cloud-config\nvendor_data: false\n")))
            _ = try await store.commit([.put(key: StoredUserData.key(reply.machine), value: value, if: .none)])
            for source in DataSource.allCases {
                let request = OperationRequest.install(InstallRequest(image: "debian-12", dataSource: source))
                #expect(await code { _ = try await control.start(request, on: reply.machine.rawValue, by: "test") } == Self.off)
            }
            #expect(try await control.machine(named: reply.machine.rawValue).value.openOperation == nil)
        }
    }

    @Test("no user-data is too strange to be looked at: any bytes, cut anywhere, containers in containers")
    func hostile() throws {
        let whole = Array(Self.mime("text/cloud-config", "vendor_data: false\n").utf8)
        for length in whole.indices { try? UserDataAdmission.check(Array(whole[..<length])) }
        var nested = "vendor_data: false\n"
        for number in 0..<50 {
            nested = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\(number)\n\n--b\(number)\n\(nested)\n--b\(number)--\n"
        }
        try? UserDataAdmission.check(Array(nested.utf8))
        // Each names the one before it ten times: written out it would be 10^12 values.
        let laughs = (1...12).map { "a\($0): &a\($0) [" + Array(repeating: $0 == 1 ? "x" : "*a\($0 - 1)", count: 10).joined(separator: ", ") + "]\n" }
        #expect(throws: Problem.self) { try UserDataAdmission.check(Array(("#cloud-config\n" + laughs.joined() + "vendor_data: *a12\n").utf8)) }
        try? UserDataAdmission.check(Array(("#cloud-config\n" + String(repeating: "[", count: 100_000)).utf8))
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let bytes = (0..<200).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            try? UserDataAdmission.check(Array("MIME-Version: 1.0\nContent-Type: multipart/x; boundary=\"\n\n".utf8) + bytes)
        }
    }
}
