internal import Synchronization
internal import Wire

/// A machine that is nothing but its BMC's idea of it: for tests and measurements.
public final class SimulatedHardware: BMCHardware {
    private struct State {
        var power: BMCReading.Power
        var override: BootOverride?
        var media: VirtualMediaImage?
        var broken: Set<BMCReading.Part> = []
        var orders: [BMCOrder] = []
    }

    public let inventory: BMCInventory
    public let events: AsyncStream<BMCHardwareEvent>
    private let sink: AsyncStream<BMCHardwareEvent>.Continuation
    private let state: Mutex<State>
    private let serial: SimulatedConsole

    public init(inventory: BMCInventory, power: BMCReading.Power = .off) {
        self.inventory = inventory
        serial = SimulatedConsole(name: inventory.name, isOn: power == .on)
        state = Mutex(State(power: power))
        (events, sink) = AsyncStream.makeStream(of: BMCHardwareEvent.self, bufferingPolicy: .bufferingNewest(64))
    }

    deinit { sink.finish() }

    public var console: (any BMCConsole)? { serial }

    /// The orders so far, oldest first.
    public var orders: [BMCOrder] { state.withLock(\.orders) }

    public func setBroken(_ parts: Set<BMCReading.Part>) { state.withLock { $0.broken = parts } }

    public func reading() async -> BMCReading {
        let (power, broken) = state.withLock { ($0.power, $0.broken) }
        return .nominal(power: power, networkCards: inventory.networkCards.count, broken: broken)
    }

    public func perform(_ order: BMCOrder) async throws {
        let happened = try state.withLock { state -> [BMCHardwareEvent] in
            let events = try Self.perform(order, &state)
            state.orders.append(order)
            return events
        }
        for event in happened {
            switch event {
            case .poweredOn, .reset: serial.setOn(true)
            case .poweredOff: serial.setOn(false)
            case .bootOverrideUsed: break
            }
            sink.yield(event)
        }
    }

    private static func perform(_ order: BMCOrder, _ state: inout State) throws -> [BMCHardwareEvent] {
        switch order {
        case .power(let type): return try power(type, &state)
        case .boot(let override): state.override = override
        case .insert(let image): state.media = image
        case .eject: state.media = nil
        }
        return []
    }

    private static func power(_ type: ResetType, _ state: inout State) throws -> [BMCHardwareEvent] {
        let wasOn = state.power == .on
        switch type {
        case .on, .forceOn:
            guard !wasOn else { return [] }
            state.power = .on
            return [.poweredOn] + useOverride(&state)
        case .forceOff, .gracefulShutdown:
            state.power = .off
            return wasOn ? [.poweredOff] : []
        case .pushPowerButton:
            state.power = wasOn ? .off : .on
            return wasOn ? [.poweredOff] : [.poweredOn] + useOverride(&state)
        case .forceRestart, .gracefulRestart, .nmi:
            guard wasOn else { throw BMCHardwareError(.wrongState, "the machine is off") }
            return [.reset] + (type == .nmi ? [] : useOverride(&state))
        case .powerCycle:
            state.power = .on
            return (wasOn ? [.poweredOff] : []) + [.poweredOn] + useOverride(&state)
        }
    }

    private static func useOverride(_ state: inout State) -> [BMCHardwareEvent] {
        guard let override = state.override else { return [] }
        if override.isOnce { state.override = nil }
        return [.bootOverrideUsed]
    }
}

extension BMCInventory {
    /// A two-socket server that nobody built; `number` makes it one of many.
    public static func simulated(_ number: Int) -> BMCInventory {
        let digits = String(repeating: "0", count: max(0, 4 - "\(number)".count)) + "\(number)"
        let low = UInt64(truncatingIfNeeded: number & 0xffff)
        return BMCInventory(
            name: "sim\(number)", manufacturer: "Hostler", model: "Simulated server", sku: "sim",
            serial: "SIM\(digits)", assetTag: "sim-\(digits)", boardSerial: "SIM\(digits)-B",
            uuid: "5e11a700-0000-4000-8000-00000000\(digits)", firmware: .uefi, firmwareVersion: "1.0.0",
            processors: (1...2).map {
                Processor(
                    socket: "CPU\($0)", manufacturer: "Hostler", model: "Simulated CPU", cores: 16, threads: 32)
            },
            memory: (0..<4).map {
                MemoryModule(
                    locator: "DIMM \($0)", sizeMiB: 16_384, manufacturer: "Hostler", serial: "SIM\(digits)-M\($0)",
                    partNumber: "SIM-DIMM", speedMHz: 3200)
            },
            networkCards: (0..<2).map {
                NetworkCard(mac: MACAddress(value: 0x5254_0078_0000 | low << 1 | $0), name: "eth\($0)", speedMbps: 25_000)
            },
            drives: (0..<2).map {
                Drive(
                    serial: "SIM\(digits)-D\($0)", model: "Simulated NVMe", sizeBytes: 960_197_124_096, bus: .nvme,
                    isRotational: false)
            },
            managerUUID: "5e11a7b0-0000-4000-8000-00000000\(digits)",
            managerMAC: MACAddress(value: 0x5254_0079_0000 | low),
            managerAddress: IPv4Address(value: 0x7f00_0001), managerNetmask: IPv4Address(value: 0xff00_0000))
    }
}
