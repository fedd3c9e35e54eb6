import Control
import Foundation
import Model
import Testing

@testable import hostler

@Suite("The brake in the configuration file") struct BrakeSettingsTests {
    private func load(_ text: String) throws -> BrakeLimits? {
        let path = FileManager.default.temporaryDirectory.appending(path: "hostler-\(UInt64.random(in: 0 ... .max)).yaml").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return try ServerConfiguration.load(path).brake
    }

    @Test("what is not set is as usual, and a server has limits without any") func partial() throws {
        let limits = try #require(try load("brake: {wipesPerHour: 3, powerOffsAtOnce: 0}"))
        var wanted = BrakeLimits()
        (wanted.wipesPerHour, wanted.powerOffsAtOnce) = (3, 0)
        #expect(limits == wanted)
        #expect(try load("stateDirectory: /x") == nil)
        let usual = BrakeLimits()
        #expect(usual.installsPerHour == 60 && usual.installsAtOnce == 40 && usual.wipesPerHour == 20 && usual.wipesAtOnce == 10)
        #expect(usual.powerOffsPerHour == 20 && usual.powerOffsAtOnce == 10)
    }

    @Test(
        "a limit that is misspelt, negative, too large or no number is an error",
        arguments: [
            "wipePerHour: 3", "wipesPerHour: -1", "wipesPerHour: 1001", "wipesPerHour: 9223372036854775808", "wipesPerHour: many",
            "wipesPerHour: [3]", "installsAtOnce: 1.5",
        ])
    func wrong(_ line: String) {
        #expect(throws: Problem.self) { _ = try load("brake: {\(line)}") }
    }
}
