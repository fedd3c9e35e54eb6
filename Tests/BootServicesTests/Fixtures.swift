import Control
import Foundation
import Logging
import Model
import Store
import Synchronization
import Wire

@testable import BootServices

/// A clock that moves only when told.
final class ManualClock: Sendable {
    private let milliseconds = Mutex<Int64>(1_700_000_000_000)
    var now: Timestamp { Timestamp(milliseconds: milliseconds.withLock { $0 }) }
    func advance(_ duration: Duration) { milliseconds.withLock { $0 += duration.wholeMilliseconds } }
    private let error = Mutex<Duration>(.zero)
    /// The wall clock is set by so much, and no time passes.
    func set(by duration: Duration) { error.withLock { $0 += duration } }
    var host: HostClock {
        HostClock(longestGap: nil) {
            let passed = self.now
            return .init(wall: passed + self.error.withLock { $0 }, sinceBoot: .milliseconds(passed.milliseconds), boot: "test")
        }
    }
}

struct NoImages: ImageCatalog {
    func image(named name: String) async throws -> InstallableImage? { nil }
    func image(digest: String) async throws -> InstallableImage? { nil }
}

func openControl(
    _ store: any StateStore = MemoryStore(), clock: ManualClock = ManualClock(),
    logger: Logger = Logger(label: "test")
) async throws -> ControlPlane {
    try await ControlPlane.open(
        store: store, images: NoImages(),
        environment: ControlEnvironment(clock: clock.host, logger: logger))
}

/// Waits for what another task or the kernel brings about. False where it does not come.
func eventually(within limit: Duration = .seconds(10), _ isThere: () async throws -> Bool) async rethrows -> Bool {
    let clock = ContinuousClock()
    let end = clock.now + limit
    while clock.now < end {
        if try await isThere() { return true }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return try await isThere()
}

func address(_ text: String) throws -> IPv4Address {
    guard let address = IPv4Address(text) else { throw FixtureError(what: "\(text) is no address") }
    return address
}

struct FixtureError: Error { var what: String }

/// A folder of the test's own.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "boot-\(UInt64.random(in: 0 ... .max))").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ bytes: Data) throws { try bytes.write(to: URL(filePath: path + "/" + name)) }
}
