import Control
import Logging
import Model
import OCI
import Store
import Synchronization
import Wire

/// A clock that moves only when told.
final class ManualClock: Sendable {
    private let milliseconds = Mutex<Int64>(1_700_000_000_000)
    var now: Timestamp { Timestamp(milliseconds: milliseconds.withLock { $0 }) }
    func advance(_ duration: Duration) { milliseconds.withLock { $0 += duration.wholeMilliseconds } }
}

struct OneImage: ImageCatalog {
    static let digest = "sha256:" + String(repeating: "ab", count: 32)
    var diskBytes: Int64 = 2_000_000_000
    var facts: ImageFacts?
    static let blob = OCI.Digest(digest)
    static let other = OCI.Digest("sha256:" + String(repeating: "cd", count: 32))

    func image(named name: String) async throws -> InstallableImage? { name == "debian-12" ? try await image(digest: Self.digest) : nil }
    func image(digest text: String) async throws -> InstallableImage? {
        guard let digest = OCI.Digest(text), text == Self.digest else { return nil }
        return InstallableImage(
            name: "debian-12", digest: text, diskBytes: diskBytes, blobDigest: digest, indexDigest: digest,
            properties: ImageProperties(name: "debian-12"), facts: facts)
    }
}

/// Where machines reach the control plane.
let testBase = "http://10.77.0.1:8080"
let testMAC = MACAddress(value: 0x5254_0077_0001)
let testSender = Sender(mac: testMAC, address: IPv4Address("10.77.0.50"), interface: "eth0")

func inventory(disks: [(String, Int64)] = [("D1", 8_000_000_000)]) -> Inventory {
    var inventory = Inventory()
    inventory.disks = disks.enumerated().map { index, disk in
        var facts = Inventory.DiskFacts(name: "vd\(index)", bytes: disk.1, kind: .virtual)
        facts.serial = disk.0.isEmpty ? nil : disk.0
        // Its agent has looked, and found nothing.
        facts.contents = DiskContents()
        return facts
    }
    inventory.nics = [Inventory.NICFacts(name: "eth0", mac: testMAC, link: true)]
    return inventory
}

/// A disk as an agent that looks where it is reports it.
func reported(
    _ name: String, serial: String? = nil, wwn: String? = nil, bytes: Int64 = 8_000_000_000, place: DiskPlace = .inside, path: String? = nil
) -> Inventory.DiskFacts {
    var disk = Inventory.DiskFacts(name: name, bytes: bytes, kind: .ssd)
    (disk.serial, disk.wwn, disk.place, disk.path, disk.contents) = (serial, wwn, place, path, DiskContents())
    return disk
}

func machine(_ state: MachineState = .ready, now: Timestamp = Timestamp(milliseconds: 0)) throws -> Machine {
    var machine = Machine(
        id: MachineID(unchecked: "m-test01"), name: try DisplayName("one"), interfaces: [Interface(mac: testMAC, bootedAt: now)], now: now)
    machine.state = state
    // All but a new one were looked at.
    machine.observed.foreignDisks = state == .new ? nil : []
    return machine
}

func open(
    _ store: any StateStore, clock: ManualClock = ManualClock(), epoch: Int = 0, images: OneImage = OneImage()
) async throws -> ControlPlane {
    try await ControlPlane.open(
        store: store, images: images,
        environment: ControlEnvironment(now: { clock.now }, logger: Logger(label: "test")), restoreEpoch: epoch)
}

/// A control plane whose background tasks run while `body` does.
func running(_ control: ControlPlane, _ body: (ControlPlane) async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await control.run() }
        defer { group.cancelAll() }
        try await body(control)
    }
}

/// An agent that boots on the test machine: spends a nonce and gets a session.
func boot(_ control: ControlPlane, key: String = String(repeating: "a", count: 64)) async throws -> HelloReply {
    let nonce = control.nonces.make(for: testMAC, now: control.now)
    return try await control.hello(hello(nonce: nonce, key: key), from: testSender, wantsProof: false)
}

func hello(nonce: String, key: String) -> HelloRequest {
    HelloRequest(
        nonce: nonce, sessionKey: key, mac: testMAC, macs: [testMAC], uuid: nil, serial: nil, firmware: .bios, version: "test")
}

extension ControlPlane {
    /// What a person who was asked, and said yes, agrees to.
    func agreement(to act: MachineAct, on name: String) async throws -> String? {
        try await consequence(of: act, on: name).confirmation
    }

    /// An order by a person who was asked and said yes.
    func order(_ request: OperationRequest, on name: String, by actor: String) async throws -> Model.Operation {
        try await start(request, on: name, by: actor, agreement: agreement(to: .operation(request), on: name))
    }

    func agreedTaking(of name: String, by actor: String) async throws -> Machine {
        try await takeDisks(of: name, by: actor, agreement: agreement(to: .takeDisks, on: name))
    }

    func agreedRelease(_ id: HoldID, on name: String, by actor: String) async throws -> Machine {
        try await releaseHold(id, on: name, by: actor, agreement: agreement(to: .release(id), on: name))
    }
}
