internal import Synchronization
public import Model
public import Wire

/// When the parts of one boot of a machine were seen from the network: where its seconds go. In steady time.
public struct BootTrace: Sendable, Equatable {
    public enum Mark: Sendable {
        /// Firmware asks DHCP for something to boot.
        case firmware
        /// The boot script was fetched.
        case script
        /// What the script led to asks DHCP itself: its kernel and its drivers are up.
        case system
    }

    private var firmware: Timestamp?
    private var lastAsked: Timestamp?
    private var script: Timestamp?
    private var system: Timestamp?
    /// Kept when another boot begins: a question to DHCP anybody can ask in a machine's name.
    private var lastScript: Timestamp?

    public init() {}

    public mutating func note(_ mark: Mark, at now: Timestamp) {
        switch mark {
        case .firmware:
            // iPXE asks a second time; a question after the script is another boot's.
            if script != nil {
                let last = lastScript
                self = BootTrace()
                lastScript = last
            }
            firmware = firmware ?? now
            lastAsked = now
        case .script:
            script = script ?? now
            lastScript = now
        case .system:
            if script != nil { system = system ?? now }
        }
    }

    /// Whether firmware asked for something to boot in the last half minute, and has not got it yet: who speaks after the
    /// script was fetched is the system that it led to, and that may be up within seconds.
    public func isBooting(at now: Timestamp) -> Bool {
        guard let lastAsked, script == nil else { return false }
        return now - lastAsked < .seconds(30)
    }

    /// Whether the boot script was fetched at `start` or after.
    func hasScript(since start: Timestamp) -> Bool { lastScript.map { $0 >= start } ?? false }

    /// Whether the port itself has fetched a script; all else is what DHCP says.
    var hasFetched: Bool { lastScript != nil }

    /// Seconds by part, as a step's evidence: `firmware` from `start` to the first question, `dhcp` to the script,
    /// `load` from there to an agent's hello at `end`, or `system` and `cloudInit` to an installed system's call home.
    ///
    /// - Parameter clockOffset: of the wall clock to steady time.
    public func evidence(from start: Timestamp?, to end: Timestamp, clockOffset: Duration = .zero) -> [String: String] {
        guard let firmware else { return [:] }
        var parts = ["bootAskedAt": "\(firmware + clockOffset)"]
        if let start, start < firmware { parts["firmwareSeconds"] = Self.seconds(firmware - start) }
        guard let script else { return parts }
        parts["dhcpSeconds"] = Self.seconds(script - firmware)
        if let system {
            parts["systemSeconds"] = Self.seconds(system - script)
            parts["cloudInitSeconds"] = Self.seconds(end - system)
        } else {
            parts["loadSeconds"] = Self.seconds(end - script)
        }
        return parts
    }

    private static func seconds(_ duration: Duration) -> String {
        let tenths = max(0, duration.wholeMilliseconds) / 100
        return "\(tenths / 10).\(tenths % 10)"
    }
}

/// The newest boot of each port, in memory: figures for people, nothing that a decision rests on.
public final class BootTraces: Sendable {
    /// Twenty racks of machines with several ports each; more than that is somebody making addresses up.
    private static let limit = 8192
    private let traces = Mutex<[MACAddress: BootTrace]>([:])

    public func note(_ mark: BootTrace.Mark, of mac: MACAddress, at now: Timestamp) {
        traces.withLock {
            if $0[mac] == nil, $0.count >= Self.limit { $0 = $0.filter { $0.value.hasFetched } }
            guard $0[mac] != nil || $0.count < Self.limit else { return }
            $0[mac, default: BootTrace()].note(mark, at: now)
        }
    }

    /// Whether the machine with this port is between its firmware's question and the boot script.
    public func isBooting(_ mac: MACAddress, at now: Timestamp) -> Bool { trace(of: mac)?.isBooting(at: now) ?? false }

    func trace(of mac: MACAddress) -> BootTrace? { traces.withLock { $0[mac] } }
    func trace(of machine: Machine) -> BootTrace? { machine.interfaces.lazy.compactMap { self.trace(of: $0.mac) }.first }
}
