import Model
import Testing
import Yams

@testable import Control

@Suite("A network-config that somebody gave")
struct GivenNetworkConfigTests {
    @Test(
        "stands in cloud-init's configuration as it was meant, in whichever form it was written",
        arguments: [
            "version: 2\nethernets:\n  eth0: {dhcp4: true}\n",
            "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n",
            "---\n# ours\nversion: 2\n\nethernets: {eth0: {dhcp4: true}}\n...\n",
            "%YAML 1.1\n---\nnetwork: {version: 2, ethernets: {eth0: {dhcp4: true}}}\n",
            "{\"version\": 2,\n \"ethernets\": {\"eth0\": {\"dhcp4\": true}}}",
            "{\"network\": {\"version\": 2, \"ethernets\": {\"eth0\": {\"dhcp4\": true}}}}",
            "anchors: &it {dhcp4: true}\nversion: 2\nethernets: {eth0: *it}\n",
        ])
    func forms(_ text: String) throws {
        let written = try GivenNetworkConfig(parsing: text).configuration()
        let whole = try #require(try Yams.load(yaml: written) as? [String: Any])
        #expect(Array(whole.keys) == ["network"])
        let network = try #require(whole["network"] as? [String: Any])
        #expect(network["version"] as? Int == 2)
        let ports = try #require(network["ethernets"] as? [String: [String: Bool]])
        #expect(ports == ["eth0": ["dhcp4": true]])
    }

    @Test("keeps what YAML would take for another type")
    func types() throws {
        let text = "version: 1\nconfig:\n- {type: physical, name: \"1\", mac_address: '52:54:00:12:34:56'}\n"
        let written = try GivenNetworkConfig(parsing: text).configuration()
        let whole = try #require(try Yams.load(yaml: written) as? [String: [String: Any]])
        let port = try #require((whole["network"]?["config"] as? [[String: Any]])?.first)
        #expect(port["name"] as? String == "1")
        #expect(port["mac_address"] as? String == "52:54:00:12:34:56")
    }

    @Test(
        "is refused with what is wrong with it",
        arguments: ["", "a: [1\nb", "ethernets: {}", "version: 3", "[1, 2]", "network: {version: 2", "network: 5"])
    func refusals(_ text: String) {
        let problem = #expect(throws: Problem.self) { try GivenNetworkConfig(parsing: text) }
        #expect(problem?.code == "network-config-invalid")
    }

    @Test("has a limit")
    func limit() {
        let text = "version: 2\n#" + String(repeating: "x", count: GivenNetworkConfig.limitBytes)
        let problem = #expect(throws: Problem.self) { try GivenNetworkConfig(parsing: text) }
        #expect(problem?.status == 413)
    }
}
