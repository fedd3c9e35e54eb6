import FoundationEssentials

/// Numbers from a seed, the same on every host (SplitMix64).
struct Seeded: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func chance(_ probability: Double) -> Bool { Double.random(in: 0..<1, using: &self) < probability }
    mutating func seconds(_ range: ClosedRange<Double>) -> Int64 { Int64(Double.random(in: range, using: &self) * 1000) }
}

/// What is done to a rack, and when: made of a seed, and the same in JSON for whatever carries it out.
struct ChaosSchedule: Codable, Equatable {
    struct Fault: Codable, Equatable {
        enum Kind: String, Codable, CaseIterable {
            /// The server is killed at once, or by the next write but so many, and comes back after `seconds`.
            case kill
            /// The server's host loses its power for `seconds`; its clock may be wrong by `clockSeconds` afterwards.
            case hostPower
            /// A machine's cable, or without a machine the switch, is out for `seconds`.
            case cut
            /// A machine's power is out for `seconds`.
            case power
            /// The server's wall clock is set by `clockSeconds`.
            case clock
            /// For `seconds` every third message is lost, and many come late or twice.
            case storm
            /// A person asks for something.
            case install, wipe, cancel, release
        }

        var atSeconds: Double
        var kind: Kind
        var machine: Int?
        var seconds: Double = 0
        var clockSeconds: Double = 0
        /// Of a kill: nil, at once; else in the write after so many others.
        var writes: Int?
        /// Of a kill in a write: whether the write is on the disk.
        var isWritten = false
    }

    var seed: UInt64
    var machines: Int
    /// Afterwards nothing more is done to the rack.
    var lengthSeconds: Double
    var faults: [Fault]

    init(seed: UInt64) {
        var random = Seeded(seed)
        let machines = Int.random(in: 1...3, using: &random)
        self.machines = machines
        self.seed = seed
        let length = 1500.0
        lengthSeconds = length
        var faults: [Fault] = []
        func add(_ kind: Fault.Kind, _ change: (inout Fault) -> Void = { _ in }) {
            var fault = Fault(atSeconds: Double.random(in: 120..<length, using: &random), kind: kind)
            fault.machine = Int.random(in: 0..<machines, using: &random)
            change(&fault)
            faults.append(fault)
        }
        for machine in 0..<machines {
            add(.install) {
                $0.machine = machine
                $0.atSeconds = Double.random(in: 90..<600, using: &random)
            }
        }
        for _ in 0..<Int.random(in: 2...6, using: &random) {
            let pool: [Fault.Kind] = [.install, .install, .install, .wipe, .cancel, .release, .release]
            let kind = pool[Int.random(in: 0..<pool.count, using: &random)]
            add(kind)
        }
        for _ in 0..<Int.random(in: 3...9, using: &random) {
            let pool: [Fault.Kind] = [.kill, .kill, .kill, .hostPower, .cut, .cut, .power, .power, .clock, .clock, .storm]
            let kind = pool[Int.random(in: 0..<pool.count, using: &random)]
            let steps: [Double] = [3, 60, 3600, 86_400, 30 * 86_400]
            let step = steps[Int.random(in: 0..<steps.count, using: &random)] * (Bool.random(using: &random) ? 1 : -1)
            let seconds = Double.random(in: 0...300, using: &random)
            let isInWrite = Bool.random(using: &random), writes = Int.random(in: 0...12, using: &random)
            let isWritten = Bool.random(using: &random), hitsClock = random.chance(0.3), hitsAll = random.chance(0.4)
            add(kind) {
                switch kind {
                case .kill:
                    $0.seconds = seconds
                    if isInWrite { $0.writes = writes }
                    $0.isWritten = isWritten
                case .hostPower:
                    $0.seconds = seconds
                    if hitsClock { $0.clockSeconds = step }
                case .cut, .storm:
                    $0.seconds = seconds
                    if hitsAll { $0.machine = nil }
                case .power: $0.seconds = seconds * 0.4
                case .clock: $0.clockSeconds = step
                case .install, .wipe, .cancel, .release: break
                }
            }
        }
        self.faults = faults.sorted { $0.atSeconds < $1.atSeconds }
    }

    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}
