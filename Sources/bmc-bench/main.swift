import CLinux
import Control
import FoundationEssentials
import Glibc
import Hardware
import Logging
import Model
import OCI
import Store

// What `make bench` measures of many BMCs: a control plane with their records, driven as `hostler serve` drives it.
//
//   bmc-bench FOLDER ROUNDS <LINES
//
// Each line is a BMC, as `hostler lab bmc simulate` prints them: URL, user name, password. An empty line ends them;
// each is then added to the record with its machine. It says “added” and waits for one more line, so that some can be
// made to hang meanwhile: their numbers, counted from 1. Then a program that starts anew is played: first sweep, so
// many more, all power on, all power off. What it measured goes to standard output as JSON, in seconds and bytes.

struct Failure: Error, CustomStringConvertible { var description: String }

/// No machine is installed here.
struct NoImages: ImageCatalog {
    func image(named name: String) async throws -> InstallableImage? { nil }
    func image(digest: String) async throws -> InstallableImage? { nil }
}

struct Figures: Codable {
    var bmcs = 0
    var hung = 0
    /// Until the last healthy one was read: each logs in first.
    var firstSweep = 0.0
    var sweeps: [Double] = []
    /// Until the last healthy one was read to be on, and off.
    var powerOn = 0.0
    var powerOff = 0.0
    var residentBefore = 0
    var residentConnected = 0
    var residentAfter = 0
    /// Processor time of the first sweep, of the last one, and of power on.
    var firstSweepProcessor = 0.0
    var sweepProcessor = 0.0
    var powerOnProcessor = 0.0
}

func now() -> Timestamp { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }

func residentBytes() -> Int {
    let fields = (FileManager.default.contents(atPath: "/proc/self/statm").map { String(decoding: $0, as: UTF8.self) } ?? "").split(separator: " ")
    return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * Int(getpagesize())
}

func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func request(_ line: String, machine: MachineID) throws -> BMCRequest {
    let words = line.split(separator: " ").map(String.init)
    guard words.count == 3, let origin = words[0].firstRange(of: "/redfish").map({ words[0][..<$0.lowerBound] }) else {
        throw Failure(description: "“\(line)” is no line of simulate")
    }
    var request = BMCRequest(kind: .redfish, address: String(origin))
    request.userName = words[1]
    request.password = words[2]
    request.machine = machine.rawValue
    return request
}

/// The seconds until `body` told of every healthy one, and all that it told.
func timed(_ healthy: Int, _ body: (_ tell: @escaping @Sendable () -> Void) async throws -> Void) async throws -> Double {
    let last = Last()
    let start = ContinuousClock.now
    try await body { last.tell() }
    let (count, at) = last.value
    guard count == healthy else { throw Failure(description: "\(count) of \(healthy) healthy BMCs did it") }
    return (at - start) / .seconds(1)
}

func run(_ folder: String, rounds: Int) async throws {
    var lines: [String] = []
    while let line = readLine(), !line.isEmpty { lines.append(line) }
    var logger = Logger(label: "bmc-bench")
    logger.logLevel = .error
    let store = try SQLiteStore(path: folder + "/hostler.db", logger: logger)
    let control = try await ControlPlane.open(store: store, images: NoImages(), environment: ControlEnvironment(now: now, logger: logger))
    var figures = Figures()
    figures.bmcs = lines.count
    let machines = try await Rack.register(lines.count, in: store)
    func desk() async throws -> BMCDesk {
        try await BMCDesk.open(control: control, vault: Vault(keyFile: folder + "/vault.key"))
    }

    let following = Task { try await control.run() }
    defer { following.cancel() }
    let first = try await desk()
    try await Rack.add(zip(lines, machines).map { try request($0, machine: $1) }, to: first)
    await first.close()
    print("added")
    fflush(nil)
    let hung = Set((readLine() ?? "").split(separator: " ").compactMap { Int($0) })
    let healthy = lines.count - hung.count
    figures.hung = hung.count
    let silent = Set(hung.map { machines[$0 - 1] })

    figures.residentBefore = residentBytes()
    let again = try await desk()
    let machineOf = Dictionary(uniqueKeysWithValues: try await again.all().map { ($0.id, $0.machine) })
    for round in 0...rounds {
        let used = processorSeconds()
        let seconds = try await timed(healthy) { tell in
            await again.sweep { seen in
                let isHealthy = machineOf[seen.id].flatMap { $0 }.map { !silent.contains($0) } ?? false
                if isHealthy, seen.observed.problem == nil, seen.observed.power != nil { tell() }
            }
        }
        if round == 0 {
            figures.firstSweep = seconds
            figures.firstSweepProcessor = processorSeconds() - used
            figures.residentConnected = residentBytes()
        } else {
            figures.sweeps.append(seconds)
            figures.sweepProcessor = processorSeconds() - used
        }
    }
    let used = processorSeconds()
    figures.powerOn = try await Rack.switchAll(.on, machines, silent: silent, by: again)
    figures.powerOnProcessor = processorSeconds() - used
    figures.powerOff = try await Rack.switchAll(.off, machines, silent: silent, by: again)
    figures.residentAfter = residentBytes()
    await again.close()
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    print(String(decoding: try encoder.encode(figures), as: UTF8.self))
}

_ = clinux_raise_file_limit()
let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count == 2, let rounds = Int(arguments[1]), rounds > 0 else {
    end(2, "usage: bmc-bench FOLDER ROUNDS <LINES")
}
do { try await run(arguments[0], rounds: rounds) } catch { end(1, "bmc-bench: \(error)") }
